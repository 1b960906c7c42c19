"""`audit:` how the audit is tested."""

from dataclasses import dataclass

from nasir.config.reading import require_between

MOST_PLANTED = 10_000


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The `audit:` section."""

    planted: int  # leaks of each kind that are planted to see how many are found

    def __post_init__(self) -> None:
        require_between(self, "audit", ("planted",), 1, MOST_PLANTED)
