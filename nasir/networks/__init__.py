"""Hand-designed baseline networks: images of shape (N, C, H, W) in, restored images of the same shape out, not clipped."""
