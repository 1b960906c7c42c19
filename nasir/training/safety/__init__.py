"""What is done against the loss of a training."""
