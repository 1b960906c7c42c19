"""report: the page and its figures, from what every step before it wrote."""

from pathlib import Path
from typing import Any

from nasir.config import Params
from nasir.evaluation.protocols import PROTOCOLS
from nasir.files import Log, write_bytes, write_text
from nasir.reporting import figures, page, record
from nasir.reporting.tables import psnr


def run(
    *,
    download: Path,
    images: Path,
    synthesize: Path,
    split: Path,
    audit: Path,
    search: Path,
    derive: Path,
    retrain: Path,
    evaluate: Path,
    checks: Path,
    receipts: Path,
    published: Path,
    params: dict[str, Any],
    out: Path,
    log: Log,
) -> None:
    """Write `report.md` and its figures into `out`; a missing input is named with the stage that writes it.

    `params` holds the keys of `params.yaml`.
    """
    folders = record.Folders(
        download=download,
        images=images,
        synthesize=synthesize,
        split=split,
        audit=audit,
        search=search,
        derive=derive,
        retrain=retrain,
        evaluate=evaluate,
        checks=checks,
        receipts=receipts,
        published=published,
    )
    read = record.read(folders, Params(**params), {name: protocol.description for name, protocol in PROTOCOLS.items()})
    drawn = {
        "search": figures.search_curves(read.search_history, read.search["best_step"]),
        "choices": figures.choice_curves(read.search_history),
        "architecture": (derive / "architecture.png").read_bytes(),
        "architecture_svg": (derive / "architecture.svg").read_bytes(),
        "training": figures.training_curves(read.train_history),
    }
    for rank, picture in read.pictures.items():
        captions = {
            "noisy": f"noisy, {psnr(picture['noisy_psnr_db'])} dB",
            "restored": f"restored, {psnr(picture['psnr_db'])} dB",
            "error": f"{picture['error_gain']:g} |restored - clean|",
        }
        drawn[rank] = figures.picture_strip(folders.picture(rank), captions)
    for name, data in drawn.items():
        write_bytes(out / page.FIGURES[name], data)
    write_text(out / "report.md", page.render(read))
    log(1, {"figures": float(len(drawn))})
