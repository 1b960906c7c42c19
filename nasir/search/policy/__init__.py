"""A controller that writes genotypes down, and how rewards teach it (Nekrasov et al., CVPR 2019)."""
