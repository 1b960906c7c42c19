"""What strategies that try candidates need: drawing, changing, scoring and choosing them."""
