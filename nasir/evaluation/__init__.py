"""Metrics, protocols, classical denoisers and costs: everything that turns images into numbers."""
