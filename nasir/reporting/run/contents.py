"""What the report's files must hold, each said as a type: a file that was damaged is named before anything is drawn."""

from typing import Any, NotRequired, TypedDict

from nasir.data import manifest, split_lists
from nasir.data.pictures import listing
from nasir.files import read_csv, read_json
from nasir.inference.model import describe
from nasir.inference.tiling import Tiling
from nasir.reporting import published
from nasir.reporting.cells import MEASURES
from nasir.reporting.run.record import CHECKED, PANELS, RANKS, STEPS, TRIED, Folders
from nasir.reporting.tables import INPUT, OURS
from nasir.shapes import naming, read, require, require_numbers, require_unique
from nasir.spaces.contract import Space
from nasir.task import LOOKS


class Receipt(TypedDict):
    """Of a step."""

    stage: str
    is_resumed: bool
    seconds: float
    peak_memory_mib: float | None
    device: str
    precision: NotRequired[str | None]
    versions: dict[str, str | None]
    commit: str | None


class Expectation(TypedDict):
    """Of a check."""

    expectation: str
    column: str | None
    success: bool
    unexpected: list[object] | None
    observed: object


class Check(TypedDict):
    """Of a step's results."""

    check: str
    success: bool
    expectations: list[Expectation]


class Audit(TypedDict):
    """Of the split."""

    images: int
    matches: int
    planted: dict[str, int]
    found: dict[str, int]
    false: list[list[str]]
    recall: float
    precision: float


class Split(TypedDict):
    """Beside the lists, which `split_lists` reads."""

    exclude_leaks: bool


class Candidates(TypedDict):
    """Of a camera's part."""

    counts: dict[str, int]


class Search(TypedDict):
    """Beside what a space and a strategy say of themselves."""

    best_step: int
    strategy: NotRequired[str]
    steps: NotRequired[int]
    collapse: NotRequired[str]


class Tried(TypedDict):
    """A candidate that a controller was rewarded for."""

    genotype: dict[str, Any]
    tokens: list[int]
    parameters: int
    reward: float
    psnr_db: NotRequired[float]
    failure: NotRequired[str]


class Means(TypedDict):
    """Of a method under a protocol."""

    psnr_db: float
    ssim_zero_padded: float
    ssim_valid: float


class Metrics(TypedDict):
    """Of all methods."""

    images: int
    parameters: int
    flops_per_pixel: float
    methods: dict[str, dict[str, Means]]
    classical: dict[str, dict[str, float]]


class Timing(TypedDict):
    """Of all methods."""

    seconds_per_image: dict[str, dict[str, float]]
    tiling: Tiling | None


class Shown(TypedDict):
    """A test image with its pictures."""

    rank: str
    place: int
    name: str
    psnr_db: float
    noisy_psnr_db: float
    classical_psnr_db: dict[str, float]
    error_gain: float


def check(folders: Folders, space: Space, task: str) -> None:
    """Hold every file that the report reads against its type, and those that speak of the same things against each other.

    Files that are missing are left to `nasir.reporting.run.record.read`, which names all of them. What is not said here, that
    function checks as it reads.

    Args:
        folders: where the earlier steps' results lie.
        space: of the found network.
        task: the run's.

    Raises:
        ValueError: naming the file, what was expected in it, what came and the step to run again.
    """
    if not all(path.is_file() for path in (*folders.required(), folders.published)):
        return
    for step in STEPS:
        _of_step(folders, "receipts", step, Receipt, "stage")
    for step in CHECKED:
        _of_step(folders, "checks", step, Check, "check")
    _data(folders, task)
    _search(folders, space)
    _scores(folders)
    published.read(folders.published)


def _of_step(folders: Folders, kind: str, step: str, shape: type, key: str) -> None:
    path = folders.runs / kind / f"{step}.json"
    if path.is_file():
        found: Any = read(path, shape, f"run {step} again")
        require(found[key] == step, f"{path}: {key}", f"be {step!r}", found[key], f"run {step} again")


