"""What the page of the papers' tables is made from: printed values, the rows of each table, and our cells."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypedDict

from nasir import shapes
from nasir.files import read_csv, shortened
from nasir.reporting import cells
from nasir.reporting import published as printing
from nasir.reporting.cells import Result
from nasir.shapes import require_numbers, require_unique
from nasir.task import TASKS

TITLES = {
    "1": "denoising of grey images, BSD500",
    "2": "denoising of simulated camera noise, SIM1800",
    "3": "removing rain, Rain800",
    "4": "modified architectures",
    "5": "MSE against MSE + log SSIM as the loss, BSD500",
    "6": "MSE against MSE + log SSIM as the loss, Rain800",
    "clearer-1": "denoising of grey images against networks designed by hand, BSD500",
}
"""The tables of the papers: IR-NAS's by number, another one's by its name and number."""

PAPERS = ("IR-NAS (Zhang et al., arXiv:1909.08228v1)", "CLEARER (Gou et al., NeurIPS 2020)")
"""Where the printed values come from."""

TASK_OF = {"bsd500": "denoise", "sim1800": "camera", "rain800": "derain"}
"""The task of each of the paper's data sets."""

LEVEL = {task.name: 0.0 for task in TASKS.values() if task.is_paired}
"""Sigma of the cells of tasks whose images come degraded; the others have one for each noise level."""

TRANSFER = "irnas-of-"
"""How the methods of Table T begin; the task whose search found the network follows."""

SHIPPED = "shipped"
"""The profile of a page of the shipped networks: each one's own stands on its card."""

PRINTED_ONLY = "printed value only"
NOT_RUN = "not run"

ROWS = ("table", "row", "method", "why")
"""Columns of the file that says what fills each row."""

FOUND = "irnas"
"""The method whose cells hold the protocol matrix and against which the text's claims are made."""

HOME = "denoise"
"""The task whose cells hold the protocol matrix."""


class Found(TypedDict):
    """Of the `cell.json` of any cell."""

    method: str
    sigma: float
    seed: int
    draw: int
    reason: str | None


class Ran(TypedDict):
    """Of that of a cell that ran."""

    images: int
    settings: dict[str, float]
    flops_per_pixel: float | None
    genotype_sha256: str | None


class Searched(TypedDict):
    """Of a search that was measured."""

    seconds: float
    peak_memory_mib: float | None
    device: str
    is_resumed: bool
    steps: int


class Memory(TypedDict):
    """Of the memory of one iteration, with shared cells and without."""

    shared_mib: float
    unshared_mib: float
    what: str


class Inference(TypedDict):
    """Of the seconds of one image, by method."""

    image: str
    device: str
    threads: int
    seconds: dict[str, float | None]


class Measured(TypedDict, total=False):
    """What the claims stage wrote of a task."""

    parameters: dict[str, int | None]
    search: Searched | None
    memory: Memory | None
    inference: Inference | None


class Receipt(TypedDict):
    """Of that of a search, as far as it is read."""

    seconds: float
    device: str
    is_resumed: bool


@dataclass(frozen=True, kw_only=True)
class Method:
    """Which cells a method has."""

    reason: str | None  # why this profile does not run it; None: it does
    sigmas: tuple[float, ...]
    draws: tuple[int, ...] = (0,)  # that are averaged


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a study has of one task."""

    dataset: str
    methods: Mapping[str, Method]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which cells were to be made; nothing is looked for beyond it, and nothing of it may be missing."""

    profile: str
    parts: Mapping[str, Part]  # by task
    sigmas: tuple[float, ...]  # of the task denoise
    seeds: tuple[int, ...]
    protocols: tuple[str, ...]  # of the protocol matrix
    matrix_sigma: float  # of the protocol matrix

    @property
    def datasets(self) -> list[str]:
        """Of all tasks, each once."""
        return list(dict.fromkeys(part.dataset for part in self.parts.values()))

    @property
    def is_demo(self) -> bool:
        """Whether numbers are no result whatever they are."""
        return self.profile == "demo" or "sample" in self.datasets

    @property
    def label(self) -> str:
        """What may be concluded from any number of this run; stands in every caption."""
        words = f"data set{'s' if len(self.datasets) > 1 else ''} {', '.join(self.datasets)}"
        if self.is_demo:
            images = "shipped sample images" if self.datasets == ["sample"] else words
            training = "minutes of training" if self.profile == "demo" else f"profile {self.profile}"
            return f"DEMO ({images}, {training}): shows that the pipeline works, no result."
        if self.profile == "paper":
            return f"Profile paper, {words}: IR-NAS's lengths, deviations in profiles/paper.yaml."
        if self.profile == SHIPPED:
            return f"The networks of models/, {words}: other sizes or lengths than the papers', as their cards say."
        return f"Profile {self.profile}, {words}: other sizes or lengths than the papers'."


