"""A search and a training as small as they can be, on five pictures of 20 by 24 pixels."""

from pathlib import Path

import numpy as np
from picture_folder import list_pictures

from nasir.config.retrain import RetrainConfig, ToneConfig
from nasir.config.search import SearchConfig
from nasir.config.split import SplitConfig
from nasir.data.pictures.images import save_png
from nasir.search.darts import DartsSection
from nasir.search.random import RandomSection
from nasir.spaces.cells.section import CellsSection, CellsSizes
from stages import split

CODE = "0" * 64
"""Digest of a stage's code."""

SEARCH = SearchConfig(
    strategy="darts",
    sigmas=(30.0, 70.0),
    steps=6,
    warmup_steps=2,
    batch=2,
    accumulate=1,
    patch=12,
    lr_max=0.05,
    lr_min=0.001,
    momentum=0.9,
    weight_decay=0.0003,
    clip_norm=5.0,
    clip_usual=0.0,
    epoch=1,
    noise="float",
    ssim_weight=0.5,
    val_period=3,
    val_crop=16,
    log_period=1,
    checkpoint_period=2,
    devices=1,
    parallel="auto",
    precision="32-true",
    device="cpu",
)
CELLS = CellsSection(
    layers=2,
    nodes=1,
    operations=(),
    inputs=2,
    none="ranked",
    width=2,
    width_factors=(1.0, 2.0, 4.0),
    stem_channels=3,
    downscale=1,
    residual=True,
    norm="batch",
    reads_stem=False,
    share_cells=True,
    share_alpha=True,
    beta_norm="incoming",
    activation="relu",
    sigmoid=False,
    partial=1,
    twin="fast",
    recompute="none",
    compile=False,
)
DARTS = DartsSection(
    architecture_lr=0.1,
    architecture_weight_decay=0.001,
    architecture_beta1=0.9,
    architecture_data="a",
    architecture_mode="train",
    indecision=0.0,
    order=1,
    complexity=0.0,
    complexity_of="parameters",
    early_stop="none",
    patience=10,
    keep_from=3,
    beta_decay=0.0,
    optimiser="sgd",
    lr_max=0.01,
)
RANDOM = RandomSection(
    candidates=3, budget=1.0, optimiser="sgd", lr_max=0.003, window_of="parameters", window=(0.0, 1e12)
)
SIZES = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))
RETRAIN = RetrainConfig(
    steps=6,
    batch=2,
    patch=12,
    optimiser="adam",
    weight_decay=0.0,
    warmup_steps=0,
    lr_max=0.01,
    lr_min=0.001,
    average=0.0,
    clip_norm=5.0,
    clip_usual=0.0,
    epoch=1,
    noise="float",
    ssim_weight=0.5,
    val_period=2,
    val_crop=0,
    log_period=1,
    checkpoint_period=2,
    compile=False,
    devices=1,
    parallel="auto",
    precision="32-true",
    device="cpu",
)
NO_TONE = ToneConfig(kinds=0, components=4, folds=2)


class Killed(Exception):
    """What stands in for SIGKILL."""


def ignore(step: int, news: dict[str, float]) -> None:
    """Take news and drop it."""


def killed_at(step: int):
    """A log that ends the run at a step."""

    def log(now: int, news: dict[str, float]) -> None:
        if now == step:
            raise Killed

    return log


def write_pictures(folder: Path, tests: int = 0) -> None:
    """Write five pictures for training and so many for testing into `pictures`, and their split into `split`."""
    rng = np.random.default_rng(0)
    names = [f"train/{i}" for i in range(5)] + [f"test/{i}" for i in range(tests)]
    for name in names:
        low = rng.integers(0, 256, (5, 6))
        save_png(folder / f"pictures/{name}.png", np.kron(low, np.ones((4, 4))).astype(np.uint8))
    list_pictures(folder / "pictures", names)
    split.run(
        pictures=folder / "pictures",
        out=folder / "split",
        seed=0,
        config=SplitConfig(w=0.49, a=0.49, v=0.02, exclude_leaks=True, exclude_elsewhere=True),
        log=ignore,
    )


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
