"""The pictures of a task, by name, as arrays and tensors."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from nasir.data.pictures import images, listing
from nasir.data.pictures.listing import Picture
from nasir.task import Task

if TYPE_CHECKING:  # the audit reads arrays and needs no torch
    from torch import Tensor


class Pair(NamedTuple):
    """A clean image and its degraded one, each of shape (C, H, W), float32 in [0, 1]."""

    clean: "Tensor"
    degraded: "Tensor"


Sample: TypeAlias = "Tensor | Pair"
"""What a network is scored on: a clean image to which noise is added, or a pair."""


def pair_of(sample: Sample) -> Pair:
    """A sample as a pair; a clean image is its own degraded one, before noise is added."""
    return sample if isinstance(sample, Pair) else Pair(sample, sample)


def channels_of(samples: Mapping[str, Sample]) -> int:
    """Channels of the images, which are the same for all."""
    return len(pair_of(next(iter(samples.values()))).clean)


def load_grey(folder: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the clean images as 8-bit grey.

    Args:
        folder: what pair wrote: the images and `pictures.csv`.
        names: names of pictures.

    Returns:
        name -> uint8, shape (H, W), in the order of `names`.

    Raises:
        ValueError: if a name is not in `pictures.csv`, or an image cannot be read; it is named.
    """
    return {one.name: read_image(folder, one, is_clean=True, channels=1) for one in _find(folder, names)}


def load(folder: Path, names: Iterable[str], task: Task) -> dict[str, np.ndarray]:
    """Read the images of a task.

    Args:
        folder, names: as for `load_grey`.
        task: says whether images are grey or RGB, and whether they are pairs.

    Returns:
        name -> uint8, shape (H, W) of grey images, (H, W, 3) of RGB ones; of pairs (H, W, 2 * C), the clean channels first.

    Raises:
        ValueError: as `load_grey`; also if a picture has no degraded image and the task needs one, or their sizes differ.
    """
    return {one.name: stack(folder, one, task) for one in _find(folder, names)}


def load_samples(folder: Path, names: Iterable[str], task: Task) -> dict[str, Sample]:
    """Read the images of a task as tensors; arguments and errors as for `load`."""
    return {name: to_sample(image, task) for name, image in load(folder, names, task).items()}


def to_sample(image: np.ndarray, task: Task) -> Sample:
    """An image as `load` gives it as tensors."""
    whole = to_clean(image)
    return Pair(*whole.chunk(2)) if task.is_paired else whole


def to_clean(image: np.ndarray) -> "Tensor":
    """An 8-bit image, shape (H, W) or (H, W, C), as a clean tensor, shape (C, H, W), float32 in [0, 1]."""
    import torch

    array = image[:, :, None] if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(255)


def to_array(image: "Tensor") -> np.ndarray:
    """A tensor of shape (C, H, W) as an array, shape (H, W) of grey images, else (H, W, C)."""
    array = image.cpu().numpy()
    return array[0] if len(array) == 1 else array.transpose(1, 2, 0)


def crop_middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, shape (H, W) or (H, W, C), at most `side` pixels high and wide; 0 keeps it whole."""
    if side == 0:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def detail(image: np.ndarray, side: int) -> tuple[int, int]:
    """Top and left of the `side` x `side` window whose sum of squared differences between neighbours is largest.

    Args:
        image: grey image, shape (H, W), any unit; H and W are at least `side`.
        side: side of the window in pixels.
    """
    energy = np.zeros_like(image)
    energy[:, 1:] += np.diff(image, axis=1) ** 2
    energy[1:] += np.diff(image, axis=0) ** 2
    total = np.pad(energy.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left)


def stack(folder: Path, picture: Picture, task: Task) -> np.ndarray:
    """One picture's images as `load` gives them, with its errors."""
    if not task.is_paired:
        return read_image(folder, picture, is_clean=True, channels=task.channels)
    if not picture.is_paired:
        raise ValueError(
            f"{picture.name} must have a degraded image for the task {task.name}, got none in {folder / listing.FILE}; "
            "run pair again for this task."
        )
    clean, degraded = read_pair(folder, picture, task.channels)
    if clean.shape != degraded.shape:
        raise ValueError(
            f"the images of {picture.name} must have one size, got {clean.shape[1]}x{clean.shape[0]} and "
            f"{degraded.shape[1]}x{degraded.shape[0]}; correct the files or leave the pair out."
        )
    return np.concatenate([np.atleast_3d(clean), np.atleast_3d(degraded)], axis=2)


def _find(folder: Path, names: Iterable[str]) -> list[Picture]:
    listed = {picture.name: picture for picture in listing.read(folder)}
    found = []
    for name in names:
        if name not in listed:
            raise ValueError(
                f"{folder / listing.FILE} must list the picture {name!r}, got {len(listed)} others; "
                "run download, pair and split for the same data set and task."
            )
        found.append(listed[name])
    return found


def read_image(folder: Path, picture: Picture, is_clean: bool, channels: int) -> np.ndarray:
    """One of a picture's images, a file or the half of one.

    Args:
        folder: of the picture's files.
        is_clean: the clean one, or the degraded one.
        channels: 1 for grey levels, shape (H, W), 3 for colours, shape (H, W, 3); uint8.

    Raises:
        ValueError: if the file cannot be read, or has an odd width and holds two images; it is named.
    """
    if picture.layout != "files":
        return read_pair(folder, picture, channels)[0 if is_clean else 1]
    return _decode(folder / (picture.clean if is_clean else picture.degraded), channels)


def read_pair(folder: Path, picture: Picture, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Both images of a picture, the clean one first; arguments and errors as for `read_image`."""
    if picture.layout == "files":
        return _decode(folder / picture.clean, channels), _decode(folder / picture.degraded, channels)
    path = folder / picture.clean
    left, right = images.halves(_decode(path, channels), path)
    return (left, right) if picture.layout == "clean_left" else (right, left)


def _decode(path: Path, channels: int) -> np.ndarray:
    return images.load_grey(path) if channels == 1 else images.load_rgb(path)
