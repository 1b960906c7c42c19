"""`evaluate:` protocols and the classical denoisers."""

from dataclasses import dataclass

from nasir.config.reading import require, require_between
from nasir.config.training import DEVICES, MOST_BATCH

MOST_FACTORS = 100
"""Candidates of one classical denoiser."""

LARGEST_FACTOR = 1000


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The `evaluate:` section."""

    protocols: tuple[str, ...]
    batch: int  # patches at once
    tv_factors: tuple[float, ...]  # candidates of total variation: weight in units of sigma / 255, chosen on V
    nlm_factors: tuple[float, ...]  # candidates of non-local means: h in units of sigma / 255, chosen on V
    device: str

    def __post_init__(self) -> None:
        require(len(self.protocols) > 0, "evaluate.protocols must name at least one protocol", self.protocols)
        require_between(self, "evaluate", ("batch",), 1, MOST_BATCH)
        for name in ("tv_factors", "nlm_factors"):
            values = getattr(self, name)
            require(
                1 <= len(values) <= MOST_FACTORS and min(values) > 0 and max(values) <= LARGEST_FACTOR,
                f"evaluate.{name} must be above 0 and at most {LARGEST_FACTOR}, one at least and {MOST_FACTORS} at most",
                values,
            )
        require(self.device in DEVICES, "evaluate.device must be auto, cpu or cuda", self.device)
