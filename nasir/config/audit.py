"""`audit:` how the audit is tested."""

from dataclasses import dataclass

from nasir.config.reading import require


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The `audit:` section."""

    planted: int  # leaks of each kind that are planted to see how many are found

    def __post_init__(self) -> None:
        require(self.planted >= 1, "audit.planted must be 1 or more", self.planted)
