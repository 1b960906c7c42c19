"""A trained network as it is used: read, made fast, tiled."""
