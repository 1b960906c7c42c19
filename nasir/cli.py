"""`nasir`: what a person does with one image or with a folder of them."""

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasir import memory
from nasir.commands import compare, datasets, export, failing, profile, restore, show, threads
from nasir.commands.terminal import print_json, require_suffix, say, shown, suggest
from nasir.messages import first_line

if TYPE_CHECKING:
    from nasir.evaluation.folders import FolderScore

SHOWN_AT_MOST = 20
"""Images in the table of `score`; of more it shows the worst, the best and the mean."""

app = typer.Typer(
    help="Neural architecture search for image restoration.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.callback()(failing.begin)


@app.command()
def score(
    restored: Annotated[Path, typer.Option(help="A folder of restored images, by any program.")],
    clean: Annotated[Path, typer.Option(help="The clean images, under the same names.")],
    noisy: Annotated[Path | None, typer.Option(help="What was restored: adds its scores and the gain in dB.")] = None,
    csv: Annotated[Path | None, typer.Option(help="A .csv file to write: all images, then the mean.")] = None,
    json: Annotated[Path | None, typer.Option(help="A .json file to write: the same.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help=f"Show more than {SHOWN_AT_MOST} images one by one.")] = False,
) -> None:
    """Score restored images against clean ones: PSNR in dB and SSIM, for each image and in the mean.

    Files are matched by name: the path inside the folder without its suffix, so a.png belongs to a.jpg. Every image
    needs a partner of its size; hidden files and files without the suffix of an image do not count.

    Colour pairs are scored on RGB (all channels), on Y (ITU-R BT.601 as MATLAB's rgb2ycbcr, not rounded) and on grey
    (Pillow's 8-bit "L"), grey pairs on grey alone; colour against grey is an error. All pixels count, the data range is
    255 grey levels. SSIM has an 11x11 Gaussian window: "padded" continues images by zeros and takes all pixels, "valid"
    takes only the windows inside the image (the standard one); that of RGB is the mean of the channels' own.

    Palette, CMYK and YCbCr images become RGB, transparency is dropped, EXIF orientation is ignored; more than 8 bits a
    channel and animations are an error. Equal images have an infinite PSNR, and so has a mean with one of them: "inf" in
    the table and in CSV, null in JSON with "inf" under not_finite. A gain where both images equal the clean one is "nan".
    """
    for option, path in (("csv", csv), ("json", json)):
        if path is not None:
            require_suffix(f"--{option}", path, [f".{option}"])
    from nasir.evaluation import folders
    from nasir.files import require_writable, write_csv, write_json, writing

    for path in (csv, json):
        if path is not None:
            require_writable(path)
    scores = folders.compare(restored, clean, noisy)
    named = {"restored": str(restored), "clean": str(clean), "noisy": None if noisy is None else str(noisy)}
    try:
        if csv is not None:
            with writing(csv):
                write_csv(csv, folders.to_rows(scores), ["name", "kind", *folders.columns(scores)])
        if json is not None:
            with writing(json):
                write_json(json, named | folders.to_json(scores))
    finally:  # whichever of the two fails, the other is not lost
        say(_table(scores, show_all))


def _table(scores: "Sequence[FolderScore]", show_all: bool) -> str:
    """Scores as aligned text: three lines of header, a line for each image, the mean, and what to know about them."""
    from nasir.evaluation import folders

    notes = [f"{len(scores)} {'image' if len(scores) == 1 else 'images'}"]
    rows = [(shown(score.name), score.values) for score in scores]
    if len(scores) > SHOWN_AT_MOST and not show_all:
        ranking = folders.headline(scores)
        ranked = sorted(scores, key=lambda score: score.values[ranking])
        ends = (("worst", ranked[0]), ("best", ranked[-1]))
        rows = [(f"{word}: {shown(score.name)}", score.values) for word, score in ends]
        notes.append(f"worst and best by PSNR of {ranking.split('_')[1]}; --all shows every image")
    colours = sum(score.kind == "colour" for score in scores)
    if 0 < colours < len(scores):
        notes.append(f"the means of rgb and y are over the {colours} colour images alone")
    mean = folders.mean(scores)
    measures = [measure for measure in folders.MEASURES if measure in mean]
    lines = [["image", ""] + [measure.split("_")[0].upper() for measure in measures]]
    lines.append(["", ""] + [measure.split("_")[1] for measure in measures])
    lines.append(["", ""] + [measure.split("_")[-1].replace("db", "dB") for measure in measures])
    for name, values in [*rows, ("mean", mean)]:
        lines += _lines(name, values, measures, noisy=folders.columns(scores) != list(folders.MEASURES))
    return f"{_align(lines)}\n{'; '.join(notes)}."


def _lines(name: str, values: Mapping[str, float], measures: Sequence[str], noisy: bool) -> list[list[str]]:
    """The cells of one image: its scores, and below them those of the noisy image and the gain, where there is one."""
    keys = {
        "restored": measures,
        "noisy": [f"noisy_{measure}" for measure in measures],
        "gain": [f"gain{measure.removeprefix('psnr')}" for measure in measures],  # SSIM has none
    }
    if not noisy:
        keys = {"": measures}
    texts = [
        [label, *(_cell(measure, values.get(key)) for measure, key in zip(measures, found, strict=True))]
        for label, found in keys.items()
    ]
    return [[name if i == 0 else "", *text] for i, text in enumerate(texts)]


def _cell(measure: str, value: float | None) -> str:
    """PSNR and gain with two decimals, SSIM with four; nothing for a value that the image does not have."""
    if value is None:
        return ""
    return f"{value:.2f}" if measure.startswith("psnr") else f"{value:.4f}"


def _align(lines: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the first two to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


@app.command()
def audit(
    folders: Annotated[list[Path], typer.Argument(help="Folders of images; of one alone, its images with each other.")],
    csv: Annotated[Path | None, typer.Option(help="Where to write the pairs as CSV.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find pictures that stand in two FOLDERS, though mirrored, cropped, resized, grey or compressed again.

    Ends with status 1 if there are any.
    """
    from nasir.data.duplicates import audit as auditor
    from nasir.files import require_writable, write_csv, writing

    if csv is not None:
        require_writable(csv)
    matches = auditor.folders(folders)
    columns = ("first", "second", "correlation", "how")
    rows = [{column: getattr(match, column) for column in columns} for match in matches]
    lines = [
        f"{shown(match.first)} = {shown(match.second)}: correlation {match.correlation:.3f}, {match.how}"
        for match in matches
    ]
    try:
        if csv is not None:
            with writing(csv):
                write_csv(csv, rows, columns)
    finally:  # whichever of the two fails, the other is not lost
        if json:
            print_json({"folders": list(map(str, folders)), "pairs": rows})
        else:
            say("\n".join([*lines, f"{len(matches)} pairs show one picture"]))
    raise typer.Exit(1 if matches else 0)


for command in (restore.restore, show.show, profile.profile, compare.compare, export.export, datasets.datasets):
    app.command()(command)


def main() -> None:
    """Run a command; an error that says what to do is shown without a traceback, with status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a letter that a terminal lacks ends nothing
    threads.wait_briefly()
    sys.argv[1:] = failing.debug_first(sys.argv[1:])
    try:
        app()
    except Exception as error:
        failing.end(error, _told(error), 2)


def _told(error: Exception) -> str | None:
    """What to do about an error, in one line; None for one of which nothing is known."""
    if isinstance(error, ValueError | OSError):
        return suggest(str(error))
    if memory.is_exhausted(error):
        said = first_line(error) or "no memory"
        return f"memory must hold what an image needs, got: {said}; take a smaller one, or a smaller --tile of restore."
    return failing.missing(error) if isinstance(error, ModuleNotFoundError) else None
