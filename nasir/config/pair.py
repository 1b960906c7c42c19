"""`pair:` how many patches the simulated camera takes."""

from dataclasses import dataclass

from nasir.config.reading import require, require_between

MOST_CANDIDATES = 10_000_000

MOST_FACTOR = 64

MOST_SIDE = 8192


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """The `pair:` section: how many patches the task camera makes of the images."""

    train_candidates: int  # of which train_kept are drawn among those that the rule of selection accepts
    train_kept: int
    test_candidates: int
    test_kept: int
    factor: int  # images are blurred and subsampled by this first, which removes noise of their own
    side: int  # of a patch, pixels

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            kept, candidates = getattr(self, f"{part}_kept"), getattr(self, f"{part}_candidates")
            require(
                1 <= kept <= candidates, f"pair.{part}_kept must be 1 to pair.{part}_candidates ({candidates})", kept
            )
        require_between(self, "pair", ("train_candidates", "test_candidates"), 1, MOST_CANDIDATES)
        require_between(self, "pair", ("factor",), 1, MOST_FACTOR)
        require_between(self, "pair", ("side",), 16, MOST_SIDE)
