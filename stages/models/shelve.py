"""shelve: make a finished run's network one of those that are shipped."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, TypedDict

from nasir.config.retrain import RetrainConfig
from nasir.data import split_lists
from nasir.data.datasets import catalogue as datasets
from nasir.evaluation.scoring import MEASURES
from nasir.evaluation.statistics import mean_interval
from nasir.files import read_csv, sha256_file, shortened, write_bytes, write_csv, write_json
from nasir.inference import model as models
from nasir.inference import zoo
from nasir.networks import catalogue
from nasir.reporting import cells, history
from nasir.settings import Settings
from nasir.shapes import read, require_unique
from stages.models import cards
from stages.models.cards import COLUMNS

FILES = ("model.json", "best.safetensors", "scores.csv")
"""What a card vouches for."""

STAGES = ("search", "retrain", "evaluate")
"""Whose receipts a card has."""

HISTORY = "validation.csv"
"""Scores on V in the course of the training, which a card vouches for where the run has kept them."""

PARTS = ("search", "strategy", "space", "network", "retrain", "tone")
"""The sections that made a found network."""

OWN = ("retrain", "tone")
"""And one designed by hand, or trained further, whose `start` says which it was."""

FOUND_BEFORE = ("space", "network", *OWN)
"""And one whose architecture another shipped network's search has found; `architecture_of` says which."""

AGAIN = "run the pipeline to its end again"


class Metrics(TypedDict):
    """Of what evaluate wrote, as far as it is read."""

    parameters: int
    flops_per_pixel: float
    weights_sha256: str


class Start(TypedDict):
    """Of what retrain wrote of the network that it began with."""

    name: str
    weights_sha256: str


class Versions(TypedDict):
    """Of packages."""

    torch: str


class Receipt(TypedDict, total=False):
    """Of what a stage has cost, as far as it is read."""

    seed: int
    profile: str
    settings: dict[str, object]
    versions: Versions


def run(*, runs: Path, settings: Settings, name: str, out: Path) -> None:
    """Write a folder with the network, its scores on every test image and its card.

    Args:
        runs: of the pipeline, all of it done.
        settings: that the run had.
        name: of the network.
        out: folder of all of them.

    Raises:
        ValueError: if a file of the run is missing, the settings are another run's or the scores another network's, the images
            are a folder of one's own, whose terms nobody knows, or `whole` was not scored. Nothing is written then.
    """
    needed = {
        name: runs / path
        for name, path in {
            "model": "retrain/model/model.json",
            "weights": "retrain/model/best.safetensors",
            "scores": "evaluate/scores.csv",
            "metrics": "evaluate/metrics.json",
            "split": "split/split.json",
        }.items()
    }
    for path in needed.values():
        if not path.is_file():
            raise ValueError(f"a finished run must have the file {path}, got none; run the pipeline to its end first.")
    params, values = settings.params, settings.values
    sigma = params.sigma if params.task == "denoise" else 0
    model = models.describe(needed["model"].parent)
    if (model["task"], model["sigma"]) != (params.task, sigma):
        raise ValueError(
            f"{settings.where} must be the settings of the run in {runs}, a network for {model['task']} at sigma "
            f"{model['sigma']:g}, got {params.task} at {sigma:g}; give its own with --settings."
        )
    started = runs / "retrain/start.json"
    start = {"start": dict(read(started, Start, AGAIN))} if started.is_file() else {}
    if (baseline := model.get("network")) is not None and not start:
        trained = catalogue.find(baseline).at_its_rate(settings.of_class(RetrainConfig))
        values = {**values, "retrain": asdict(trained)}
    _check_settings(runs, values, settings.where)
    origin: dict[str, dict[str, str]] = {}
    parts: tuple[str, ...] = OWN
    if baseline is None and not start:  # found by a search: this run's, or another's
        origin = {} if (runs / "receipts/search.json").is_file() else _origin(model["genotype"])
        parts = FOUND_BEFORE if origin else PARTS
    metrics: Mapping[str, Any] = read(needed["metrics"], Metrics, AGAIN)
    split = split_lists.read(needed["split"], ["w", "a", "v", "test"])
    if metrics["weights_sha256"] != sha256_file(needed["weights"]):
        raise ValueError(
            f"{needed['metrics']} must be of the network in {needed['weights'].parent}, got scores of another; run evaluate "
            "again."
        )
    rows = [row for row in read_csv(needed["scores"], ("method", *COLUMNS)) if row["method"] == "nasir"]
    cells.to_scores(rows, needed["scores"])
    require_unique(rows, ("protocol", "name"), needed["scores"], AGAIN)
    scores = of_protocols(rows)
    if "whole" not in scores:
        raise ValueError(
            f"{needed['scores']} must have scores under the protocol whole, got {list(scores)}; add it to evaluate.protocols."
        )
    card: dict[str, Any] = {
        "name": name,
        "task": params.task,
        "sigma": sigma,
        "parameters": metrics["parameters"],
        "flops_per_pixel": metrics["flops_per_pixel"],
        "scores": scores,
        "data": {
            "dataset": params.dataset,
            "images": {part: len(split[part]) for part in ("w", "a", "v", "test")},
            "split_sha256": sha256_file(needed["split"]),
            "terms": datasets.get(params.dataset).terms,
        },
        "made_with": {"profile": params.profile, "seed": params.seed}
        | start
        | origin
        | {part: values[part] for part in parts},
        "runs": {stage: _receipt(runs / f"receipts/{stage}.json") for stage in STAGES},
    }
    kept = _history(runs / "retrain/history.csv")
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / zoo.CARD).unlink(missing_ok=True)  # no card vouches for files that are being replaced
    for path in (needed["model"], needed["weights"]):
        write_bytes(folder / path.name, path.read_bytes())
    write_csv(folder / "scores.csv", [{column: row[column] for column in COLUMNS} for row in rows], COLUMNS)
    (folder / HISTORY).unlink(missing_ok=True)
    if kept:
        write_csv(folder / HISTORY, kept, ("step", "metric", "value"))
    hashes = {file: sha256_file(folder / file) for file in (*FILES, *([HISTORY] if kept else []))}
    write_json(folder / zoo.CARD, card | {"sha256": hashes})
    print(f"{folder}: {metrics['parameters']:,} parameters, {len(rows)} scores")
    if missing := [stage for stage, receipt in card["runs"].items() if not receipt]:
        print(
            f"the card does not say what these stages cost, as {runs / 'receipts'} has no receipt of them: {', '.join(missing)}"
        )


