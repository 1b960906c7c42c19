"""Neural architecture search for image restoration that anyone can re-run."""

__version__ = "0.1.0"
