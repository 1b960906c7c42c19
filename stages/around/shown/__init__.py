"""What the pages of MLflow show of a run."""
