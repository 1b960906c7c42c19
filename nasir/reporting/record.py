"""What a report is made from: the files that the earlier steps wrote, read and checked for presence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir import genotype as genotypes
from nasir.config import Params
from nasir.data import manifest, pictures
from nasir.data.manifest import Entry
from nasir.data.pictures import Picture
from nasir.evaluation.tiling import Tiling
from nasir.files import read_csv, read_json, sha256_file
from nasir.genotype import Genotype
from nasir.reporting import cells, history
from nasir.reporting.cells import Scores
from nasir.reporting.history import History

STEPS = ("download", "pair", "synthesize", "split", "audit", "search", "derive", "retrain", "evaluate")
"""The steps before the report, in the order of the pipeline."""

CHECKED = ("download", "pair", "synthesize", "split", "audit", "evaluate")
"""The steps whose results are checked."""

RANKS = ("worst", "median", "best")
"""The test images that evaluate draws, by rank of their PSNR."""

PANELS = ("clean", "noisy", "restored", "error")
"""The pictures of one test image, from left to right."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where the earlier steps' results lie."""

    download: Path  # its folder of this data set
    images: Path  # what pair wrote
    synthesize: Path
    split: Path
    audit: Path
    search: Path
    derive: Path
    retrain: Path
    evaluate: Path
    checks: Path
    receipts: Path
    published: Path  # the CSV file of published values

    def required(self) -> dict[Path, str]:
        """Every file that the report reads, with the step that writes it."""
        files = {
            self.download / "manifest.csv": "download",
            self.images / pictures.FILE: "pair",
            self.synthesize / "manifest.csv": "synthesize",
            self.split / "split.json": "split",
            self.audit / "audit.json": "audit",
            self.search / "search.json": "search",
            self.search / "history.csv": "search",
            self.derive / "genotype.json": "derive",
            self.derive / "architecture.svg": "derive",
            self.derive / "architecture.png": "derive",
            self.retrain / "history.csv": "retrain",
            self.retrain / "model" / "model.json": "retrain",
            self.evaluate / "metrics.json": "evaluate",
            self.evaluate / "scores.csv": "evaluate",
            self.evaluate / "timing.json": "evaluate",
            self.evaluate / "pictures" / "pictures.json": "evaluate",
        }
        files |= {self.picture(rank) / f"{name}.png": "evaluate" for rank in RANKS for name in PANELS}
        files |= {self.receipts / f"{step}.json": step for step in STEPS}
        return files

    def picture(self, rank: str) -> Path:
        """The folder with the pictures of the worst, median or best test image."""
        return self.evaluate / "pictures" / rank


@dataclass(frozen=True, kw_only=True)
class Record:
    """One pipeline run as plain values."""

    params: Params
    entries: list[Entry]  # files of the data set
    listed: list[Picture]  # pictures of the task
    pairs: list[dict[str, str]]  # of a task of pairs: how each one lies
    selection: dict[str, Any]  # by split: what became of a camera's candidates; else empty
    manifest_sha256: str
    noise: list[dict[str, str]]  # rows of synthesize's manifest
    split: dict[str, Any]  # lists of names under "w", "a", "v", "test"
    audit: dict[str, Any]
    search: dict[str, Any]
    search_history: History
    genotype: Genotype
    genotype_sha256: str
    model: dict[str, Any]
    train_history: History
    metrics: dict[str, Any]
    scores: dict[str, Scores]  # of each test image, by method
    seconds_per_image: dict[str, dict[str, float]]  # by method and protocol
    tiling: Tiling | None  # how the network had to cut images; None if it did not
    pictures: dict[str, dict[str, Any]]  # by rank: "name", "psnr_db", "noisy_psnr_db", "error_gain"
    checks: list[dict[str, Any]]
    receipts: dict[str, dict[str, Any]]  # by step
    published: list[dict[str, str]]
    protocols: dict[str, str]  # what each protocol does, by name


def read(folders: Folders, params: Params, protocols: dict[str, str]) -> Record:
    """Read everything that the report shows.

    Args:
        folders: where the earlier steps' results lie.
        params: what a person chose for this run.
        protocols: one line on each protocol, by name.

    Raises:
        ValueError: if files are missing; each is named with the step that writes it.
    """
    absent = [f"{path} (run {step})" for path, step in folders.required().items() if not path.is_file()]
    if not folders.published.is_file():
        absent.append(f"{folders.published} (a file of the repository: git checkout it)")
    if absent:
        raise ValueError(f"the report needs the results of every step before it, got no file at: {'; '.join(absent)}.")
    shown = {row["rank"]: row for row in read_json(folders.evaluate / "pictures" / "pictures.json")}
    if not set(RANKS) <= set(shown):
        raise ValueError(f"pictures.json must name the images {list(RANKS)}, got {sorted(shown)}; run evaluate again.")
    timing = read_json(folders.evaluate / "timing.json")
    return Record(
        params=params,
        entries=manifest.read(folders.download / "manifest.csv"),
        listed=pictures.read(folders.images),
        pairs=read_csv(described) if (described := folders.images / "pairs.csv").is_file() else [],
        selection=read_json(selected) if (selected := folders.images / "selection.json").is_file() else {},
        manifest_sha256=sha256_file(folders.download / "manifest.csv"),
        noise=read_csv(folders.synthesize / "manifest.csv"),
        split=read_json(folders.split / "split.json"),
        audit=read_json(folders.audit / "audit.json"),
        search=read_json(folders.search / "search.json"),
        search_history=history.read(folders.search / "history.csv"),
        genotype=genotypes.load(folders.derive / "genotype.json"),
        genotype_sha256=sha256_file(folders.derive / "genotype.json"),
        model=read_json(folders.retrain / "model" / "model.json"),
        train_history=history.read(folders.retrain / "history.csv"),
        metrics=read_json(folders.evaluate / "metrics.json"),
        scores=_read_scores(folders.evaluate / "scores.csv"),
        seconds_per_image=timing["seconds_per_image"],
        tiling=Tiling(**timing["tiling"]) if timing["tiling"] else None,
        pictures=shown,
        checks=[_read_check(folders.checks / f"{step}.json", step) for step in CHECKED],
        receipts={step: read_json(folders.receipts / f"{step}.json") for step in STEPS},
        published=read_csv(folders.published),
        protocols=protocols,
    )


def _read_scores(path: Path) -> dict[str, Scores]:
    rows = read_csv(path)
    methods = dict.fromkeys(row["method"] for row in rows)
    return {method: cells.to_scores((row for row in rows if row["method"] == method), path) for method in methods}


def _read_check(path: Path, step: str) -> dict[str, Any]:
    """A check's result; `success` is None where it was not run, as on a machine without Great Expectations."""
    if not path.is_file():
        return {"check": step, "success": None, "expectations": []}
    result: dict[str, Any] = read_json(path)
    return result
