"""`evaluate:` protocols and the classical denoisers."""

from dataclasses import dataclass

from nasir.config.reading import require


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
        require(self.batch >= 1, "evaluate.batch must be 1 or more", self.batch)
        for name in ("tv_factors", "nlm_factors"):
            values = getattr(self, name)
            require(len(values) > 0 and min(values) > 0, f"evaluate.{name} must be above 0", values)
        require(self.device in ("auto", "cpu", "cuda"), "evaluate.device must be auto, cpu or cuda", self.device)
