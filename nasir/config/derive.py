"""`derive:` whether what was found is modified."""

from dataclasses import dataclass

from nasir.config.reading import require

MODIFICATIONS = ("none", "r1", "r2")
"""What `derive.modify` may be."""


@dataclass(frozen=True, kw_only=True)
class DeriveConfig:
    """The `derive:` section."""

    modify: str  # none; r1 or r2: the modified networks of the paper's Table 4
    modify_seed: int  # of r2, which draws other connections

    def __post_init__(self) -> None:
        require(self.modify in MODIFICATIONS, f"derive.modify must be one of {list(MODIFICATIONS)}", self.modify)
        require(self.modify_seed >= 0, "derive.modify_seed must be 0 or more", self.modify_seed)
