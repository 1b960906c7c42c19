"""`retrain:` the training from scratch, `tone:` what comes before the network; `network:` has a section of its own for sizes."""

from dataclasses import dataclass

from nasir.config.reading import require, require_between
from nasir.config.training import HIGHEST_RATE, OPTIMISERS, require_training

MOST_TONES = 1000
"""Kinds of tone, and folds: each takes a fit or more."""


@dataclass(frozen=True, kw_only=True)
class RetrainConfig:
    """The `retrain:` section: the training of one network from scratch (IR-NAS, section 4.1, and what was measured since)."""

    steps: int
    batch: int
    patch: int
    noise: str  # as search.noise, of V too
    optimiser: str  # adam, adamw
    weight_decay: float  # of adamw
    warmup_steps: int  # over which the learning rate rises from 0 to lr_max
    lr_max: float  # cosine from here
    lr_min: float  # to here
    epoch: int  # steps in which the rate stays the same; 1 = a cosine by step
    average: float  # decay of the running mean of the weights that is scored and kept; 0 = the weights themselves
    clip_norm: float  # gradient norm is clipped to this
    clip_usual: float  # and to so many times its running mean; 0 = not
    ssim_weight: float
    val_period: int
    val_crop: int  # as search.val_crop
    log_period: int
    checkpoint_period: int
    compile: bool  # torch.compile on the network
    devices: int  # processes, as for the search
    parallel: str
    precision: str
    device: str

    def __post_init__(self) -> None:
        require_training(self, "retrain")
        require(self.optimiser in OPTIMISERS, f"retrain.optimiser must be one of {list(OPTIMISERS)}", self.optimiser)
        require_between(self, "retrain", ("weight_decay",), 0, HIGHEST_RATE)
        require(
            self.weight_decay == 0 or self.optimiser == "adamw",
            "retrain.weight_decay must be 0 with retrain.optimiser adam, which has none",
            self.weight_decay,
        )
        require(
            0 <= self.warmup_steps < self.steps, "retrain.warmup_steps must lie in 0 to steps - 1", self.warmup_steps
        )
        require(0 <= self.average < 1, "retrain.average must be 0 or more and below 1", self.average)


@dataclass(frozen=True, kw_only=True)
class ToneConfig:
    """The `tone:` section: a degraded picture's tone, estimated and taken back before the network (`nasir.training.toning`)."""

    kinds: int  # of degradations that are told apart, at most; 0: no tone is estimated
    components: int  # principal components of a picture's texture
    folds: int  # that training pairs are cut into: each is corrected as those of the others tell

    def __post_init__(self) -> None:
        is_fitting = self.kinds == 0 or 2 <= self.kinds <= MOST_TONES
        require(is_fitting, f"tone.kinds must be 0 or 2 to {MOST_TONES}", self.kinds)
        require(self.components > 0, "tone.components must be at least 1", self.components)
        require(2 <= self.folds <= MOST_TONES, f"tone.folds must be 2 to {MOST_TONES}", self.folds)
