"""What the report says of a task's pairs: how they lie, which clean picture occurs several times, what was left out."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from nasir.canvas import DPI, plain_style, to_png
from nasir.data.pictures.collection import read_image
from nasir.data.pictures.listing import Picture
from nasir.reporting.run.record import Record
from nasir.reporting.tables import number, psnr, table
from nasir.task import LOOKS

SHOWN = 6
"""Groups in the figure of repeated pictures."""

SYNTHETIC_BLUR = (
    "**The blur is SYNTHETIC; none was measured.** Each clean image was convolved with the random trace of a shaken camera and "
    "given sensor noise of one grey level; nasir/data/pairs/motion.py says what is not real about it."
)
"""What stands at the top of the page where motion blur was simulated."""

_SIDE, _GUTTER, _TITLE = 132, 8, 18  # pixels


def section(record: Record, figure: str, noise_figure: str | None) -> str:
    """The page's part on pairs: figures of how they lie, repeated pictures with a picture of some, and leaks.

    Args:
        record: of a task of pairs.
        figure: path of the figure of repeated pictures, empty where there are none.
        noise_figure: path of the noise card, None where the pairs are not a camera's.
    """
    lines = ["### Pairs", _how_they_lie(record), _repeated(record)]
    if figure:
        lines.append(f"![clean images that occur in several pairs]({figure})")
    if record.split["leaks"]:
        lines.append(_leaks(record))
    if any(one.also_in for one in record.listed):
        lines.append(_elsewhere(record))
    if noise_figure:
        lines += [
            f"![noise against intensity, and its correlation, beside Gaussian noise]({noise_figure})",
            "The camera's noise on the kept test patches beside white Gaussian noise of the same deviation: strength "
            "against the clean intensity, and correlation of neighbouring pixels.",
        ]
    if record.selection:
        lines.append(_selection(record))
    return "\n\n".join(lines)


def repeated_pictures(folder: Path, listed: Sequence[Picture]) -> bytes | None:
    """A figure of clean images that occur in several pairs: in each row the images of two pairs of one group.

    Groups whose pairs are in both splits come first, then the largest. None where no group has two pairs.

    Args:
        folder: of the pictures.
        listed: the pictures.
    """
    groups = [group for group in _groups(listed) if len(group) > 1]
    groups.sort(key=lambda group: (len({one.split for one in group}) < 2, -len(group)))
    if not groups:
        return None
    shown = [(group[0], _other(group)) for group in groups[:SHOWN]]
    columns = [(one, is_clean) for is_clean in (True, False) for one in (0, 1)]
    pitch = _SIDE + _GUTTER
    width, height = 4 * pitch + _GUTTER, len(shown) * (pitch + _TITLE) + _GUTTER
    with plain_style():
        canvas = Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI))
        for row, pair in enumerate(shown):
            for column, (which, is_clean) in enumerate(columns):
                x, y = _GUTTER + column * pitch, height - (row + 1) * (pitch + _TITLE)
                picture = _thumbnail(read_image(folder, pair[which], is_clean, channels=3))
                canvas.figimage(picture, xo=x, yo=y, origin="upper")
                text = f"{pair[which].name}{', clean' if is_clean else ''}"
                canvas.text(x / width, (y + _SIDE + _TITLE / 2) / height, text, va="center", fontsize=7)
        return to_png(canvas)


def _other(group: Sequence[Picture]) -> Picture:
    """The first of a group that is of the other split than its first, else its second."""
    return next((one for one in group if one.split != group[0].split), group[1])


def _groups(listed: Sequence[Picture]) -> list[list[Picture]]:
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in listed:
        groups[picture.group].append(picture)
    return list(groups.values())


def _thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture within a square of `_SIDE` pixels, on white."""
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE))
    square = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    square[: image.height, : image.width] = np.asarray(image)
    return square


