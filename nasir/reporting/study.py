"""What the page of the paper's tables is made from: printed values, the rows of each table, and our cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir.files import read_csv, read_json
from nasir.reporting import cells
from nasir.reporting.cells import Result

TITLES = {
    "1": "denoising of grey images, BSD500",
    "2": "denoising of simulated camera noise, SIM1800",
    "3": "removing rain, Rain800",
    "4": "modified architectures",
    "5": "MSE against MSE + log SSIM as the loss, BSD500",
    "6": "MSE against MSE + log SSIM as the loss, Rain800",
}
"""The paper's tables by number."""

PRINTED_ONLY = "printed value only"
NOT_RUN = "not run"

FOUND = "irnas"
"""The method whose cells hold the protocol matrix and against which the text's claims are made."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which cells were to be made; nothing is looked for beyond it, and nothing of it may be missing."""

    profile: str
    dataset: str
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    methods: Mapping[str, str | None]  # None: runs; else why this profile does not run it
    protocols: tuple[str, ...]  # of the protocol matrix
    matrix_sigma: float  # of the protocol matrix

    @property
    def is_demo(self) -> bool:
        """Whether numbers are no result whatever they are."""
        return self.profile == "demo" or self.dataset == "sample"

    @property
    def label(self) -> str:
        """What may be concluded from any number of this run; stands in every caption."""
        if self.is_demo:
            images = "shipped sample images" if self.dataset == "sample" else f"data set {self.dataset}"
            training = "minutes of training" if self.profile == "demo" else f"profile {self.profile}"
            return f"DEMO ({images}, {training}): shows that the pipeline works, no result."
        if self.profile == "paper":
            return f"Profile paper, data set {self.dataset}: the paper's lengths, deviations in profiles/paper.yaml."
        return f"Profile {self.profile}, data set {self.dataset}: other sizes or lengths than the paper's."


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
    results: dict[tuple[str, float], Result]  # by method and sigma, of the methods that run
    matrix: Result | None  # the found network under every protocol; None where it does not run
    measured: dict[str, Any]  # claims.json
    claims: dict[str, Claim]  # by key


def read(folder: Path, published: Path, rows: Path, plan: Plan) -> Study:
    """Read all that the page shows.

    Args:
        folder: holds `scores/` and `matrix/` with one folder for each cell (`cells.read`), and `claims.json`.
        published: the printed values.
        rows: what fills each row; `claims.csv` beside it holds the claims of the paper's text.
        plan: which cells were to be made.

    Raises:
        ValueError: if a file or a cell of the plan is missing, or printed values, rows and plan do not fit together.
    """
    printed = tuple(_read_printed(row) for row in read_csv(published))
    table_rows = tuple(_read_row(row, rows) for row in read_csv(rows))
    _check(printed, table_rows, plan, rows)
    running = [method for method, reason in plan.methods.items() if reason is None]
    return Study(
        plan=plan,
        printed=printed,
        rows=table_rows,
        results={
            (method, sigma): cells.read(folder / "scores", method, sigma, plan.seeds)
            for method in running
            for sigma in plan.sigmas
        },
        matrix=cells.read(folder / "matrix", FOUND, plan.matrix_sigma, plan.seeds) if FOUND in running else None,
        measured=read_json(folder / "claims.json"),
        claims={row["claim"]: _read_claim(row) for row in read_csv(rows.with_name("claims.csv"))},
    )


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
    doubled = sorted({key for key in keys if keys.count(key) > 1})
    if doubled:
        raise ValueError(f"{path} must have one line for each table and row, got several for {doubled}; keep one.")
    lost = sorted({(value.table, value.row) for value in printed} - set(keys))
    if lost:
        raise ValueError(f"{path} must take up every printed row, got no line for {lost}; add them.")
    empty = [row.label for row in rows if row.method is None and (row.table, row.label) not in _keys(printed)]
    if empty:
        raise ValueError(f"{path} must give each row a method or a printed value, got neither for {empty}.")
    used = {row.method for row in rows if row.method is not None}
    if used != set(plan.methods):
        raise ValueError(
            f"the plan and {path} must name the same methods, got only in the plan {sorted(set(plan.methods) - used)}, "
            f"only in the rows {sorted(used - set(plan.methods))}; say of each whether it runs, and which row it fills."
        )
    if plan.matrix_sigma not in plan.sigmas or "whole" not in plan.protocols or FOUND not in plan.methods:
        raise ValueError(
            f"the protocol matrix needs {FOUND!r} in the plan, one of its sigmas {plan.sigmas} and the protocol 'whole', "
            f"got the methods {list(plan.methods)}, sigma {plan.matrix_sigma:g} and protocols {plan.protocols}."
        )


def _keys(printed: tuple[Printed, ...]) -> set[tuple[str, str]]:
    return {(value.table, value.row) for value in printed}
