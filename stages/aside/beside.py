"""beside: the report's page once more, with what other runs made of the same test images."""

from collections.abc import Sequence
from pathlib import Path

from nasir.config.params import Params
from nasir.files import require_writable, write_text
from nasir.reporting.html import composing
from nasir.reporting.run import others, page, record
from nasir.reporting.run.others import Restored
from nasir.spaces import contract as spaces

TAKEN = (*record.PANELS, "tv", "nlm", "")
"""Names of the page's own pictures."""


def run(*, given: Sequence[str], params: Params, runs: Path, published: Path, studies: Path, out: Path) -> str:
    """Write the page.

    Args:
        given: NAME=FOLDER of each other run, FOLDER being what evaluate wrote there.
        params: of this run.
        runs: where each step's folder lies.
        published: the printed values.
        studies: the folder of this run's report, with the pages of studies of search strategies.
        out: file to write.

    Returns:
        For each other run how many of the shown images it has.

    Raises:
        ValueError: for a name that cannot be shown, a folder that evaluate did not write, a run that shares no image with
            this one, or a step of this run that is missing.
    """
    require_writable(out)
    found = _read(given)
    folders = record.Folders(
        download=runs / "download" / params.dataset, pictures=runs / "pair", runs=runs, published=published
    )
    space = spaces.find(params.space)
    read = record.read(folders, params, space, composing.descriptions())
    figures = {name: studies / path for name, path in page.FIGURES.items()}
    drawn = {name: path.read_bytes() for name, path in figures.items() if path.is_file()}
    for name in ("architecture", "architecture_svg"):
        if name not in drawn:
            raise ValueError(
                f"{studies} must hold the figures of this run's report, got no {page.FIGURES[name]}; run report first."
            )
    shared = {
        rank: others.find(found, picture["name"], folders.picture(rank)) for rank, picture in read.pictures.items()
    }
    counts = {name: sum(name in restored for restored in shared.values()) for name in found}
    for name, count in counts.items():
        if not count:
            raise ValueError(
                f"{name!r} must have restored test images that this run shows, got none of {len(read.pictures)}; run it on the "
                "same data set and split."
            )
    write_text(out, composing.compose(folders, read, drawn, studies, shared))
    return f"{out}: " + ", ".join(f"{name} at {count} of {len(read.pictures)}" for name, count in counts.items())


def _read(given: Sequence[str]) -> dict[str, Restored]:
    found: dict[str, Restored] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        if not equals or not folder or name in TAKEN or name in found or set(name) & set(",:\n"):
            raise ValueError(
                "another run must be NAME=FOLDER, with a name of its own that has no comma or colon and is none of "
                f"{', '.join(TAKEN[:-1])}, got {one!r}."
            )
        found[name] = others.read_run(Path(folder))
    return found
