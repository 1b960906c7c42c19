"""`synthesize:` previews of the noise."""

from dataclasses import dataclass

from nasir.config.reading import require


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig:
    """The `synthesize:` section."""

    previews: int  # test images drawn as clean | noisy

    def __post_init__(self) -> None:
        require(self.previews >= 0, "synthesize.previews must be 0 or more", self.previews)
