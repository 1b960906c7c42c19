"""printed: the papers' tables with the scores that lie beside the shipped networks; nothing is trained or scored."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from nasir import task as tasks
from nasir.config.tables import load
from nasir.files import read_csv, sha256_file, write_bytes, write_csv, write_json, write_text
from nasir.inference import model as models
from nasir.inference import zoo
from nasir.reporting import history
from nasir.reporting.cells import folder_name
from nasir.reporting.paper import hours, page, patch_form, printed_csv, protocol_matrix
from nasir.reporting.paper.study import (
    HOME,
    NOT_RUN,
    ROWS,
    SHIPPED,
    TASK_OF,
    Method,
    Part,
    Plan,
    claim_rows,
    printed_rows,
)
from nasir.shapes import require, require_numbers, require_unique
from stages.models import cards
from stages.models.cards import COLUMNS
from stages.models.shelve import HISTORY
from stages.tables.page import plan_of
from stages.tables.score import CLASSICAL

LIKE = "small"
"""The study of tables/params.yaml whose data sets and noise levels the page has."""

SEED = 0
MISSING = "no such network is shipped"

MSE_ALONE = "-mse"
"""Behind the names of methods that are trained with MSE alone, in the tables that have both losses."""

EIGHT_BITS = "-truncated8"
"""Behind the names of methods that are trained for noise clipped and cut to 8 bits, as CLEARER's protocols have it."""

FLOAT_NOISE = ", trained for noise that is not clipped"
"""Behind the row of one that is not, where both are shipped."""

Key = tuple[str, str, float]
"""A cell: task, method and sigma."""


def run(*, published: Path, rows: Path, plan: Path, others: Path, out: Path) -> None:
    """Write `tables.md`, `hours.png`, and into `tables/` every number as CSV.

    Of several networks for one row and noise level the one with the best score under `whole` stands in it.

    Args:
        published, rows: the printed values, and which method fills which row.
        plan: params.yaml of the tables.
        others: folder of METHOD-SIGMA-SEED.csv, scores of methods that need no training, for denoising; those of another task
            in a folder of its name therein.
        out: folder to write into.
    """
    whole = plan_of(load(plan), LIKE)
    cells = _scored(others) | _shipped({task: part.dataset for task, part in whole.parts.items()})
    with tempfile.TemporaryDirectory() as place:
        study = Path(place)
        taken = _rows(rows, published, cells)
        chosen = _plan(whole, cells, taken)
        for task, part in chosen.parts.items():
            for name, method in part.methods.items():
                for sigma in method.sigmas if method.reason is None else ():
                    folder = study / "trained" / task / folder_name(name, sigma, SEED)
                    _write(folder, name, sigma, cells.get((task, name, sigma)))
        counts = {name: cell["parameters"] for (task, name, _), cell in cells.items() if task == HOME}
        for task in chosen.parts:
            write_json(study / "claims" / f"{task}.json", {"parameters": counts if task == HOME else {}})
        write_csv(study / "rows.csv", taken, list(taken[0]))
        claims = rows.with_name("claims.csv")
        claim_rows(claims)
        write_bytes(study / "claims.csv", claims.read_bytes())
        try:
            read = page.read(study, published, study / "rows.csv", chosen)
        except ValueError as error:  # which names files of a folder that is gone when a person looks for them
            raise ValueError(str(error).replace(str(study), str(rows.parent))) from error
    trainings, text = _trainings(), page.render(read)
    for name, rest in (("cells", printed_csv), ("protocols", protocol_matrix), ("patches", patch_form)):
        write_csv(out / "tables" / f"{name}.csv", rest.csv_rows(read), rest.COLUMNS)
    if trainings:
        write_bytes(out / "hours.png", hours.draw(trainings))
        text = f"{text.rstrip()}\n\n{hours.section(trainings, 'hours.png')}"
    write_text(out / "tables.md", text)
    print(f"{out / 'tables.md'}: {sum(result.reason is None for result in read.results.values())} results")


