"""What a report is made from: the files that the earlier steps wrote, read and checked for presence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir.config import reading
from nasir.config.params import Params
from nasir.data import manifest
from nasir.data.manifest import Entry
from nasir.data.pictures import listing
from nasir.data.pictures.listing import Picture
from nasir.files import read_csv, read_json, sha256_file
from nasir.inference.model import describe
from nasir.inference.tiling import Tiling
from nasir.reporting import cells, history
from nasir.reporting.cells import Scores
from nasir.reporting.history import History
from nasir.spaces.contract import Space

STEPS = ("download", "pair", "synthesize", "split", "audit", "search", "derive", "retrain", "evaluate")
"""The steps before the report, in the order of the pipeline."""

CHECKED = ("download", "pair", "synthesize", "split", "audit", "evaluate")
"""The steps whose results are checked."""

RANKS = ("worst", "median", "best")
"""The test images that every report shows, by rank of their PSNR; the rank of another one is its place, the worst being 1."""

PANELS = ("clean", "noisy", "restored", "error")
"""The pictures of one test image, from left to right."""

FILES = {
    "download": ("manifest.csv",),
    "pair": (listing.FILE,),
    "synthesize": ("manifest.csv",),
    "split": ("split.json",),
    "audit": ("audit.json",),
    "search": ("search.json", "history.csv"),
    "derive": ("genotype.json", "architecture.svg", "architecture.png"),
    "retrain": ("history.csv", "model/model.json"),
    "evaluate": ("metrics.json", "scores.csv", "timing.json", "pictures/pictures.json"),
}
"""What the report reads of each step, beside its receipt."""


TRIED = "candidates.json"
"""What a search has written of its candidates, where it had some."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where the earlier steps' results lie."""

    download: Path  # its folder of this data set
    pictures: Path  # what pair wrote
    runs: Path  # every other step's folder under its name, and those of checks and receipts
    published: Path  # the CSV file of published values

    def of(self, step: str) -> Path:
        """The folder of a step."""
        return {"download": self.download, "pair": self.pictures}.get(step, self.runs / step)

    def required(self) -> dict[Path, str]:
        """Every file that the report reads, with the step that writes it."""
        files = {self.of(step) / name: step for step, names in FILES.items() for name in names}
        files |= {self.picture(rank) / f"{name}.png": "evaluate" for rank in RANKS for name in PANELS}
        files |= {self.runs / "receipts" / f"{step}.json": step for step in STEPS}
        return files

    def picture(self, rank: str) -> Path:
        """The folder with the pictures of the worst, median or best test image, or one of another place."""
        return self.of("evaluate") / "pictures" / rank


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
    candidates: list[dict[str, Any]]  # of a search that a controller was rewarded in, in their order; else empty
    architecture: str  # what the space says of the retrained network
    genotype_sha256: str
    train_history: History
    metrics: dict[str, Any]
    scores: dict[str, Scores]  # of each test image, by method
    seconds_per_image: dict[str, dict[str, float]]  # by method and protocol
    tiling: Tiling | None  # how the network had to cut images; None if it did not
    pictures: dict[
        str, dict[str, Any]
    ]  # by rank: "place", "name", "psnr_db", "noisy_psnr_db", "classical_psnr_db", "error_gain"
    checks: list[dict[str, Any]]
    receipts: dict[str, dict[str, Any]]  # by step
    published: list[dict[str, str]]
    protocols: dict[str, str]  # what each protocol does, by name


def read(folders: Folders, params: Params, space: Space, protocols: dict[str, str]) -> Record:
    """Read everything that the report shows.

    Args:
        folders: where the earlier steps' results lie.
        params: what a person chose for this run.
        space: of the found network.
        protocols: one line on each protocol, by name.

    Raises:
        ValueError: if files are missing; each is named with the step that writes it.
    """
    absent = [f"{path} (run {step})" for path, step in folders.required().items() if not path.is_file()]
    if not folders.published.is_file():
        absent.append(f"{folders.published} (a file of the repository: git checkout it)")
    if absent:
        raise ValueError(f"the report needs the results of every step before it, got no file at: {'; '.join(absent)}.")
    shown = {row["rank"]: row for row in read_json(folders.of("evaluate") / "pictures" / "pictures.json")}
    if not set(RANKS) <= set(shown):
        raise ValueError(f"pictures.json must name the images {list(RANKS)}, got {sorted(shown)}; run evaluate again.")
    model = describe(folders.of("retrain") / "model")
    timing = read_json(folders.of("evaluate") / "timing.json")
    return Record(
        params=params,
        entries=manifest.read(folders.download / "manifest.csv"),
        listed=listing.read(folders.pictures),
        pairs=read_csv(described) if (described := folders.pictures / "pairs.csv").is_file() else [],
        selection=read_json(selected) if (selected := folders.pictures / "selection.json").is_file() else {},
        manifest_sha256=sha256_file(folders.download / "manifest.csv"),
        noise=read_csv(folders.of("synthesize") / "manifest.csv"),
        split=read_json(folders.of("split") / "split.json"),
        audit=read_json(folders.of("audit") / "audit.json"),
        search=read_json(folders.of("search") / "search.json"),
        search_history=(searched := history.read(folders.of("search") / "history.csv")),
        candidates=read_json(tried)
        if "reward" in searched and (tried := folders.of("search") / TRIED).is_file()
        else [],
        architecture=space.describe(
            space.from_json(model["genotype"]), reading.build(model["sizes"], space.Sizes, "model.json: sizes")
        ),
        genotype_sha256=sha256_file(folders.of("derive") / "genotype.json"),
        train_history=history.read(folders.of("retrain") / "history.csv"),
        metrics=read_json(folders.of("evaluate") / "metrics.json"),
        scores=_read_scores(folders.of("evaluate") / "scores.csv"),
        seconds_per_image=timing["seconds_per_image"],
        tiling=Tiling(**timing["tiling"]) if timing["tiling"] else None,
        pictures=shown,
        checks=[_read_check(folders.runs / "checks" / f"{step}.json", step) for step in CHECKED],
        receipts={step: read_json(folders.runs / "receipts" / f"{step}.json") for step in STEPS},
        published=read_csv(folders.published),
        protocols=protocols,
    )


def _read_scores(path: Path) -> dict[str, Scores]:
    rows = read_csv(path, ("method", "protocol", "name", *cells.MEASURES))
    methods = dict.fromkeys(row["method"] for row in rows)
    return {method: cells.to_scores((row for row in rows if row["method"] == method), path) for method in methods}


def _read_check(path: Path, step: str) -> dict[str, Any]:
    """A check's result; `success` is None where it was not run, as on a machine without Great Expectations."""
    if not path.is_file():
        return {"check": step, "success": None, "expectations": []}
    result: dict[str, Any] = read_json(path)
    return result
