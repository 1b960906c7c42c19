"""Search spaces: one file each, the supernet and its derived network side by side."""
