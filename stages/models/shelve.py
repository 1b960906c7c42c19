"""shelve: make a finished run's network one of those that are shipped."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

from nasir.data.datasets import catalogue
from nasir.evaluation.scoring import MEASURES
from nasir.evaluation.statistics import mean_interval
from nasir.files import read_csv, read_json, write_csv, write_json
from nasir.inference import zoo
from nasir.settings import Settings

FILES = ("model.json", "best.safetensors", "scores.csv")
"""What a card vouches for."""

COLUMNS = ("protocol", "name", *MEASURES)


def run(*, runs: Path, settings: Settings, name: str, out: Path) -> None:
    """Write a folder with the network, its scores on every test image and its card.

    Args:
        runs: of the pipeline, all of it done.
        settings: that the run had.
        name: of the network.
        out: folder of all of them.

    Raises:
        ValueError: if a file of the run is missing; it is named, and nothing is written.
    """
    needed = [
        runs / path
        for path in (
            "retrain/model/model.json",
            "retrain/model/best.safetensors",
            "evaluate/scores.csv",
            "evaluate/metrics.json",
        )
    ]
    for path in needed:
        if not path.is_file():
            raise ValueError(f"a finished run must have the file {path}, got none; run the pipeline to its end first.")
    rows = [row for row in read_csv(runs / "evaluate/scores.csv") if row["method"] == "nasir"]
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in needed[:2]:
        shutil.copyfile(path, folder / path.name)
    write_csv(folder / "scores.csv", [{column: row[column] for column in COLUMNS} for row in rows], COLUMNS)
    metrics, split = read_json(runs / "evaluate/metrics.json"), read_json(runs / "split/split.json")
    write_json(
        folder / zoo.CARD,
        {
            "name": name,
            "task": settings.params.task,
            "sigma": settings.params.sigma if settings.params.task == "denoise" else 0,
            "parameters": metrics["parameters"],
            "flops_per_pixel": metrics["flops_per_pixel"],
            "scores": of_protocols(rows),
            "data": {
                "dataset": settings.params.dataset,
                "images": {part: len(split[part]) for part in ("w", "a", "v", "test")},
                "terms": catalogue.get(settings.params.dataset).terms,
            },
            "made_with": {"profile": settings.params.profile, "seed": settings.params.seed}
            | {part: settings.values[part] for part in ("search", "strategy", "space", "network", "retrain")},
            "runs": {stage: _receipt(runs / f"receipts/{stage}.json") for stage in ("search", "retrain", "evaluate")},
            "sha256": {file: sha256((folder / file).read_bytes()).hexdigest() for file in FILES},
        },
    )
    print(f"{folder}: {metrics['parameters']:,} parameters, {len(rows)} scores")


def of_protocols(rows: Sequence[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Of each protocol: how many images, the mean of each measure, and the 95 % interval of PSNR in dB."""
    found = {}
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        own = [row for row in rows if row["protocol"] == protocol]
        interval = asdict(mean_interval([float(row["psnr_db"]) for row in own]))
        found[protocol] = (
            {"images": len(own)}
            | {measure: fmean(float(row[measure]) for row in own) for measure in MEASURES}
            | {f"psnr_db_{bound}": interval[bound] for bound in ("low", "high")}
        )
    return found


def _receipt(path: Path) -> dict[str, Any]:
    """What a stage cost; nothing where it was not run here."""
    if not path.is_file():
        return {}
    found: dict[str, Any] = read_json(path)
    return {
        key: found[key] for key in ("seconds", "peak_memory_mib", "device", "precision", "commit") if key in found
    } | {"torch": found["versions"]["torch"]}
