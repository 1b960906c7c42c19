"""`nasir restore`: a person's pictures, one or a folder of them."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nasir.commands.places import Errand, match, plan
from nasir.commands.restorer import AUTO, BadPicture, Restored, Restorer, Settings
from nasir.commands.terminal import print_json, say, shown


def restore(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...", help="Pictures of 8 or 16 bits a channel, folders of them, or patterns such as 'a/*.png'."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="For one picture the .png to write; else a folder, in which a folder keeps its structure."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="A folder that retrain wrote, a file in it, or the name of a shipped network; none: the shipped one that fits."
        ),
    ] = None,
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Noise standard deviation in the pictures, 8-bit grey levels; auto or none: each picture's own estimate, "
            "or the level of MODEL."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="denoise, derain or camera; which shipped network to take; none: denoise.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    tile: Annotated[
        str, typer.Option(help="Side in pixels of the tiles of a large picture; auto: 512; 0: in one piece.")
    ] = AUTO,
    self_ensemble: Annotated[
        bool,
        typer.Option(
            "--self-ensemble",
            help="Mean over the 8 rotations and reflections, 8 times as slow; for rain over the picture and its mirror image.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, at the end.")] = False,
) -> None:
    """Restore pictures and write each as a PNG of its size, bits and channels; a network for grey takes colour by channels.

    Without MODEL the shipped network is taken whose noise level is next to SIGMA, and without SIGMA the picture's own estimate; a
    network is used at the level that it was trained for.

    16 bits a channel are read from PNG, TIFF and PGM, 8 from whatever Pillow reads. Alpha is kept as it was, and so are EXIF
    and a fitting ICC profile. A picture that EXIF says is turned is written upright, with EXIF saying so.

    A picture of more than TILE x TILE pixels is cut into tiles that are restored one by one, each with as much of the
    picture around it as the network sees, so that the result is that of the whole picture and memory that of a tile.

    Of several pictures one that cannot be restored, or whose result is there already, holds up no other: they are listed at the
    end, and the status is 2. Two pictures for one result (a.png and a.jpg) are refused before the work.
    """
    settings = Settings.read(model, sigma, task, device, tile, self_ensemble)
    from nasir.files import require_writable

    images = match(images)
    errands, problems = plan(images, out)
    is_alone = len(errands) == 1 and not problems
    for errand in errands[:1]:
        require_writable(errand.target)
    if is_alone and not images[0].is_dir():
        _refuse_there(errands[0].target, overwrite)
        done = Restorer(settings).run(errands[0])
        if json:
            _print_json([done], [], [])
        else:
            say(done.line(is_alone=True))
        _warn([done])
        return
    _restore_all(Restorer(settings), errands, problems, out, overwrite, json)


def _print_json(done: Sequence[Restored], bad: Sequence[str], there: Sequence[Path]) -> None:
    """What was restored, what could not be, and results that were there already and stay."""
    print_json({"restored": [asdict(one) for one in done], "refused": list(bad), "kept": list(map(str, there))})


def _warn(done: Sequence[Restored]) -> None:
    """Say in one line which results are not what a person may expect, and why: of the first, and how many more there are."""
    if found := [one for one in done if one.warning is not None]:
        more = f"; {len(found) - 1:,} more of {len(done):,} are like that" if len(found) > 1 else ""
        print(f"warning: {shown(found[0].target)}: {found[0].warning}{more}", file=sys.stderr)


def _refuse_there(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise ValueError(f"{target} must be a new file, got one that is there already; --overwrite replaces it.")


def _restore_all(
    restorer: Restorer, errands: Sequence[Errand], problems: Sequence[str], out: Path, overwrite: bool, json: bool
) -> None:
    """Restore picture after picture and say of each what was done; end with those of which nothing became, and status 2."""
    from tqdm import tqdm

    done: list[Restored] = []
    bad, there = list(problems), []
    with tqdm(errands, disable=None, file=sys.stderr, unit="picture", leave=False, dynamic_ncols=True) as progress:
        for errand in progress:
            if errand.target.exists() and not overwrite:
                there.append(errand.target)
                continue
            try:
                done.append(restorer.run(errand))
            except BadPicture as error:
                bad.append(str(error))
                continue
            if not json:
                with tqdm.external_write_mode(file=sys.stdout):
                    say(done[-1].line(is_alone=False))
    if json:
        _print_json(done, bad, there)
    else:
        say(f"{len(done):,} of {len(errands):,} pictures restored to {shown(out)}")
    _warn(done)
    if bad:
        print(f"{len(bad):,} could not be restored:", *map(shown, bad), sep="\n  ", file=sys.stderr)
    if there:
        named = shown(there[0]) + ", ..." * (len(there) > 1)
        print(
            f"{len(there):,} results are there already ({named}) and stay; --overwrite replaces them", file=sys.stderr
        )
    if bad or there:
        raise typer.Exit(2)
