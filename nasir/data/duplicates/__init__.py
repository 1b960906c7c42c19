"""One picture in two places: found though mirrored, cropped, reduced or compressed again."""
