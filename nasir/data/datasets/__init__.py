"""The data sets: one file for each, with its manifest as CSV beside it."""
