"""`retrain:` the training from scratch; `network:` has a section of its own for the sizes of what is trained."""

from dataclasses import dataclass

from nasir.config.training import require_training


@dataclass(frozen=True, kw_only=True)
class RetrainConfig:
    """The `retrain:` section: the training of one network from scratch (IR-NAS, section 4.1)."""

    steps: int
    batch: int
    patch: int
    lr_max: float  # Adam, cosine from here
    lr_min: float  # to here
    clip_norm: float
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
