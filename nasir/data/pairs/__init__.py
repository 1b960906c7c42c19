"""Pairs of a clean and a degraded picture: as a data set has them, or simulated."""
