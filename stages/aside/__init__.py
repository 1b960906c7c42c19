"""What people and make call beside a run: how far it is, what it came to, what a kill left of DVC's files."""
