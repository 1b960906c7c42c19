"""Trained networks that the repository ships, each a folder of `models/`: files as retrain writes them, scores, and a card.

`card.json` says what a network is: data, split, recipe, scores under the protocols that were run, with intervals, size, cost,
machine, commit, and the SHA-256 of its files. `python -m stages shelve` writes such a folder from a run.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasir.files import read_json, sha256_file

_INSTALLED = Path(__file__).parent / "shipped"
SHELF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "models"
"""Where they lie: in an installed package, or in the repository."""

CARD = "card.json"

PICTURE = "clipped8"
"""The protocol whose noisy images are like those of picture files."""

NORMAL_MEDIAN = 0.6745
"""Median magnitude of a standard normal value."""


def names() -> list[str]:
    """Of all shipped networks."""
    return sorted(path.parent.name for path in SHELF.glob(f"*/{CARD}"))


def card(name: str) -> dict[str, Any]:
    """What a shipped network's card says.

    Raises:
        ValueError: if there is none of this name, or its card is damaged.
    """
    path = SHELF / name / CARD
    if not path.is_file():
        raise ValueError(
            f"a shipped network must be one of {names()}, got {name!r}; they lie in models/ of the repository."
        )
    value: dict[str, Any] = read_json(path)
    try:
        means = [value["scores"]["whole"], *value["scores"].values()]
        is_measured = 0 <= value["sigma"] <= 255 and all(0 <= mean["psnr_db"] <= 200 for mean in means)
        is_whole = bool(value["name"] == name and value["task"] and is_measured and value["sha256"])
    except (KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(
            f"{path} must have name {name!r}, task, sigma, scores and sha256, got other text; restore it (git checkout {path})."
        )
    return value


def folder(name: str) -> Path:
    """A shipped network's folder, its files checked.

    Raises:
        ValueError: if there is none of this name, or a file is missing or not the one that its card names.
    """
    for file, expected in card(name)["sha256"].items():
        path = SHELF / name / file
        got = sha256_file(path) if path.is_file() else "no file"
        if got != expected:
            raise ValueError(
                f"{path} must have the SHA-256 {expected[:12]}... of its card, got {got[:12]}; restore it (git checkout {path})."
            )
    return SHELF / name


def choose(task: str, sigma: float) -> str:
    """The network for a task whose noise level is next to `sigma`; of several the one with the best score on its test images.

    A picture file has no values below black or above white, so that is the score under `clipped8`, if all of them have it.

    Args:
        task: of `nasir.task`.
        sigma: 8-bit grey levels; 0 where the task has none.

    Raises:
        ValueError: if none is shipped for the task.
    """
    cards = [card(name) for name in names()]
    if not cards:
        raise ValueError(
            f"networks are shipped in the folder models/ of the repository, got none in {SHELF}; give one with --model."
        )
    tasks = sorted({found["task"] for found in cards})
    if task not in tasks:
        raise ValueError(f"a shipped network's task must be one of {tasks}, got {task!r}; give a network with --model.")
    cards = [found for found in cards if found["task"] == task]
    gap = min(abs(found["sigma"] - sigma) for found in cards)
    fitting = [found for found in cards if abs(found["sigma"] - sigma) == gap]
    protocol = PICTURE if all(PICTURE in found["scores"] for found in fitting) else "whole"
    best = max(fitting, key=lambda found: found["scores"][protocol]["psnr_db"])
    return str(best["name"])


def estimate(noisy: NDArray[np.uint8]) -> float:
    """Standard deviation of Gaussian noise in an image, 8-bit grey levels; of a colour image the mean of its channels.

    The median magnitude of the finest diagonal Haar coefficients over 0.6745 (Donoho and Johnstone, Biometrika 1994); texture
    adds to it, and what was clipped is missing.

    Args:
        noisy: shape (H, W) or (H, W, 3), 2 or more pixels a side.
    """
    if min(noisy.shape[:2]) < 2:
        raise ValueError(
            f"an image must have 2 or more pixels a side to estimate its noise, got {noisy.shape[:2]}; give --sigma."
        )
    height, width = (side // 2 * 2 for side in noisy.shape[:2])
    x = noisy[:height, :width].astype(np.float64)
    diagonal = (x[::2, ::2] - x[1::2, ::2] - x[::2, 1::2] + x[1::2, 1::2]) / 2
    return float(np.mean(np.median(np.abs(diagonal), axis=(0, 1))) / NORMAL_MEDIAN)