def _rows(path: Path, published: Path, cells: Mapping[Key, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Which method fills which row.

    Where both losses have one, a network trained with MSE alone stands in its own. In the table that prints scores with noise
    of 8 bits, networks trained for it stand in the rows of those that are not, if they are shipped for all of their levels.
    """
    rows = read_csv(path, ROWS)
    tasks = {(row["table"], TASK_OF[row["dataset"]]) for row in printed_rows(published)}
    filled = {(row["table"], row["method"]) for row in rows}
    found: list[dict[str, str]] = []
    others: dict[str, dict[str, str]] = {}
    for row in rows:
        own = [
            cell
            for (task, method, _), cell in cells.items()
            if (row["table"], task) in tasks and method == row["method"]
        ]
        is_other = own and all(cell["is_mse"] for cell in own) and (row["table"], row["method"] + MSE_ALONE) in filled
        found.append(row | {"method": "", "why": f"{NOT_RUN}: {MISSING}"} if is_other else row)
        if row["table"] == patch_form.TABLE and _has_eight_bits(cells, row["method"]):
            found[-1] = row | {"method": row["method"] + EIGHT_BITS}
            others.setdefault(row["method"], row | {"row": row["row"] + FLOAT_NOISE})
    return [*found, *others.values()]


def _has_eight_bits(cells: Mapping[Key, Mapping[str, Any]], method: str) -> bool:
    """Whether a method has, for every noise level that it has, also a network trained for noise of 8 bits."""
    levels, of_bits = (
        {sigma for task, name, sigma in cells if (task, name) == (HOME, wanted)}
        for wanted in (method, method + EIGHT_BITS)
    )
    return bool(levels) and of_bits >= levels


def _shipped(datasets: Mapping[str, str]) -> dict[Key, dict[str, Any]]:
    """Of each cell the best network of its task's data set: its scores, size and genotype."""
    found: dict[Key, dict[str, Any]] = {}
    for name in zoo.names():
        card, folder = cards.read(name), zoo.folder(name)
        if card["data"]["dataset"] != datasets.get(card["task"]):
            continue
        described = models.describe(folder)
        genotype = described.get("genotype")
        trained = card["made_with"]["retrain"]
        is_mse = not trained["ssim_weight"]
        name = described["network"] if genotype is None else genotype["space"]  # without a genotype: designed by hand
        searched_for = card["made_with"].get("architecture_of", card)["task"]
        name += "" if searched_for == card["task"] else f"-of-{searched_for}"
        noise = trained.get("noise", "float")  # of which older cards say nothing
        name += "" if noise == "float" else f"-{noise}"
        methods = (name, name + MSE_ALONE) if is_mse else (name,)
        score = card["scores"]["whole"]["psnr_db"]
        cell = {
            "score": score,
            "is_mse": is_mse,
            "rows": cards.scores(folder.name),
            "parameters": card["parameters"],
            "flops_per_pixel": card["flops_per_pixel"],
            "genotype": genotype,
        }
        for method in methods:
            key = (card["task"], method, float(card["sigma"]))
            if key not in found or found[key]["score"] < score:
                found[key] = cell
    return found


def _trainings() -> list[hours.Training]:
    """How the shipped networks were trained that kept their scores on V."""
    found = []
    for name in zoo.names():
        card, path = cards.read(name), zoo.SHELF / name / HISTORY
        run = card["runs"]["retrain"]
        if HISTORY not in card["sha256"] or not {"seconds", "device"} <= set(run) or run.get("is_resumed"):
            continue  # the seconds of a training that was carried on are those behind its last checkpoint
        if "start" in card["made_with"]:
            continue  # of a network that had been trained before
        zoo.folder(name)  # checks it
        curves = history.read(path)
        require("psnr_db" in curves, path, "hold psnr_db", list(curves), f"restore it (git checkout {path})")
        level = f"sigma {card['sigma']:g}" if card["task"] == HOME else card["task"]
        found.append(
            hours.Training(
                name=name,
                group=f"{card['data']['dataset']}, {level}",
                seconds=run["seconds"],
                device=run["device"],
                psnr=curves["psnr_db"],
            )
        )
    return sorted(found, key=lambda one: (one.group, one.name))


def _scored(folder: Path) -> dict[Key, dict[str, Any]]:
    """Of methods that need no training."""
    found = {}
    for task, method in product(tasks.TASKS, CLASSICAL):
        for path in sorted((folder if task == HOME else folder / task).glob(f"{method}-*-{SEED}.csv")):
            sigma = path.stem.removeprefix(f"{method}-").removesuffix(f"-{SEED}")
            nothing = dict.fromkeys(("is_mse", "parameters", "flops_per_pixel", "genotype"))
            rows = read_csv(path, COLUMNS)
            require_numbers(rows, COLUMNS[2:], path)
            require_unique(rows, ("protocol", "name"), path, "restore it (git checkout)")
            found[task, method, _level(sigma, path)] = {"rows": rows} | nothing
    if not found:
        raise ValueError(
            f"{folder} must hold METHOD-SIGMA-{SEED}.csv, scores of {', '.join(CLASSICAL)}, got none; check --others."
        )
    return found


def _level(text: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(
            f"{path} must have a noise level in its name, got {text!r}; name it METHOD-SIGMA-{SEED}.csv."
        ) from error


def _plan(plan: Plan, cells: Mapping[Key, Mapping[str, Any]], rows: Sequence[Mapping[str, str]]) -> Plan:
    """The study's plan with what is there and fills a row, and the reason of what is not there."""
    named, parts = {row["method"] for row in rows}, {}
    for task, part in plan.parts.items():
        methods = {}
        for name, method in part.methods.items():
            is_there = any((task, name, sigma) in cells for sigma in method.sigmas)
            methods[name] = Method(reason=None if is_there else MISSING, sigmas=method.sigmas)
            if task == HOME and name + EIGHT_BITS in named:
                methods[name + EIGHT_BITS] = Method(reason=None, sigmas=method.sigmas)
        parts[task] = Part(dataset=part.dataset, methods=methods)
    return replace(plan, profile=SHIPPED, parts=parts, seeds=(SEED,))


def _write(folder: Path, method: str, sigma: float, cell: Mapping[str, Any] | None) -> None:
    """A cell's files as a study has them; of one that is not there the reason."""
    facts: dict[str, Any] = {"method": method, "sigma": sigma, "seed": SEED, "draw": 0}
    if cell is None:
        write_json(folder / "cell.json", facts | {"reason": MISSING})
        return
    digest = None
    if cell["genotype"] is not None:
        write_json(folder / "genotype.json", cell["genotype"])
        digest = sha256_file(folder / "genotype.json")
    facts |= {"reason": None, "images": len({row["name"] for row in cell["rows"]}), "settings": {}}
    facts |= {"flops_per_pixel": cell["flops_per_pixel"], "genotype_sha256": digest}
    write_json(folder / "cell.json", facts)
    write_csv(folder / "scores.csv", [{column: row[column] for column in COLUMNS} for row in cell["rows"]], COLUMNS)
