"""The page of a run: its record, the pictures of its test images, and those of other runs."""

from collections.abc import Mapping
from pathlib import Path

from nasir.evaluation.protocols import PROTOCOLS
from nasir.reporting.html import library, page, shots
from nasir.reporting.html import studies as html_studies
from nasir.reporting.html.shots import Shot
from nasir.reporting.run.others import One
from nasir.reporting.run.record import PANELS, RANKS, Folders, Record
from nasir.reporting.tables import psnr


def descriptions() -> dict[str, str]:
    """One line on each protocol, by name."""
    return {name: protocol.description for name, protocol in PROTOCOLS.items()}


def compose(
    folders: Folders,
    read: Record,
    drawn: Mapping[str, bytes],
    studies: Path | None,
    beside: Mapping[str, Mapping[str, One]],
) -> str:
    """The page as HTML.

    Args:
        folders: what the record was read from.
        read: the record of the run.
        drawn: files of the figures, by the keys of `nasir.reporting.run.page.FIGURES`.
        studies: folder with the pages of studies of search strategies, shown in the page; None shows none.
        beside: by rank, what other runs made of that test image, by the names of these runs.
    """
    methods = (*PANELS, *read.pictures[RANKS[0]]["classical_psnr_db"])
    others = sorted((rank for rank in read.pictures if rank not in RANKS), key=int)
    files, captions = dict[str, dict[str, Path]](), dict[str, dict[str, str]]()
    for rank in (*RANKS, *others):
        folder = folders.picture(rank)
        found = beside.get(rank, {})
        files[rank] = {name: folder / f"{name}.png" for name in methods} | {
            name: one.path for name, one in found.items()
        }
        captions[rank] = {name: f"{name}, {psnr(one.psnr_db)} dB" for name, one in found.items()}
    shown: dict[str, Shot] = {}
    for ranks, most in ((RANKS, shots.MOST), (others, shots.MOST_OTHERS)):
        shown |= dict(
            zip(ranks, shots.load([files[rank] for rank in ranks], most), strict=False)
        )  # the last may not fit
    of_studies = html_studies.read(studies) if studies else []
    return page.render(read, drawn, shown, captions, of_studies, library.script())