def _origin(genotype: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The shipped network for which this architecture was searched, and its task; empty if there is none."""
    for name in zoo.names():
        card = cards.read(name)
        if card["runs"]["search"] and models.describe(zoo.folder(name)).get("genotype") == genotype:
            return {"architecture_of": {"name": name, "task": card["task"]}}
    return {}


def _check_settings(runs: Path, values: Mapping[str, Any], where: str) -> None:
    """Refuse settings that a stage of the run did not have; one that was not run here has no receipt."""
    asked = {f"{name}.{key}": value for name, section in values.items() for key, value in section.items()}
    for stage in STAGES:
        path = runs / f"receipts/{stage}.json"
        had: Mapping[str, Any] = read(path, Receipt, AGAIN) if path.is_file() else {}
        facts = {f"params.{key}": had[key] for key in ("seed", "profile") if key in had} | had.get("settings", {})
        for key, value in facts.items():
            if key in asked and asked[key] != value:
                raise ValueError(
                    f"{where} must be the settings of the run in {runs}, got {key} {shortened(asked[key])} where "
                    f"its {stage} had {shortened(value)}; run the pipeline to its end, or give the run's own with --settings."
                )


def _history(path: Path) -> list[dict[str, str]]:
    """The scores on V among what a training recorded; none where the run has not kept it."""
    if not path.is_file():
        return []
    history.read(path)  # refuses what is no number
    return [row for row in read_csv(path) if row["metric"] in ("psnr_db", "ssim")]


def add(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put scores under further protocols beside those that a shipped network has, and on its card.

    Args:
        name: of the network.
        rows: with the columns `COLUMNS`.
    """
    card, folder = cards.read(name), zoo.folder(name)
    texts = [{column: str(row[column]) for column in COLUMNS} for row in rows]
    all_rows = [*cards.scores(name), *texts]
    (folder / zoo.CARD).unlink()  # no card vouches for a file that is being replaced
    write_csv(folder / "scores.csv", all_rows, COLUMNS)
    hashes = card["sha256"] | {"scores.csv": sha256_file(folder / "scores.csv")}
    write_json(folder / zoo.CARD, card | {"scores": of_protocols(all_rows), "sha256": hashes})


def of_protocols(rows: Sequence[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Of each protocol: how many images, the mean of each measure, and of two images or more the 95 % interval of PSNR in dB."""
    found = {}
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        own = [row for row in rows if row["protocol"] == protocol]
        interval = asdict(mean_interval([float(row["psnr_db"]) for row in own])) if len(own) > 1 else {}
        found[protocol] = (
            {"images": len(own)}
            | {measure: fmean(float(row[measure]) for row in own) for measure in MEASURES}
            | {f"psnr_db_{bound}": interval[bound] for bound in ("low", "high") if interval}
        )
    return found


def _receipt(path: Path) -> dict[str, Any]:
    """What a stage cost; nothing where it was not run here."""
    if not path.is_file():
        return {}
    found: Mapping[str, Any] = read(path, Receipt, AGAIN)
    return {
        key: found[key]
        for key in ("seconds", "is_resumed", "peak_memory_mib", "device", "processor", "precision", "commit")
        if key in found
    } | ({"torch": found["versions"]["torch"]} if "versions" in found else {})
