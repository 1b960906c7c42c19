"""The stages of the paper's tables: one cell each."""
