"""Layers that search spaces and hand-designed networks share."""
