"""tables: the paper's tables beside our values, from the cells of one study."""

import re
from pathlib import Path

from nasir.config import TablesConfig, load_tables
from nasir.evaluation.protocols import PROTOCOLS
from nasir.files import Log, write_bytes, write_csv, write_text
from nasir.reporting import claims, figures, history, paper, printed_csv, protocol_matrix
from nasir.reporting.study import Plan


def choose(plan: Path, profile: str) -> None:
    """Write the study to show into `tables/params.yaml`, whose other lines and comments stay; an unknown one is refused."""
    load_tables(plan, profile)
    before = plan.read_text()
    after = re.sub(r"(?m)^profile: \S+", f"profile: {profile}", before)
    if after != before:
        write_text(plan, after)


def plan_of(config: TablesConfig, dataset: str) -> Plan:
    """Which cells a study has, and why it has no others."""

    def reason(studies: tuple[str, ...]) -> str | None:
        if config.profile in studies:
            return None
        return f"too slow for the profile {config.profile}: runs with {', '.join(studies)}"

    methods: dict[str, str | None] = dict.fromkeys((*config.classical, "bm3d", "irnas"))
    methods |= {method: reason(config.with_controls) for method in config.controls}
    methods |= {method: reason(config.with_baselines) for method in config.baselines}
    return Plan(
        profile=config.profile,
        dataset=dataset,
        sigmas=config.sigmas,
        seeds=config.seeds,
        methods=methods,
        protocols=tuple(PROTOCOLS),
        matrix_sigma=config.matrix_sigma,
    )


def run(*, study: Path, published: Path, rows: Path, dataset: str, out: Path, config: TablesConfig, log: Log) -> None:
    """Write `tables.md`, and into `tables/` every number as CSV and the curves of the searches.

    Args:
        study: folder of the study's cells, claims and searches.
        published, rows: the printed values, and which method fills which row.
        dataset: of the study.
    """
    plan = plan_of(config, dataset)
    read = paper.read(study, published, rows, plan)
    strategies = ("darts", "random") if config.profile in config.with_controls else ("darts",)
    searches = [history.read(study / "search" / strategy / "history.csv") for strategy in strategies]
    write_bytes(out / "tables" / "best_so_far.png", figures.best_so_far_curves(*searches))
    for name, part in (("cells", printed_csv), ("protocols", protocol_matrix), ("claims", claims)):
        write_csv(out / "tables" / f"{name}.csv", part.csv_rows(read), part.COLUMNS)
    write_text(out / "tables.md", paper.render(read))
    log(1, {"results": float(len(read.results))})
