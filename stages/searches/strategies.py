"""The page of all strategies, from what is there of the studies and of the rehearsal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nasir.files import read_csv, read_json
from nasir.reporting.searches import strategies as pages
from stages.searches import plan as reading


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
    facts, rows = rehearsed / "rehearsal.json", rehearsed / "regret.csv"
    has_run = facts.is_file()
    pages.write(page, studies, read_json(facts) if has_run else None, read_csv(rows) if has_run else [])
    done = ", ".join(f"{len(study.results)} of {len(study.jobs)} jobs of {study.plan['name']}" for study in studies)
    print(f"{done}; the page: {page}")


def _study(path: Path, profiles: Path, results: Path) -> pages.Study:
    plan = reading.read(path, profiles)
    ways = {search: plan.settings(search).values["strategy"] for search in plan.values["searches"]}
    return pages.Study(
        plan=plan.values | {"name": path.stem},
        jobs=[asdict(job) for job in plan.jobs()],
        results=reading.results_of(results, plan),
        choosing={
            search: way.get("selection", way.get("estimator"))
            for search, way in ways.items()
            if "selection" in way or "estimator" in way
        },
    )
