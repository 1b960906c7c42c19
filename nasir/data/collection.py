"""The images of a downloaded data set, by name."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nasir.data import images, manifest


def load_grey(folder: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read images as 8-bit grey.

    Args:
        folder: what download wrote: the images and `manifest.csv`.
        names: image names (manifest path without its suffix).

    Returns:
        name -> uint8, shape (H, W), in the order of `names`.

    Raises:
        ValueError: if a name is not in the manifest, or an image cannot be read; it is named.
    """
    paths = {entry.name: folder / entry.path for entry in manifest.read(folder / "manifest.csv")}
    found = {}
    for name in names:
        if name not in paths:
            raise ValueError(
                f"{folder / 'manifest.csv'} must list the image {name!r}, got {len(paths)} others; "
                "run download and split for the same data set."
            )
        found[name] = images.load_grey(paths[name])
    return found


def load_clean(folder: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Read images as clean grey tensors, shape (1, H, W), in [0, 1]; arguments and errors as for `load_grey`."""
    return {name: to_clean(image) for name, image in load_grey(folder, names).items()}


def to_clean(image: np.ndarray) -> Tensor:
    """An 8-bit image, shape (H, W) or (H, W, C), as a clean tensor, shape (C, H, W), float32 in [0, 1]."""
    array = image[:, :, None] if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(255)


def crop_middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, shape (H, W) or (H, W, C), at most `side` pixels high and wide; 0 keeps it whole."""
    if side == 0:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
