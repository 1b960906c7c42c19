"""Planted leaks: how much of what an audit looks for it finds, on the very images that it audits.

copy       the picture itself, under another name
jpeg       compressed again at quality 30 to 70
half       half the side
mirrored   left and right exchanged
quarter    a random crop of a quarter of the area
combined   a quarter, mirrored, then compressed
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]

KINDS = ("copy", "jpeg", "half", "mirrored", "quarter", "combined")


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A constructed leak."""

    name: str  # "planted/KIND/SOURCE"
    kind: str
    source: str
    image: Grey


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What an audit made of planted leaks."""

    planted: dict[str, int]  # by kind
    found: dict[str, int]
    false: tuple[tuple[str, str], ...]  # pairs of a planted image and one that it was not made of

    @property
    def recall(self) -> float:
        """Share of the planted leaks that were found."""
        return sum(self.found.values()) / sum(self.planted.values())

    @property
    def precision(self) -> float:
        """Share of the pairs with a planted image that are right; 1 where there is none."""
        found = sum(self.found.values())
        return found / (found + len(self.false)) if found + len(self.false) else 1.0


def plant(images: Mapping[str, Grey], count: int, seed: int) -> list[Plant]:
    """Make `count` leaks of each kind (at most one of each from an image) from images drawn at random.

    Args:
        images: name -> grey levels, uint8, shape (H, W), at least 4x4 pixels.
        count: sources; all images where there are fewer.
        seed: of the drawn sources, crops and qualities.

    Raises:
        ValueError: if there is no image.
    """
    if not images:
        raise ValueError("planting leaks needs at least one image, got none; give the training images.")
    rng = np.random.default_rng(seed)
    names = sorted(images)
    chosen = [names[k] for k in rng.permutation(len(names))[:count]]
    return [
        Plant(name=f"planted/{kind}/{source}", kind=kind, source=source, image=_change(images[source], kind, rng))
        for kind in KINDS
        for source in chosen
    ]


def assess(plants: Sequence[Plant], pairs: Iterable[tuple[str, str]], alike: Iterable[tuple[str, str]] = ()) -> Quality:
    """Hold the pairs that an audit found against what was planted.

    Args:
        plants: from `plant`.
        pairs: names, in any order; those without a planted image are left alone.
        alike: pairs of images that are the same picture anyhow, so that a leak of one is rightly found as of the other.
    """
    sources = {leak.name: leak.source for leak in plants}
    same = {frozenset(pair) for pair in alike}
    met, false = set(), []
    for pair in pairs:
        for name, other in (pair, pair[::-1]):
            if name not in sources or other in sources:
                continue
            if other == sources[name]:
                met.add(name)
            elif frozenset((other, sources[name])) not in same:
                false.append((name, other))
    return Quality(
        planted={kind: sum(leak.kind == kind for leak in plants) for kind in KINDS},
        found={kind: sum(leak.kind == kind and leak.name in met for leak in plants) for kind in KINDS},
        false=tuple(sorted(false)),
    )


def _change(image: Grey, kind: str, rng: np.random.Generator) -> Grey:
    height, width = image.shape
    if kind in ("quarter", "combined"):
        top, left = int(rng.integers(height - height // 2 + 1)), int(rng.integers(width - width // 2 + 1))
        image = image[top : top + height // 2, left : left + width // 2]
    if kind in ("mirrored", "combined"):
        image = image[:, ::-1]
    image = np.ascontiguousarray(image)
    if kind == "half":
        return np.array(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BICUBIC))
    if kind in ("jpeg", "combined"):
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, format="JPEG", quality=int(rng.integers(30, 71)))
        return np.array(Image.open(encoded))
    return image
