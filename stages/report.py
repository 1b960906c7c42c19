"""report: the page and its figures, from what every step before it wrote."""

from pathlib import Path

from nasir import task as tasks
from nasir.config.params import Params
from nasir.data.pictures.collection import load
from nasir.files import Log, write_bytes, write_text
from nasir.reporting import drawings, figures
from nasir.reporting.html import composing
from nasir.reporting.run import contents, noise_card, page, pairs, record
from nasir.reporting.run.record import RANKS, Record
from nasir.reporting.tables import psnr
from nasir.spaces.contract import Space
from nasir.task import Task

ARTIFACTS = (".",)


def run(
    *,
    download: Path,
    pictures: Path,
    runs: Path,
    published: Path,
    studies: Path | None,
    space: Space,
    params: Params,
    out: Path,
    log: Log,
) -> None:
    """Write `report.md`, its figures and `index.html` into `out`; a missing input is named with the stage that writes it.

    Args:
        download: what download wrote.
        pictures: what pair wrote.
        runs: where every other step's folder lies under the step's name, and the folders `checks` and `receipts`.
        published: the printed values.
        studies: folder with the pages of studies of search strategies, shown in `index.html`; None shows none.
        space: of the found network.
        params: what a person chose.
        out: folder to write into.
        log: called once.
    """
    folders = record.Folders(download=download, pictures=pictures, runs=runs, published=published)
    contents.check(folders, space, params.task)
    read = record.read(folders, params, space, composing.descriptions())
    derive = folders.of("derive")
    drawn = {
        "search": figures.search_curves(read.search_history, read.search["best_step"]),
        "architecture": (derive / "architecture.png").read_bytes(),
        "architecture_svg": (derive / "architecture.svg").read_bytes(),
        "training": figures.training_curves(read.train_history),
    }
    if page.has_choices(read):
        drawn["choices"] = figures.choice_curves(read.search_history)
    if page.has_rewards(read):
        drawn["rewards"] = figures.reward_curves(read.search_history)
    if page.has_candidates(read):
        drawn["candidates"] = _candidates(read, space)
    task = tasks.find(read.params.task)
    if read.selection:
        drawn["noise"] = _noise_card(pictures, read, task)
    elif read.pairs and (repeated := pairs.repeated_pictures(pictures, read.listed)):
        drawn["repeated"] = repeated
    for rank in RANKS:
        picture = read.pictures[rank]
        captions = {
            "noisy": f"{task.degraded}, {psnr(picture['noisy_psnr_db'])} dB",
            "restored": f"restored, {psnr(picture['psnr_db'])} dB",
            "error": f"{picture['error_gain']:g} |restored - clean|",
        }
        drawn[rank] = figures.picture_strip(folders.picture(rank), captions)
    for name, data in drawn.items():
        write_bytes(out / page.FIGURES[name], data)
    write_text(out / "report.md", page.render(read))
    write_text(out / "index.html", composing.compose(folders, read, drawn, studies, {}))
    log(1, {"figures": float(len(drawn))})


def _candidates(read: Record, space: Space) -> bytes:
    """The best candidates of a search by rewards."""
    shown = [
        (
            f"candidate {number}: reward {one['reward']:.3f}, {psnr(one['psnr_db'])} dB on V, {one['parameters']:,} parameters",
            space.from_json(one["genotype"]),
        )
        for number, one in drawings.best(read.candidates)
    ]
    return drawings.sheet(shown, space, read.search)


def _noise_card(pictures: Path, read: Record, task: Task) -> bytes:
    """Noise of the kept test patches beside Gaussian noise of the same strength."""
    stacks = list(load(pictures, read.split["test"], task).values())
    both = [(stack[..., :3], stack[..., 3:]) for stack in stacks]
    camera = noise_card.describe(both)
    gaussian = noise_card.describe(noise_card.add_gaussian(both, camera["sigma"], read.params.seed))
    return noise_card.draw(camera, gaussian)
