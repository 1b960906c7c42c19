"""The fast twin of a supernet of cells: the same numbers sooner and in less memory."""
