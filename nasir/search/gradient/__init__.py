"""What gradient-based strategies need: gradients, the course of a search, when to end it."""
