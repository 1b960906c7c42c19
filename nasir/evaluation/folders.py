"""Score the images of one folder against those of another, whatever program wrote them.

Files are matched by name: the path inside the folder without its suffix, so that restored/val/a.png belongs to
clean/val/a.jpg. Every image needs its partner; hidden files and files that are no images (`READABLE`) do not count, folders that
are links are followed.

A pair is read by `nasir.data.pictures.images`: 1-bit and 8-bit grey files are grey; RGB, palette, CMYK and YCbCr files are
colour, converted to RGB; transparency is dropped, EXIF orientation ignored; animations and more than 8 bits a
channel are refused. Colour against grey is refused too. What a pair is scored on:

    rgb     all three channels, colour pairs only; SSIM is the mean of the channels' own
    y       Y of ITU-R BT.601 (`nasir.evaluation.colour.luma`), not rounded, colour pairs only
    grey    Pillow's 8-bit "L" of both images, as everywhere in this project; grey pairs have this alone

All pixels count (no border shave), in float64 and for a data range of 1; the two SSIMs are those of
`nasir.evaluation.metrics`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nasir.data.pictures import finding
from nasir.data.pictures.images import READABLE, load_colour, load_grey
from nasir.evaluation import colour, metrics

SPACES = ("rgb", "y", "grey")

MEASURES = (
    *(f"psnr_{space}_db" for space in SPACES),
    *(f"ssim_{space}_zero_padded" for space in SPACES),
    *(f"ssim_{space}_valid" for space in SPACES),
)
"""What is measured on a restored image, in the order of the columns."""

NOISY = tuple(f"noisy_{measure}" for measure in MEASURES)
"""The same of the noisy image."""

GAINS = tuple(f"gain_{space}_db" for space in SPACES)
"""PSNR of the restored image minus that of the noisy one."""

NAMED_AT_MOST = 10
"""Names in an error; the others are counted."""

Values = dict[str, float]
"""Column -> value; a column that a grey pair does not have is absent, and equal images have an infinite PSNR."""


@dataclass(frozen=True, kw_only=True)
class FolderScore:
    """The scores of one pair of images."""

    name: str  # path inside the folder, without suffix
    kind: str  # "grey" or "colour"
    values: Values


def compare(restored: Path, clean: Path, noisy: Path | None = None) -> list[FolderScore]:
    """Score every image of `restored`, and of `noisy` if given, against its partner in `clean`.

    Args:
        restored: a folder of images, with sub-folders or without.
        clean: the references, under the same names.
        noisy: what `restored` was made from, under the same names.

    Returns:
        One score for each image, sorted by name: `MEASURES`, with `noisy` also `NOISY` and `GAINS`. A gain is -inf where
        only the noisy image equals the clean one, and NaN where both do.

    Raises:
        ValueError: if a folder is missing, empty, or lies in another one; if an image has no partner, or two images one
            name; if a pair differs in size, or in being grey; if an image cannot be read or is below 11 pixels on a
            side. Folder or file is named.
    """
    folders = {"restored": restored, "clean": clean} | ({} if noisy is None else {"noisy": noisy})
    _require_apart(folders)
    files = {role: _find_images(role, folder) for role, folder in folders.items()}
    _require_partners(folders, files)
    return [_score(name, *(files[role][name] for role in folders)) for name in files["clean"]]


def columns(scores: Sequence[FolderScore]) -> list[str]:
    """The columns of these scores: `MEASURES`, with a noisy folder also `NOISY` and `GAINS`."""
    return [*MEASURES, *NOISY, *GAINS] if any(NOISY[-1] in score.values for score in scores) else list(MEASURES)


def headline(scores: Sequence[FolderScore]) -> str:
    """The PSNR that images are ranked by: RGB if all pairs are colour, else grey, which all pairs have."""
    return "psnr_rgb_db" if all(score.kind == "colour" for score in scores) else "psnr_grey_db"


def mean(scores: Sequence[FolderScore]) -> Values:
    """The mean of each column over the images that have it; infinite or NaN as soon as one of them is."""
    found = {column: [s.values[column] for s in scores if column in s.values] for column in columns(scores)}
    return {column: sum(values) / len(values) for column, values in found.items() if values}


def to_rows(scores: Sequence[FolderScore]) -> list[dict[str, object]]:
    """Rows for a CSV file, the last one of kind "mean"; absent values are empty, others may be inf, -inf or nan."""
    rows = [(score.name, score.kind, score.values) for score in scores] + [("mean", "mean", mean(scores))]
    return [
        {"name": name, "kind": kind} | {column: values.get(column, "") for column in columns(scores)}
        for name, kind, values in rows
    ]


def to_json(scores: Sequence[FolderScore]) -> dict[str, object]:
    """A value for a JSON file, which has no infinity: `null`, with "inf", "-inf" or "nan" under `not_finite`."""

    def plain(values: Values) -> dict[str, object]:
        finite: dict[str, object] = {
            column: values[column] if math.isfinite(values.get(column, math.nan)) else None
            for column in columns(scores)
        }
        return finite | {"not_finite": {name: str(value) for name, value in values.items() if not math.isfinite(value)}}

    return {
        "images": [{"name": score.name, "kind": score.kind} | plain(score.values) for score in scores],
        "mean": {kind: sum(score.kind == kind for score in scores) for kind in ("colour", "grey")}
        | plain(mean(scores)),
    }


def _score(name: str, restored: Path, clean: Path, noisy: Path | None = None) -> FolderScore:
    reference = _load_views(clean)
    values = _measure(restored, clean, reference)
    if noisy is not None:
        before = _measure(noisy, clean, reference)
        values |= {f"noisy_{measure}": value for measure, value in before.items()}
        gains = {space: values[f"psnr_{space}_db"] - before[f"psnr_{space}_db"] for space in reference}
        values |= {f"gain_{space}_db": gain for space, gain in gains.items()}
    return FolderScore(name=name, kind="colour" if "rgb" in reference else "grey", values=values)


def _measure(path: Path, clean: Path, reference: dict[str, Tensor]) -> Values:
    """`MEASURES` of the image at `path`, as far as it has them, against the views of the clean one."""
    views = _load_views(path)
    if views.keys() != reference.keys():
        raise ValueError(
            f"{path} must be grey or colour like {clean}, got {_describe(path)} against {_describe(clean)}; "
            "convert one of them."
        )
    size, expected = (f"{view.shape[-1]}x{view.shape[-2]}" for view in (views["grey"], reference["grey"]))
    if size != expected:
        raise ValueError(
            f"{path} must have the size of {clean}, {expected} pixels, got {size}; crop or resize neither."
        )
    values = {}
    for space, view in views.items():
        try:
            similarity = metrics.ssim_map(view, reference[space])
            values[f"psnr_{space}_db"] = metrics.psnr(view, reference[space]).item()
            values[f"ssim_{space}_zero_padded"] = similarity.mean().item()
            values[f"ssim_{space}_valid"] = metrics.valid_region(similarity).mean().item()
        except ValueError as error:
            raise ValueError(f"{path} cannot be scored: {error}") from error
    return values


def _load_views(path: Path) -> dict[str, Tensor]:
    """What an image is scored on, by space: shape (1, C, H, W), float64, intensities in [0, 1]."""
    image = load_colour(path)
    if image.ndim == 2:
        return {"grey": _to_tensor(image[:, :, None])}
    rgb = _to_tensor(image)
    return {"rgb": rgb, "y": colour.luma(rgb), "grey": _to_tensor(load_grey(path)[:, :, None])}


def _to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float64))[None] / 255


def _describe(path: Path) -> str:
    """Grey or colour, beside Pillow's mode: a palette of greys counts as colour, which no viewer shows."""
    with Image.open(path) as image:
        return f"{'grey' if load_colour(path).ndim == 2 else 'colour'} (mode {image.mode})"


