"""`download:` how patiently files are fetched."""

from dataclasses import dataclass

from nasir.config.reading import require, require_between

MOST_ATTEMPTS = 12
"""The pause doubles with each; that before the twelfth is eight minutes."""

LONGEST_TIMEOUT = 3600
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """The `download:` section. It changes how patiently files are fetched, never which."""

    attempts: int  # tries of one URL
    timeout: float  # seconds without an answer before a try counts as failed

    def __post_init__(self) -> None:
        require_between(self, "download", ("attempts",), 1, MOST_ATTEMPTS)
        require(
            0 < self.timeout <= LONGEST_TIMEOUT,
            f"download.timeout must be above 0 seconds and at most {LONGEST_TIMEOUT}",
            self.timeout,
        )
