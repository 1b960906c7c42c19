"""The page of all strategies, from what is there of the studies and of the rehearsal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from nasir.evaluation.statistics import Interval
from nasir.files import read_csv, to_int
from nasir.reporting.searches import strategies as pages
from nasir.shapes import read, require_numbers, require_unique
from stages.searches import plan as reading


class Rehearsal(TypedDict):
    """What `rehearse` says of its table and of its tries."""

    plan: str
    networks: int
    of: int
    spread_db: float
    pairs: int
    training_db: Interval | None
    rest_db: float
    error_db: Interval
    tau: Interval
    view: list[str]
    penalty: float
    best: str
    candidates: int
    seeds: int
    seconds: dict[str, float]
    rl: dict[str, float]
    evolution: dict[str, float]


def run(plans: Sequence[Path], profiles: Path, results: Path, rehearsed: Path, page: Path) -> None:
    """Write the page.

    Args:
        plans: of the studies, in their order.
        profiles: folder of base.yaml and of the profiles.
        results: folder that holds, by the name of a plan, that of its results.
        rehearsed: folder of what `rehearse` wrote; the page says so where there is nothing.
        page: Markdown file to write.
    """
    studies = [_study(plan, profiles, results / plan.stem) for plan in plans]
    facts, again = rehearsed / "rehearsal.json", "run rehearse again"
    has_run = facts.is_file()
    found = read(facts, Rehearsal, again) if has_run else None
    pages.write(page, studies, found, _tries(rehearsed / "regret.csv", again) if has_run else [])
    done = ", ".join(f"{len(study.results)} of {len(study.jobs)} jobs of {study.plan['name']}" for study in studies)
    print(f"{done}; the page: {page}")


def _tries(path: Path, again: str) -> list[dict[str, str]]:
    rows = read_csv(path, ("strategy", "seed", "candidates", "regret_db", "recent_db"))
    for row in rows:
        to_int(row, "candidates", path)
    require_numbers(rows, ("regret_db", "recent_db"), path)
    require_unique(rows, ("strategy", "seed", "candidates"), path, again)
    return rows


def _study(path: Path, profiles: Path, results: Path) -> pages.Study:
    plan = reading.read(path, profiles)
    ways = {search: plan.settings(search).values["strategy"] for search in plan.values["searches"]}
    return pages.Study(
        plan=plan.values | {"name": path.stem},
        jobs=[asdict(job) for job in plan.jobs()],
        results=reading.held(results, plan),
        choosing={
            search: way.get("selection", way.get("estimator"))
            for search, way in ways.items()
            if "selection" in way or "estimator" in way
        },
    )
