"""Search strategies, one file each, and the derivation of a genotype."""
