"""`search:` which strategy searches, and its budget; `space:` and `strategy:` have sections of their own."""

from dataclasses import dataclass

from nasir.config.params import GREY_LEVELS
from nasir.config.reading import require, require_between
from nasir.config.training import HIGHEST_RATE, require_training

MOST_SIGMAS = 256


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What every strategy reads: data, lengths and rates of training during the search (IR-NAS, section 4.1)."""

    strategy: str  # a file of nasir/search
    sigmas: tuple[float, ...]  # noise levels, one drawn per patch
    steps: int  # updates of the weights
    warmup_steps: int  # of which without an update of the architecture
    batch: int
    accumulate: int  # parts that a batch is worked off in, one after the other
    patch: int  # side of a training patch, pixels
    noise: str  # of noisy patches: float, truncated8 (the released code of CLEARER); V's are as they are drawn
    lr_max: float  # SGD on the weights, cosine from here
    lr_min: float  # to here
    epoch: int  # steps in which the rate stays the same; 1 = a cosine by step
    momentum: float
    weight_decay: float
    clip_norm: float  # gradient norm of the weights is clipped to this
    clip_usual: float  # and to so many times its running mean; 0 = not
    ssim_weight: float  # lambda of equation 7; 0 = MSE only
    val_period: int  # steps between scores on V
    val_crop: int  # V is scored on the middle of its images, at most this side; 0 = whole images
    log_period: int
    checkpoint_period: int
    devices: int  # processes, one on each GPU, or on one machine's CPU
    parallel: str  # Fabric's strategy: auto, ddp
    precision: str
    device: str  # auto, cpu, cuda

    def __post_init__(self) -> None:
        require_training(self, "search")
        require(self.accumulate >= 1, "search.accumulate must be 1 or more", self.accumulate)
        require(
            self.batch % (self.accumulate * self.devices) == 0,
            f"search.batch must be a multiple of accumulate times devices ({self.accumulate} * {self.devices})",
            self.batch,
        )
        require(
            1 <= len(self.sigmas) <= MOST_SIGMAS and min(self.sigmas) >= 0 and max(self.sigmas) <= GREY_LEVELS,
            f"search.sigmas must be 0 or more and at most {GREY_LEVELS}, one at least and {MOST_SIGMAS} at most",
            self.sigmas,
        )
        require(0 <= self.momentum < 1, "search.momentum must be 0 or more and below 1", self.momentum)
        require_between(self, "search", ("weight_decay",), 0, HIGHEST_RATE)
        require(
            0 <= self.warmup_steps < self.steps, "search.warmup_steps must lie in 0 to steps - 1", self.warmup_steps
        )
