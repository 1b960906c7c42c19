"""tables: the paper's tables beside our values, from the cells of one study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from nasir.config import TablesConfig, load_tables
from nasir.evaluation.protocols import PROTOCOLS
from nasir.files import Log, write_bytes, write_csv, write_text
from nasir.reporting import claims, figures, history, paper, printed_csv, protocol_matrix, transfer
from nasir.reporting.study import HOME, LEVEL, Method, Part, Plan


def choose(plan: Path, profile: str) -> None:
    """Write the study to run and show into `study.yaml` beside `plan`; an unknown one is refused."""
    study = load_tables(plan, profile).study
    header = "# The study that runs, and which of its cells; written by make tables PROFILE=... from params.yaml.\n"
    text = header + yaml.safe_dump({"study": study}, sort_keys=False, default_flow_style=None)
    path = plan.with_name("study.yaml")
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)


def plan_of(config: TablesConfig, datasets: Mapping[str, str]) -> Plan:
    """Which cells a study has, and why it has no others; `datasets` by task."""

    def cells(task: str, names: Sequence[str], studies: tuple[str, ...]) -> dict[str, Method]:
        is_run = config.profile in studies
        reason = None if is_run else f"too slow for the profile {config.profile}: runs with {', '.join(studies)}"
        sigmas = (LEVEL[task],) if task in LEVEL else config.sigmas
        return {name: Method(reason=reason, sigmas=sigmas) for name in names}

    def trials(task: str) -> dict[str, Method]:
        draws: dict[str, list[int]] = {}
        for trial in config.trials:
            if trial.task == task:
                draws.setdefault(trial.method, []).append(trial.draw)
        sigmas = (LEVEL.get(task, config.trial_sigma),)
        return {
            name: replace(method, sigmas=sigmas, draws=tuple(draws[name]))
            for name, method in cells(task, list(draws), config.with_trials).items()
        }

    methods = {
        HOME: cells(HOME, (*config.classical, "bm3d", "irnas"), config.all)
        | cells(HOME, config.controls, config.with_controls)
        | cells(HOME, config.baselines, config.with_baselines)
    }
    for task in config.paired:
        methods[task] = cells(task, ("noisy",), config.with_trials)
    if "derain" in config.paired:
        methods["derain"] |= cells("derain", config.derain_baselines, config.with_trials)
        methods["derain"] |= cells("derain", config.derain_slow, config.with_baselines)
    return Plan(
        profile=config.profile,
        parts={task: Part(dataset=datasets[task], methods=found | trials(task)) for task, found in methods.items()},
        sigmas=config.sigmas,
        seeds=config.seeds,
        protocols=tuple(PROTOCOLS),
        matrix_sigma=config.matrix_sigma,
    )


def run(
    *,
    study: Path,
    published: Path,
    rows: Path,
    datasets: Mapping[str, str],
    out: Path,
    config: TablesConfig,
    log: Log,
) -> None:
    """Write `tables.md`, and into `tables/` every number as CSV and the curves of the searches.

    Args:
        study: folder of the study's cells, claims and searches.
        published, rows: the printed values, and which method fills which row.
        datasets: of the study, by task.
    """
    plan = plan_of(config, datasets)
    read = paper.read(study, published, rows, plan)
    strategies = ("darts", "random") if config.profile in config.with_controls else ("darts",)
    searches = [history.read(study / HOME / "search" / strategy / "history.csv") for strategy in strategies]
    write_bytes(out / "tables" / "best_so_far.png", figures.best_so_far_curves(*searches))
    for name, part in (
        ("cells", printed_csv),
        ("protocols", protocol_matrix),
        ("transfer", transfer),
        ("claims", claims),
    ):
        write_csv(out / "tables" / f"{name}.csv", part.csv_rows(read), part.COLUMNS)
    write_text(out / "tables.md", paper.render(read))
    log(1, {"results": float(len(read.results))})
