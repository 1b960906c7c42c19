"""Thin stages of the pipeline: parse paths, read config, call one nasir function, write files."""
