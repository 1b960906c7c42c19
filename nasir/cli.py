"""`nasir`: what a person does with one image or with a folder of them."""

import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasir.commands import compare, datasets, export, profile, show
from nasir.commands.terminal import require_suffix, suggest

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


@app.command()
def restore(
    image: Annotated[Path, typer.Argument(help="An 8-bit image, grey or colour.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A folder that retrain wrote, or the name of a shipped network; none: the shipped one that fits."
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Noise standard deviation in the image, 8-bit grey levels; none: estimated.", min=0),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="denoise or derain; which shipped network to take; none: denoise.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    tile: Annotated[
        int, typer.Option(help="Side in pixels of the tiles of a large image; 0: in one piece.", min=0)
    ] = 512,
) -> None:
    """Restore IMAGE and write it to OUT as a PNG of the same size; a network for grey images takes colour channel by channel.

    Without MODEL the shipped network is taken whose noise level is next to SIGMA, and without SIGMA the image's own estimate; a
    network is used at the level that it was trained for.

    Transparency is dropped, which the answer says.

    An image of more than TILE x TILE pixels is cut into tiles that are restored one by one, each with as much of the
    image around it as the network sees, so that the result is that of the whole image and memory that of a tile.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out must end in .png (a lossy format would add noise again), got {out}.")
    from nasir.data.pictures import images
    from nasir.files import require_writable, writing

    require_writable(out)
    if sigma is not None and not math.isfinite(sigma):
        raise ValueError(f"--sigma must be a finite number of grey levels, got {sigma}.")
    if task is not None and model is not None:
        raise ValueError("--task chooses among the shipped networks, got --model, too; leave one of them out.")
    if task not in (None, "denoise") and sigma is not None:
        raise ValueError(f"--sigma is the level of noise to remove, got it with --task {task}; leave it out.")
    from nasir.inference import zoo

    noisy = images.load_colour(image)  # before the slower parts, so that a wrong path answers at once
    told = ""
    if model is None:
        task, level = task or "denoise", 0.0
        if task == "denoise":
            level = zoo.estimate(noisy) if sigma is None else sigma
            told = f" (noise of {level:.1f} {'estimated' if sigma is None else 'given'})"
        model = zoo.choose(task, level)
        sigma, told = float(zoo.card(model)["sigma"]), f", by {model}{told}"
    from nasir.inference import model as models
    from nasir.training.device import choose

    denoiser = models.load(model, choose(device), tile=tile)
    if denoiser.channels == 3 and noisy.ndim == 2:
        noisy = images.load_rgb(image)
    restored = models.restore_image(denoiser, noisy, denoiser.sigma if sigma is None else sigma)
    with writing(out):
        images.save_png(out, restored)
    cut = "" if denoiser.tiling is None else f" in {denoiser.tiling}"
    told += ", transparency dropped" if images.has_transparency(image) else ""
    _say(f"{_shown(out)}: {noisy.shape[1]}x{noisy.shape[0]}, restored at sigma {denoiser.sigma:g}{cut}{told}")


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
        _say(_table(scores, show_all))


def _table(scores: "Sequence[FolderScore]", show_all: bool) -> str:
    """Scores as aligned text: three lines of header, a line for each image, the mean, and what to know about them."""
    from nasir.evaluation import folders

    notes = [f"{len(scores)} {'image' if len(scores) == 1 else 'images'}"]
    shown = [(_shown(score.name), score.values) for score in scores]
    if len(scores) > SHOWN_AT_MOST and not show_all:
        ranking = folders.headline(scores)
        ranked = sorted(scores, key=lambda score: score.values[ranking])
        ends = (("worst", ranked[0]), ("best", ranked[-1]))
        shown = [(f"{word}: {_shown(score.name)}", score.values) for word, score in ends]
        notes.append(f"worst and best by PSNR of {ranking.split('_')[1]}; --all shows every image")
    colours = sum(score.kind == "colour" for score in scores)
    if 0 < colours < len(scores):
        notes.append(f"the means of rgb and y are over the {colours} colour images alone")
    mean = folders.mean(scores)
    measures = [measure for measure in folders.MEASURES if measure in mean]
    lines = [["image", ""] + [measure.split("_")[0].upper() for measure in measures]]
    lines.append(["", ""] + [measure.split("_")[1] for measure in measures])
    lines.append(["", ""] + [measure.split("_")[-1].replace("db", "dB") for measure in measures])
    for name, values in [*shown, ("mean", mean)]:
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
) -> None:
    """Find pictures that stand in two FOLDERS, though mirrored, cropped, resized, grey or compressed again.

    Ends with status 1 if there are any.
    """
    from nasir.data.duplicates import audit as auditor
    from nasir.files import require_writable, write_csv, writing

    if csv is not None:
        require_writable(csv)
    matches = auditor.folders(folders)
    lines = [
        f"{_shown(match.first)} = {_shown(match.second)}: correlation {match.correlation:.3f}, {match.how}"
        for match in matches
    ]
    try:
        if csv is not None:
            columns = ("first", "second", "correlation", "how")
            with writing(csv):
                write_csv(csv, [{column: getattr(match, column) for column in columns} for match in matches], columns)
    finally:  # whichever of the two fails, the other is not lost
        _say("\n".join([*lines, f"{len(matches)} pairs show one picture"]))
    raise typer.Exit(1 if matches else 0)


def _shown(name: object, kept: str = "") -> str:
    """A name as a terminal shows it: what it would obey instead of showing stands as \\x1b and the like, but for `kept`."""
    from nasir.files import as_unicode

    text = as_unicode(str(name))
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def _say(text: str) -> None:
    """Print an answer, now.

    Raises:
        ValueError: if it cannot be written, to a full disk, say.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again as it ends
        raise ValueError(
            f"the answer cannot be written to the output ({error.strerror}); send it elsewhere."
        ) from error


for command in (show.show, profile.profile, compare.compare, export.export, datasets.datasets):
    app.command()(command)


def main() -> None:
    """Run a command; an error that says what to do is shown without a traceback, with status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a letter that a terminal lacks ends nothing
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"error: {_shown(suggest(str(error)), kept=chr(10))}", file=sys.stderr)
        sys.exit(2)
