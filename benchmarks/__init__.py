"""Measurements: each module prints what it measured; results lie beside it with the command that made them."""
