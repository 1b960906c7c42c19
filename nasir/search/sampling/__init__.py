"""What strategies that try candidates need: drawing, changing and choosing them."""