def _how_they_lie(record: Record) -> str:
    rows = record.pairs
    values = [float(row["psnr_db"]) for row in rows]
    shifted = [row["name"] for row in rows if (row["shift_y"], row["shift_x"]) != ("0", "0")]
    sentence = (
        f"{len(rows)} pairs; the degraded image against the clean one {psnr(sum(values) / len(values))} dB on average "
        f"({psnr(min(values))} to {psnr(max(values))}); {len(shifted) or 'no'} pairs lie apart by a whole pixel or more."
    )
    if looks := LOOKS.get(record.params.task):
        told = Counter(row[looks] == row["degraded_side"] for row in rows if row[looks] != "unclear")
        sentence += (
            f" Judged by its pixels alone, the degraded image has the {'rain' if looks == 'rainier' else 'blur'} in "
            f"{told[True]} pairs, the clean one in {told[False]}; {len(rows) - told.total()} are too faint to tell."
        )
    return sentence


def _repeated(record: Record) -> str:
    groups = _groups(record.listed)
    by_split = {split: {one.group for one in record.listed if one.split == split} for split in ("train", "test")}
    across = sorted(by_split["train"] & by_split["test"])
    text = (
        f"Among the clean images the audit finds {len(groups)} different pictures: {len(by_split['train'])} in training, "
        f"{len(by_split['test'])} in test, {len(across)} in both. {sum(len(group) > 1 for group in groups)} occur in several "
        f"pairs, up to {max(map(len, groups))}. Pairs of one picture are in one part of the split."
    )
    if record.params.task == "camera":
        text = f"The patches were cut from {len(groups)} images, none of which gave to training and test."
    return text


def _leaks(record: Record) -> str:
    listed = {one.name: one for one in record.listed}
    leaks = [listed[name] for name in record.split["leaks"]]
    tested: dict[str, list[str]] = defaultdict(list)
    for one in record.listed:
        if one.split == "test":
            tested[one.group].append(one.name)
    own = [one for one in leaks if one.group in tested]
    elsewhere = sum(bool(one.also_in) for one in leaks)
    what = (
        "were left out of training" if record.split["exclude_leaks"] else "**stayed in training** (split.exclude_leaks)"
    )
    text = (
        f"{number(len(leaks), 0)} training pairs show what a test image shows and {what}: {len(own)} of this data set's test "
        f"part, {elsewhere} of another data set's (`known_elsewhere.csv`)."
    )
    rows = [[one.name, ", ".join(tested[one.group])] for one in own]
    return "\n\n".join([text, table(("training pair", "shows the picture of the test pair"), rows)] if rows else [text])


def _elsewhere(record: Record) -> str:
    """Every picture that another data set tests with, and the pairs that show it; folded away."""
    places: dict[str, dict[str, list[str]]] = {}
    for one in record.listed:
        if one.also_in:
            places.setdefault(one.also_in, {"train": [], "test": []})[one.split].append(one.name)
    pairs = sum(len(names) for by_split in places.values() for names in by_split.values())
    rows = [[place, *(", ".join(places[place][split]) for split in ("train", "test"))] for place in sorted(places)]
    kept = {name for part in ("w", "a", "v") for name in record.split[part]}
    trained = sum(one.name in kept for one in record.listed if one.also_in)
    use = (
        f"{trained} of them stay in training (split.exclude_elsewhere): this run's networks must not be judged by that part."
        if trained
        else "None of them is in training."
    )
    return "\n\n".join(
        [
            f"<details><summary>{pairs} pairs show {len(places)} pictures of another data set's test part. {use}</summary>",
            table(("picture", "training pairs", "test pairs"), rows),
            "</details>",
        ]
    )


def _selection(record: Record) -> str:
    rows = [
        [part, *(number(value, 0) for value in facts["counts"].values())] for part, facts in record.selection.items()
    ]
    columns = ("part", *(name.replace("_", " ") for name in next(iter(record.selection.values()))["counts"]))
    return "\n\n".join(
        [
            "Candidates by what the rule of selection made of them (nasir/data/realism.py); where each kept patch was cut "
            "and its camera stand in `selection.json`:",
            table(columns, rows, columns[1:]),
        ]
    )
