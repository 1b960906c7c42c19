"""What the sending process does, and no stage: journals to MLflow."""
