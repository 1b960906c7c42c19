"""`split:` shares of the training images."""

import math
from dataclasses import dataclass

from nasir.config.reading import require


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """The `split:` section: shares of the training images."""

    w: float  # weights
    a: float  # architecture
    v: float  # validation; at least one image
    exclude_leaks: bool  # leave out training pictures that show what a test picture shows
    exclude_elsewhere: bool  # among them those that show what another data set's test part shows

    def __post_init__(self) -> None:
        require(min(self.w, self.a, self.v) > 0, "split.w, split.a and split.v must be above 0", self)
        require(math.isclose(self.w + self.a + self.v, 1), "split.w + split.a + split.v must be 1", self)
