"""`download:` how patiently files are fetched."""

from dataclasses import dataclass

from nasir.config.reading import require


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """The `download:` section. It changes how patiently files are fetched, never which."""

    attempts: int  # tries of one URL
    timeout: float  # seconds without an answer before a try counts as failed

    def __post_init__(self) -> None:
        require(self.attempts >= 1, "download.attempts must be 1 or more", self.attempts)
        require(self.timeout > 0, "download.timeout must be above 0 seconds", self.timeout)
