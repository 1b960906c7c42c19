"""What the search's and the retraining's settings have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nasir.config.reading import require, require_between

PRECISIONS = ("auto", "32-true", "bf16-mixed")
"""What `precision` may be: float32, or bfloat16 in convolutions with float32 weights and statistics; `auto`: what is faster."""

OPTIMISERS = ("adam", "adamw")
"""What `optimiser` may be: Adam (Kingma and Ba, ICLR 2015), or with decoupled weight decay (Loshchilov and Hutter, ICLR 2019)."""

NOISES = ("float", "truncated8")
"""What `noise` may be: values as they are drawn, or clipped to [0, 1] and cut to 8 bits, half a level darker in the mean."""

DEVICES = ("auto", "cpu", "cuda")
"""What `device` may be."""

ON_NAN = ("stop", "rewind")
"""What `safety.on_nan` may be."""

REWOUND = "rewound_from"
"""The metric that says of a step from which later one a training went back to it."""

MOST_STEPS = 100_000_000
"""Of one training, and of the periods in it; the paper's has 600,000."""

MOST_BATCH = 65_536
"""Patches, or candidates, at a time."""

MOST_PATCH = 8192
"""Side of a patch, pixels."""

MOST_PIXELS = 2**28
"""Of one batch: its float32 values are 1 GiB for each channel."""

MOST_DEVICES = 1024

HIGHEST_RATE = 100
"""Of learning, and of the weights' decay."""

MOST_CANDIDATES = 1_000_000
"""Of one search."""

MOST_REWINDS = 100
"""Of one training; each halves the learning rate."""

MOST_SECONDS = 31_536_000
"""Between two checkpoints: a year."""


@dataclass(frozen=True, kw_only=True)
class SafetyConfig:
    """The `safety:` section: what is done against the loss of a training, and for its bits."""

    on_nan: str  # of a loss or weights that are not finite: stop, or rewind (`nasir.training.safety.guard`)
    rewinds: int  # of one training, at most
    checkpoint_seconds: (
        float  # a checkpoint at the latest after so many, too; 0 = by steps alone. No result depends on it
    )
    deterministic: bool | str  # the same bits at each call: true, false, auto (true on a CPU; `nasir.training.device`)

    def __post_init__(self) -> None:
        require(self.on_nan in ON_NAN, f"safety.on_nan must be one of {list(ON_NAN)}", self.on_nan)
        require_between(self, "safety", ("rewinds",), 0, MOST_REWINDS)
        require_between(self, "safety", ("checkpoint_seconds",), 0, MOST_SECONDS)
        require(
            self.deterministic in (True, False, "auto"),
            "safety.deterministic must be true, false or auto",
            self.deterministic,
        )


OFF = SafetyConfig(on_nan="stop", rewinds=0, checkpoint_seconds=0.0, deterministic="auto")
"""Of a training that was told nothing of safety."""


class Budget(Protocol):
    """The settings of one training."""

    @property
    def steps(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def patch(self) -> int: ...
    @property
    def lr_max(self) -> float: ...
    @property
    def lr_min(self) -> float: ...
    @property
    def epoch(self) -> int: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def clip_usual(self) -> float: ...
    @property
    def noise(self) -> str: ...
    @property
    def ssim_weight(self) -> float: ...
    @property
    def val_period(self) -> int: ...
    @property
    def val_crop(self) -> int: ...
    @property
    def log_period(self) -> int: ...
    @property
    def checkpoint_period(self) -> int: ...
    @property
    def devices(self) -> int: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> str: ...


def require_rates(config: object, section: str, names: Sequence[str]) -> None:
    """Refuse learning rates that no training can have; the first is named with its section."""
    for name in names:
        value = getattr(config, name)
        require(0 < value <= HIGHEST_RATE, f"{section}.{name} must be above 0 and at most {HIGHEST_RATE}", value)


def require_training(config: Budget, section: str) -> None:
    """Refuse settings that no training can have; the key is named with its section."""
    lengths = ("steps", "val_period", "log_period", "checkpoint_period", "epoch")
    require_between(config, section, lengths, 1, MOST_STEPS)
    require_between(config, section, ("devices",), 1, MOST_DEVICES)
    require_between(config, section, ("batch",), 1, MOST_BATCH)
    require_between(config, section, ("patch",), 1, MOST_PATCH)
    pixels = config.batch * config.patch**2
    require(
        pixels <= MOST_PIXELS, f"{section}.batch times {section}.patch^2 must be at most {MOST_PIXELS} pixels", pixels
    )
    require(
        0 <= config.lr_min <= config.lr_max and 0 < config.lr_max <= HIGHEST_RATE,
        f"{section}.lr_max must be above 0, not below lr_min ({config.lr_min}) and at most {HIGHEST_RATE}",
        config.lr_max,
    )
    require(config.batch % config.devices == 0, f"{section}.batch must be a multiple of devices", config.batch)
    require(config.precision in PRECISIONS, f"{section}.precision must be one of {PRECISIONS}", config.precision)
    require(config.noise in NOISES, f"{section}.noise must be one of {list(NOISES)}", config.noise)
    require(config.clip_norm > 0, f"{section}.clip_norm must be above 0", config.clip_norm)
    require(
        config.clip_usual == 0 or config.clip_usual >= 1,
        f"{section}.clip_usual must be 0 or at least 1",
        config.clip_usual,
    )
    require(config.ssim_weight >= 0, f"{section}.ssim_weight must be 0 or more", config.ssim_weight)
    require(config.val_crop >= 0, f"{section}.val_crop must be 0 or more", config.val_crop)
    require(config.device in DEVICES, f"{section}.device must be auto, cpu or cuda", config.device)
