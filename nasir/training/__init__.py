"""Losses, the training loop, checkpoints and trained models on disk."""
