"""tables: the papers' tables beside our values, from the cells of one study."""

from pathlib import Path

from nasir.config.tables import UNSAID, RunConfig, StudySearchConfig, TablesConfig, load
from nasir.files import Log, read_json, write_bytes, write_csv, write_text
from nasir.reporting import figures, history
from nasir.reporting.paper import claims, page, patch_form, printed_csv, protocol_matrix, transfer
from nasir.reporting.paper.study import FOUND, HOME, Method, Part, Plan

ARTIFACTS = ("tables.md", "tables")


def plan_of(config: TablesConfig, profile: str) -> Plan:
    """Which cells a study has, and why it has no others."""
    study = config.study(profile)
    parts: dict[str, dict[str, Method]] = {}
    for entry in config.rows:
        is_run = profile in entry.studies
        reason = None if is_run else f"left out of the profile {profile}: runs with {', '.join(entry.studies)}"
        draws = entry.draws if isinstance(entry, RunConfig) else (0,)
        for name in entry.methods:
            parts.setdefault(entry.task, {})[name] = Method(reason=reason, sigmas=entry.sigmas, draws=draws)
    levels = [entry.sigmas for entry in config.runs if (entry.task, FOUND in entry.methods) == (HOME, True)]
    return Plan(
        profile=profile,
        parts={task: Part(dataset=study.dataset(task), methods=methods) for task, methods in parts.items()},
        sigmas=levels[0] if levels else (),
        seeds=config.seeds,
        protocols=tuple(text.partition(":")[0] for text in config.matrix_protocols),
        matrix_sigma=config.matrix_sigma,
    )


def run(*, study: Path, published: Path, rows: Path, plan: Path, profile: str, out: Path, log: Log) -> None:
    """Write `tables.md`, and into `tables/` every number as CSV and the curves of the searches.

    Args:
        study: folder of the study's cells, claims and searches.
        published, rows: the printed values, and which method fills which row.
        plan: params.yaml of the tables.
        profile: the study's.
        out: folder to write into.
        log: called once.
    """
    config = load(plan)
    read = page.read(study, published, rows, plan_of(config, profile))
    searches = [search for search in config.searches if search.task == HOME and profile in search.studies]
    curves = {
        _label(study, search): history.read(study / "search" / search.cell / "history.csv") for search in searches
    }
    write_bytes(out / "tables" / "best_so_far.png", figures.best_so_far_curves(curves))
    for name, part in (
        ("cells", printed_csv),
        ("protocols", protocol_matrix),
        ("patches", patch_form),
        ("transfer", transfer),
        ("claims", claims),
    ):
        write_csv(out / "tables" / f"{name}.csv", part.csv_rows(read), part.COLUMNS)
    write_text(out / "tables.md", page.render(read))
    log(1, {"results": float(len(read.results))})


def _label(study: Path, search: StudySearchConfig) -> str:
    """A search by its strategy, and its space where that is not the one of most: one_shot, one_shot in clearer."""
    strategy: str = read_json(study / "search" / search.cell / "search.json")["strategy"]
    return strategy if search.space == UNSAID else f"{strategy} in {search.space}"
