"""What the spaces of cells and widths share: operations, cells, decoding, drawing."""