def _require_apart(folders: dict[str, Path]) -> None:
    for role, folder in folders.items():
        for other, outer in folders.items():
            if role != other and folder.resolve().is_relative_to(outer.resolve()):
                raise ValueError(
                    f"{role} and {other} must be two folders, neither inside of the other, got {folder} and {outer}; "
                    "an image scored against itself says nothing."
                )


def _find_images(role: str, folder: Path) -> dict[str, Path]:
    """The images of a folder by name, sorted."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing"
        raise ValueError(f"{role} must be a folder of images, got {got} at {folder}; check the path.")
    found: dict[str, Path] = {}
    for path in finding.require(folder, READABLE):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{found[name]} and {path} have one name, {name!r}; files are matched by it, remove one.")
        found[name] = path
    if not found:
        raise ValueError(
            f"{role} must hold at least one image, got none in {folder}; images end in {', '.join(READABLE)}."
        )
    return found


def _require_partners(folders: dict[str, Path], files: dict[str, dict[str, Path]]) -> None:
    """Name every image that has no partner; each folder is compared with `clean`, both ways."""
    missing = []
    for role in [role for role in folders if role != "clean"]:
        for one, other in ((role, "clean"), ("clean", role)):
            alone = [path for name, path in files[one].items() if name not in files[other]]
            if alone:
                names = ", ".join(str(path.relative_to(folders[one])) for path in alone[:NAMED_AT_MOST])
                more = f" and {len(alone) - NAMED_AT_MOST} more" if len(alone) > NAMED_AT_MOST else ""
                missing.append(f"{names}{more} of {folders[one]} (none in {folders[other]})")
    if missing:
        raise ValueError(
            f"every image needs a partner of its name (path inside the folder, without suffix), got none for "
            f"{'; '.join(missing)}; add or remove them."
        )
