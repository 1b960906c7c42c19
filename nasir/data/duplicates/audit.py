"""Near-duplicates among pictures: keypoints propose a pair, the correlation of its detail decides.

The same picture means the same exposure: re-encoded, resized (to 0.3 at least), made grey, mirrored or cropped. Not
found: turned pictures, and crops of smooth regions, of which no one could say where they are from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nasir.data.duplicates.keypoints import detect
from nasir.data.duplicates.proposals import Proposal, propose
from nasir.data.duplicates.registration import Comparison, Placement, compare
from nasir.data.pictures import finding
from nasir.data.pictures.images import READABLE, load_grey

Grey = NDArray[np.uint8]

THREADS = 2
LONGEST = 512  # px; larger pictures are compared at this length
LEAST_CORRELATION = 0.9  # copies have 0.94 and more, two shots of one scene 0.86 at most (benchmarks/leak_audit.py)
LEAST_WINDOWS = 8  # with structure
LEAST_OVERLAP = 0.1  # of the picture that shows less


@dataclass(frozen=True, kw_only=True)
class Match:
    """Two names of the same picture."""

    first: str
    second: str
    correlation: float  # of their detail, in [-1, 1]
    is_mirrored: bool  # the second shows the first mirrored
    scale: float  # pixels of the second for one of the first
    shift: tuple[float, float]  # x and y of the first's corner (once mirrored) in the second, pixels
    overlap: float  # share of the picture that shows less of the scene

    @property
    def how(self) -> str:
        """In words, as in "mirrored, scale 0.50, corner at (-120, 0), 100 % shared"."""
        parts = ["mirrored"] * self.is_mirrored + [f"scale {self.scale:.2f}"]
        corner = " ".join(f"{round(value)}" for value in self.shift)
        return ", ".join([*parts, f"corner at ({corner})", f"{100 * self.overlap:.0f} % shared"])


def find(images: Mapping[str, Grey], parts: Mapping[str, str] | None = None) -> list[Match]:
    """Find the pairs of images that show the same picture.

    Args:
        images: name -> grey levels, uint8, shape (H, W).
        parts: name -> part; two images of one part are not compared. None compares all with all.

    Returns:
        Matches, the earlier of two names first, in the order of `images`; the same at every call.

    Raises:
        ValueError: if an image is not uint8 of two axes, or has no part; it is named.
    """
    for name, image in images.items():
        if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
            raise ValueError(
                f"{name} must be grey levels, uint8 of shape (H, W), got {image.dtype} of shape {image.shape}; "
                "nasir.data.pictures.images.load_grey reads such."
            )
        if parts is not None and name not in parts:
            raise ValueError(f"parts must name every image, got none for {name}; give it one, or no parts at all.")
    names, pictures = list(images), list(images.values())
    labels = [name if parts is None else parts[name] for name in names]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    part = [numbers[label] for label in labels]

    found = _identical(names, pictures, part)
    with ThreadPoolExecutor(THREADS) as pool:
        reduced = list(pool.map(_reduce, pictures))
        points = list(pool.map(lambda picture: detect(picture.astype(np.float32)), reduced))
        proposals = propose(points, [picture.shape[1] for picture in reduced], part, pool)
        proposals = [one for one in proposals if (one.first, one.second) not in found]
        compared = list(pool.map(lambda one: _compare(one, reduced), proposals))
    for one, comparison in zip(proposals, compared, strict=True):
        if comparison is None or not _is_same(comparison):
            continue
        key = (one.first, one.second)
        if key not in found or comparison.correlation > found[key].correlation:
            found[key] = _match(names, one, comparison, pictures, reduced)
    return [found[key] for key in sorted(found)]


def folders(paths: Sequence[Path]) -> list[Match]:
    """Find the same picture in different folders; of a single folder, within it.

    Every file below a folder with the suffix of an image is read as grey, but for hidden ones; folders that are links are
    followed. A name is the path of its file with the folder as it was given in front.

    Raises:
        ValueError: if a folder is missing, given twice or without images, or an image cannot be read; it is named.
    """
    images: dict[str, Grey] = {}
    parts: dict[str, str] = {}
    known: set[Path] = set()  # whatever their folders are called
    for folder in paths:
        files = finding.require(folder, READABLE) if folder.is_dir() else []
        if not files:
            raise ValueError(
                f"{folder} must be a folder with images ({', '.join(READABLE)}), got none; check the path."
            )
        for path in files:
            place = folder.resolve() / path.relative_to(folder)
            if place in known:
                raise ValueError(f"folders must not lie in each other, got {path} twice; give each once.")
            known.add(place)
            images[str(path)], parts[str(path)] = load_grey(path), str(folder)
    return find(images, parts if len(paths) > 1 else None)


def _reduce(picture: Grey) -> Grey:
    """The picture at no more than LONGEST pixels a side."""
    factor = LONGEST / max(picture.shape)
    if factor >= 1:
        return picture
    height, width = (max(1, round(length * factor)) for length in picture.shape)
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _compare(proposal: Proposal, reduced: Sequence[Grey]) -> Comparison | None:
    first, second = (reduced[number].astype(np.float32) for number in (proposal.first, proposal.second))
    return compare(first[:, ::-1] if proposal.is_mirrored else first, second, proposal.placement)


def _is_same(comparison: Comparison) -> bool:
    return (
        comparison.correlation >= LEAST_CORRELATION
        and comparison.windows >= LEAST_WINDOWS
        and comparison.overlap >= LEAST_OVERLAP
    )


def _match(
    names: Sequence[str], proposal: Proposal, comparison: Comparison, pictures: Sequence[Grey], reduced: Sequence[Grey]
) -> Match:
    """The placement of the reduced pictures, said in pixels of the whole ones."""
    first, second = (_zoom(pictures[k], reduced[k]) for k in (proposal.first, proposal.second))
    placement = first.inverse().then(comparison.placement).then(second)
    return Match(
        first=names[proposal.first],
        second=names[proposal.second],
        correlation=comparison.correlation,
        is_mirrored=proposal.is_mirrored,
        scale=float(np.sqrt(placement.scale_x * placement.scale_y)),
        shift=(placement.shift_x, placement.shift_y),
        overlap=comparison.overlap,
    )


def _zoom(picture: Grey, reduced: Grey) -> Placement:
    """Where a reduced picture lies in the whole one; its first pixel covers several, so their middles differ."""
    scale_y, scale_x = (whole / part for whole, part in zip(picture.shape, reduced.shape, strict=True))
    return Placement(scale_x=scale_x, scale_y=scale_y, shift_x=(scale_x - 1) / 2, shift_y=(scale_y - 1) / 2)


def _identical(names: Sequence[str], pictures: Sequence[Grey], part: Sequence[int]) -> dict[tuple[int, int], Match]:
    """Pictures of the same pixels, as they are or mirrored: a copy for certain, whatever structure there is."""
    seen: dict[bytes, list[int]] = {}
    found: dict[tuple[int, int], Match] = {}
    for j, picture in enumerate(pictures):
        for is_mirrored in (False, True):
            for i in seen.get(_digest(picture[:, ::-1] if is_mirrored else picture), []):
                if part[i] != part[j] and (i, j) not in found:
                    found[i, j] = Match(
                        first=names[i],
                        second=names[j],
                        correlation=1.0,
                        is_mirrored=is_mirrored,
                        scale=1.0,
                        shift=(0.0, 0.0),
                        overlap=1.0,
                    )
        seen.setdefault(_digest(picture), []).append(j)
    return found


def _digest(picture: Grey) -> bytes:
    return hashlib.sha256(f"{picture.shape}".encode() + np.ascontiguousarray(picture).tobytes()).digest()