@dataclass(frozen=True, kw_only=True)
class Printed:
    """One row of a table of the paper, on one data set at one noise level."""

    table: str
    row: str
    dataset: str
    sigma: float | None  # None: the data are noisy or rainy already
    psnr_db: float
    ssim: float
    params_m: float | None  # parameters in millions
    time_s: float | None  # seconds for the whole test set
    time_device: str
    protocol: str  # that it was most likely measured with
    note: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: the paper's, ours, or both."""

    table: str
    label: str
    method: str | None  # what fills it; None: nothing does
    why: tuple[str, str] | None  # where nothing fills it: PRINTED_ONLY or NOT_RUN, and the reason


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A number that the paper states in its text, or states none for."""

    key: str
    words: str
    printed: float | None
    unit: str
    source: str
    why: str  # where nothing of ours stands beside it: PRINTED_ONLY or NOT_RUN, and the reason
    note: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything on the page, read."""

    plan: Plan
    printed: tuple[Printed, ...]
    rows: tuple[Row, ...]
    results: dict[tuple[str, str, float], Result]  # by task, method and sigma, of the methods that run
    matrix: Result | None  # the found network under every protocol; None where it does not run
    measured: dict[str, dict[str, Any]]  # what the claims stage wrote, by task; of those whose found network runs
    claims: dict[str, Claim]  # by key
    receipts: dict[str, dict[str, Any]]  # of the searches, by the names of their cells


def read(folder: Path, published: Path, rows: Path, plan: Plan) -> Study:
    """Read all that the page shows.

    Args:
        folder: holds the cells (`cells.find`), `claims/TASK.json` and `receipts/SEARCH.json`.
        published: the printed values.
        rows: what fills each row; `claims.csv` beside it holds the claims of the paper's text.
        plan: which cells were to be made.

    Raises:
        ValueError: if a file or a cell of the plan is missing, or printed values, rows and plan do not fit together.
    """
    printed = tuple(_read_printed(row) for row in printed_rows(published))
    table_rows = tuple(_read_row(row, rows) for row in read_csv(rows, ROWS))
    _check(printed, table_rows, plan, rows)
    found = [task for task, part in plan.parts.items() if FOUND in part.methods and part.methods[FOUND].reason is None]
    _check_cells(folder, plan)
    results = {
        (task, name, sigma): cells.read(folder, task, name, sigma, plan.seeds, method.draws)
        for task, part in plan.parts.items()
        for name, method in part.methods.items()
        if method.reason is None
        for sigma in method.sigmas
    }
    return Study(
        plan=plan,
        printed=printed,
        rows=table_rows,
        results=results,
        matrix=results[HOME, FOUND, plan.matrix_sigma].under(plan.protocols) if HOME in found else None,
        measured={task: _read_as(folder / "claims" / f"{task}.json", Measured) for task in found},
        claims={row["claim"]: _read_claim(row) for row in claim_rows(rows.with_name("claims.csv"))},
        receipts={path.stem: _read_as(path, Receipt) for path in sorted((folder / "receipts").glob("*.json"))},
    )


def _read_as(path: Path, shape: Any) -> dict[str, Any]:
    """A JSON file of the study; another shape is refused."""
    value: dict[str, Any] = shapes.read(path, shape, "run the stage that writes it again")
    return value


def _check_cells(folder: Path, plan: Plan) -> None:
    """Refuse cells whose files are not as they were written, before they are joined."""
    for task, part in plan.parts.items():
        for name, method in part.methods.items():
            for sigma, draw, seed in product(method.sigmas, method.draws, plan.seeds):
                if method.reason is None:
                    _check_cell(cells.find(folder, task, cells.folder_name(name, sigma, seed, draw)))


def _check_cell(folder: Path) -> None:
    facts, remedy = _read_as(folder / "cell.json", Found), "run that cell again"
    if facts["reason"] is None:
        shapes.hold(facts, Ran, folder / "cell.json", remedy)
        scores = folder / "scores.csv"
        require_unique(read_csv(scores, ("protocol", "name", *cells.MEASURES)), ("protocol", "name"), scores, remedy)


def printed_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of printed values, each of a data set whose task is known.

    Raises:
        ValueError: for another data set, a number that is not finite, or a damaged file.
    """
    rows = printing.read(path)
    for row, column in product(rows, ("sigma", "psnr_db", "ssim", "params_m", "time_s")):
        is_finite = not row[column] or math.isfinite(float(row[column]))
        shapes.require(
            is_finite, path, f"have finite numbers for {column}", row[column], "print them as the paper does"
        )
    strange = sorted({row["dataset"] for row in rows} - set(TASK_OF))
    if strange:
        raise ValueError(
            f"{path} must have printed values of the data sets {list(TASK_OF)}, got {shortened(strange)}; give them a task in "
            "TASK_OF."
        )
    return rows


def claim_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of claims of the papers' texts.

    Raises:
        ValueError: for a damaged file.
    """
    rows = read_csv(path, ("claim", "words", "printed", "unit", "source", "why", "note"))
    require_numbers(rows, ("printed",), path, is_given=False)
    require_unique(rows, ("claim",), path, "keep one")
    return rows