def _data(folders: Folders, task: str) -> None:
    with naming(path := folders.of("download") / "manifest.csv", "run download again"):
        manifest.read(path)
    with naming(folders.of("pair") / listing.FILE, "run pair again"):
        names = {picture.name for picture in listing.read(folders.of("pair"))}
    path = folders.of("split") / "split.json"
    read(path, Split, "run split again")
    for part, listed in split_lists.read(path, ["w", "a", "v", "test", "leaks"]).items():
        unknown = [name for name in listed if name not in names]
        require(not unknown, f"{path}: {part}", f"name pictures of {listing.FILE}", unknown[:1], "run split again")
    path, again = folders.of("audit") / "audit.json", "run audit again"
    audit = read(path, Audit, again)
    planted, found = sorted(audit["planted"]), sorted(audit["found"])
    require(found == planted, f"{path}: found", f"have {planted}", found, again)
    path, again = folders.of("synthesize") / "manifest.csv", "run synthesize again"
    noise = read_csv(path, ("name", "split", "measured_sigma", "noisy_psnr_db"))
    require_unique(noise, ("name",), path, again)
    require_numbers(noise, ("measured_sigma", "noisy_psnr_db"), path)
    parts = sorted({row["split"] for row in noise})
    require("test" in parts and {*parts} <= {*manifest.SPLITS}, path, "have rows of train and test", parts, again)
    if (path := folders.of("pair") / "selection.json").is_file():
        read(path, dict[str, Candidates], "run pair again")
    if (path := folders.of("pair") / "pairs.csv").is_file():
        looks = (LOOKS[task], "degraded_side") if task in LOOKS else ()
        rows = read_csv(path, ("name", "psnr_db", "shift_y", "shift_x", *looks))
        require_unique(rows, ("name",), path, "run pair again")
        require_numbers(rows, ("psnr_db",), path)


def _search(folders: Folders, space: Space) -> None:
    for step in ("search", "retrain"):
        path = folders.of(step) / "history.csv"
        rows = read_csv(path, ("step", "metric", "value"))
        require_unique(rows, ("step", "metric"), path, f"run {step} again")
    path = folders.of("search") / "search.json"
    facts = read(path, Search, "run search again")
    if facts.get("strategy") == "one_shot":
        require("steps" in facts, path, "have steps", [*facts], "run search again")
    path = folders.of("search") / TRIED
    if facts.get("strategy") == "rl" and path.is_file():
        for one in read(path, list[Tried], "run search again"):
            require("failure" in one or "psnr_db" in one, path, "have psnr_db or failure", [*one], "run search again")
            with naming(path, "run search again"):
                space.from_json(one["genotype"])
    with naming(folders.of("retrain") / "model" / "model.json", "run retrain again"):
        space.from_json(describe(folders.of("retrain") / "model")["genotype"])
    path = folders.of("derive") / "genotype.json"
    with naming(path, "run derive again"):
        space.from_json(read_json(path))


def _scores(folders: Folders) -> None:
    again, folder = "run evaluate again", folders.of("evaluate")
    path = folder / "metrics.json"
    means = read(path, Metrics, again)["methods"]
    for method in (INPUT, OURS):
        require(bool(means.get(method)), f"{path}: methods", f"have scores of {method!r}", [*means], again)
    protocols = [*means[OURS]]
    for method, of in means.items():
        require([*of] == protocols, f"{path}: methods.{method}", f"have the protocols {protocols}", [*of], again)
    path = folder / "scores.csv"
    rows = read_csv(path, ("method", "protocol", "name", *MEASURES))
    require_unique(rows, ("method", "protocol", "name"), path, again)
    scored = {(row["method"], row["protocol"]) for row in rows}
    told = {(method, protocol) for method, of in means.items() for protocol in of}
    require(scored == told, path, "have the methods and protocols of metrics.json", sorted(scored ^ told)[:1], again)
    test = split_lists.read(folders.of("split") / "split.json", ["test"])["test"]
    for key in sorted(scored):
        names = sorted({row["name"] for row in rows if (row["method"], row["protocol"]) == key})
        require(names == sorted(test), f"{path}: {' under '.join(key)}", "be of the test images", names, again)
    read(folder / "timing.json", Timing, again)
    path = folder / "pictures" / "pictures.json"
    shown = read(path, list[Shown], again)
    ranks = [row["rank"] for row in shown]
    others = [rank for rank in ranks if rank.isascii() and rank.isdigit()]
    expected = sorted([*RANKS, *set(others)])
    require(
        sorted(ranks) == expected, path, f"name the images {list(RANKS)} and places, each once", sorted(ranks), again
    )
    classical = sorted(means.keys() - {INPUT, OURS})
    for row in shown:
        methods = sorted(row["classical_psnr_db"])
        require(methods == classical, f"{path}: classical_psnr_db", f"be of {classical}", methods, again)
        files = [folders.picture(row["rank"]) / f"{name}.png" for name in (*PANELS, *methods)]
        absent = [str(file) for file in files if not file.is_file()]
        require(not absent, f"the pictures of {path}", "be there", absent[:1], again)
