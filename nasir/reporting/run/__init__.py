"""The report of one pipeline run."""