def _read_printed(row: Mapping[str, str]) -> Printed:
    return Printed(
        table=row["table"],
        row=row["row"],
        dataset=row["dataset"],
        sigma=_number(row["sigma"]),
        psnr_db=float(row["psnr_db"]),
        ssim=float(row["ssim"]),
        params_m=_number(row["params_m"]),
        time_s=_number(row["time_s"]),
        time_device=row["time_device"],
        protocol=row["protocol_inferred"],
        note=row["note"],
    )


def _read_row(row: Mapping[str, str], path: Path) -> Row:
    verdict, _, reason = row["why"].partition(": ")
    if row["method"]:
        if row["why"]:
            raise ValueError(
                f"{path}: {row['row']!r} of table {row['table']} has a method, so it needs no why; empty it."
            )
        return Row(table=row["table"], label=row["row"], method=row["method"], why=None)
    if verdict not in (PRINTED_ONLY, NOT_RUN) or not reason:
        raise ValueError(
            f"{path}: {row['row']!r} of table {row['table']} has no method, so its why must be "
            f"'{PRINTED_ONLY}: REASON' or '{NOT_RUN}: REASON', got {row['why']!r}."
        )
    return Row(table=row["table"], label=row["row"], method=None, why=(verdict, reason))


def _read_claim(row: Mapping[str, str]) -> Claim:
    return Claim(
        key=row["claim"],
        words=row["words"],
        printed=_number(row["printed"]),
        unit=row["unit"],
        source=row["source"],
        why=row["why"],
        note=row["note"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _check(printed: tuple[Printed, ...], rows: tuple[Row, ...], plan: Plan, path: Path) -> None:
    """Refuse a printed row that no row takes up, a doubled row, and methods that plan and rows do not share."""
    keys = [(row.table, row.label) for row in rows]
    unknown = sorted({row.table for row in rows} - set(TITLES))
    if unknown:
        raise ValueError(f"{path} may have the tables {list(TITLES)}, got {unknown}; give them a title in TITLES.")
    untold = sorted({TASK_OF[value.dataset] for value in printed} - set(plan.parts))
    if untold:
        raise ValueError(
            f"the plan must have the task of every printed value, got {list(plan.parts)} without {untold}; add to its parts."
        )
    doubled = sorted({key for key in keys if keys.count(key) > 1})
    if doubled:
        raise ValueError(f"{path} must have one line for each table and row, got several for {doubled}; keep one.")
    lost = sorted({(value.table, value.row) for value in printed} - set(keys))
    if lost:
        raise ValueError(f"{path} must take up every printed row, got no line for {lost}; add them.")
    empty = [row.label for row in rows if row.method is None and (row.table, row.label) not in _keys(printed)]
    if empty:
        raise ValueError(f"{path} must give each row a method or a printed value, got neither for {empty}.")
    of_table = {table: tasks_of(printed, table) for table in TITLES}
    used = {(task, row.method) for row in rows if row.method is not None for task in of_table[row.table]}
    planned = {(task, name) for task, part in plan.parts.items() for name in part.methods}
    needless = sorted((task, name) for task, name in planned - used if not name.startswith(TRANSFER))
    if needless or used - planned:
        raise ValueError(
            f"the plan and {path} must name the same methods, got only in the plan {needless}, "
            f"only in the rows {sorted(used - planned)}; say of each whether it runs, and which row it fills."
        )
    methods = plan.parts[HOME].methods if HOME in plan.parts else {}
    if plan.matrix_sigma not in plan.sigmas or "whole" not in plan.protocols or FOUND not in methods:
        raise ValueError(
            f"the protocol matrix needs {FOUND!r} in the plan, one of its sigmas {plan.sigmas} and the protocol 'whole', "
            f"got the methods {list(methods)}, sigma {plan.matrix_sigma:g} and protocols {plan.protocols}."
        )


def heading(table: str) -> str:
    """What a table is called: Table 1; of another paper than IR-NAS, CLEARER's Table 1."""
    paper, _, number = table.rpartition("-")
    return f"{paper.upper()}'s Table {number}" if paper else f"Table {number}"


def tasks_of(printed: tuple[Printed, ...], table: str) -> list[str]:
    """The tasks of a table, by the data sets that the paper prints in it."""
    return list(dict.fromkeys(TASK_OF[value.dataset] for value in printed if value.table == table))


def _keys(printed: tuple[Printed, ...]) -> set[tuple[str, str]]:
    return {(value.table, value.row) for value in printed}
