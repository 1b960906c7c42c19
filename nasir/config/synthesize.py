"""`synthesize:` previews of the noise."""

from dataclasses import dataclass

from nasir.config.reading import require_between

MOST_PREVIEWS = 10_000


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig:
    """The `synthesize:` section."""

    previews: int  # test images drawn as clean | noisy

    def __post_init__(self) -> None:
        require_between(self, "synthesize", ("previews",), 0, MOST_PREVIEWS)
