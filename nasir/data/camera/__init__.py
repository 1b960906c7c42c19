"""A simulated camera, and the data set that is photographed with it."""
