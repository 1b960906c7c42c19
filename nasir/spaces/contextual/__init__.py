"""What the spaces of contextual cells on an encoder's features have in common."""
