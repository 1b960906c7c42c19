"""The page of all strategies: what each cost and found in each space, and how fast each finds what is good on a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from nasir.files import write_bytes, write_text
from nasir.reporting.searches import figures
from nasir.reporting.searches.equal import compared
from nasir.reporting.searches.families import short, way
from nasir.reporting.searches.judgement import (
    Found,
    found_of,
    is_random,
    mean_tau,
    measures_of,
    middle,
    of_training,
    random_of,
    seconds_of,
    twice_of,
)
from nasir.reporting.searches.rehearsed import rehearsed, tries_of
from nasir.reporting.searches.sizes import explained, line_of
from nasir.reporting.tables import interval, number, psnr, table


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study and what is there of it."""

    plan: Mapping[str, Any]  # as its file has it, with its name
    jobs: Sequence[Mapping[str, Any]]  # as `nasir.reporting.searches.page.write` takes them
    results: Mapping[str, Any]  # by the job's name
    choosing: Mapping[str, str]  # by search: how it chooses, where its strategy can choose in several ways


def write(
    page: Path, studies: Sequence[Study], facts: Mapping[str, Any] | None, rows: Sequence[Mapping[str, str]]
) -> None:
    """Write the page, and its figures into a folder of its name.

    Args:
        page: Markdown file.
        studies: in the order of the page.
        facts, rows: what `python -m stages rehearse` wrote, `rehearsal.json` and the rows of `regret.csv`; None: it has not run.
    """
    sections = [
        "# Search strategies side by side",
        "Each search gives one network, which is trained as the random ones of its space are. Seconds and memory: of the "
        "search, in one thread, on the machine that it ran on. Percentile: of random networks that are not above. Tau: "
        "Kendall's, between the measure by which a search chooses and the score after training, over the random networks, mean "
        "over seeds and 95 % interval.",
    ]
    drawn: dict[str, tuple[list[float], dict[str, list[tuple[float, float]]]]] = {}
    of_studies, spaces = list[str](), dict[str, dict[str, list[Found]]]()
    for study in studies:
        random = random_of(study.jobs, study.results)
        scores = [one["psnr_db"] for one in random.values()]
        found = found_of(study.jobs, study.results, scores)
        space = study.plan["space"]
        spaces[space if space not in spaces else f"{space}, {study.plan['name']}"] = _by_way(study, found)
        of_studies += [_heading(study, random, found), _table(study, random, found)]
        if len(scores) > 1:
            of_studies.append(compared(list(random.values()), found, max(2, len(study.plan["seeds"]))))
        if found:
            points = {name: [(one.cost["seconds"] / 60, one.psnr_db) for one in those] for name, those in found.items()}
            drawn[f"{study.plan['space']} ({study.plan['name']})"] = ([fmean(one.values()) for one in scores], points)
    sections += [short(spaces, tries_of(rows) if facts is not None else {}), *of_studies]
    if drawn:
        write_bytes(page.with_suffix("") / "costs.png", figures.costs(drawn))
        sections.append(f"## Cost against quality\n\n![PSNR against minutes of search]({page.stem}/costs.png)")
    trained = {study.plan["name"]: len(random_of(study.jobs, study.results)) for study in studies}
    sections.append(rehearsed(page, facts, rows, trained))
    made = ", ".join(f"`make study PLAN={study.plan['name']}`" for study in studies)
    sections.append(
        f"## How it was made\n\n{made} train and search, `python -m stages rehearse` tries strategies on the table, and "
        "`python -m stages strategies` writes this page from what is there."
    )
    write_text(page, "\n\n".join(section for section in sections if section) + "\n")


def _by_way(study: Study, found: Mapping[str, Sequence[Found]]) -> dict[str, list[Found]]:
    """What was found in each way to search."""
    ways: dict[str, list[Found]] = {}
    for name, of in study.plan["searches"].items():
        own = ways.setdefault(way(of["strategy"], study.choosing.get(name), of["changes"]), [])
        own += found.get(name, [])
    return ways


def _heading(study: Study, random: Mapping[str, Any], found: Mapping[str, Sequence[Found]]) -> str:
    plan, total = study.plan, sum(is_random(job) for job in study.jobs)
    means = [fmean(one["psnr_db"].values()) for one in random.values()]
    budget = f"{plan['steps']:,} steps" if "steps" in plan else f"{plan['seconds']:g} seconds"
    lines = [
        f"## Space `{plan['space']}`",
        f"Study `{plan['name']}`: {plan['dataset']}, sigma {plan['sigma']:g}, {plan['images']} test images, protocol `whole`; "
        f"each network trained for {budget}. {len(study.results)} of {len(study.jobs)} jobs are done; of random networks "
        f"{len(means)} of {total}.",
    ]
    if len(means) > 1:
        spread = stdev(means)
        line = (
            f"Random networks have a median of {psnr(middle(means))} dB, a standard deviation of {number(spread, 3)} dB"
        )
        pairs = list(twice_of(study.jobs, study.results).values())
        if len(pairs) > 1:
            noise = of_training(pairs)
            line += (
                f"; from one training of a network to the next it is {number(noise.mean, 3)} dB {interval(noise, 3)}"
            )
            if noise.mean >= spread:
                line += ": here trainings differ as much as networks, so a percentile says little"
        lines.append(line + ".")
    if size := explained(list(random.values())):
        lines.append(size)
    if found:
        best = max(found, key=lambda name: fmean(one.percentile for one in found[name]))
        lines.append(
            f"Highest by mean percentile: {best}, {_each([one.percentile for one in found[best]], 0)} by seed."
        )
    return "\n\n".join(lines)


def _table(study: Study, random: Mapping[str, Any], found: Mapping[str, Sequence[Found]]) -> str:
    """A row for each search of the plan, and one for a random network, which costs nothing to find."""
    trained = [fmean(one["psnr_db"].values()) for one in random.values()]
    measures = measures_of(study.jobs, study.results)
    cheapest = min((seconds_of(those) for those in found.values()), default=0.0)
    line = line_of(list(random.values()))
    rows = []
    if len(trained) > 1:
        bounds = f"{psnr(middle(trained))} ({psnr(min(trained))} to {psnr(max(trained))})"
        rows.append(["a random network", "none", f"{len(trained)} networks", "0", "0", "0", bounds, "50", ""])
    for name, of in study.plan["searches"].items():
        chosen = of["strategy"] + (f", {study.choosing[name]}" if name in study.choosing else "")
        seeds, those = len(of.get("seeds", study.plan["seeds"])), found.get(name, [])
        if not those:
            rows.append([name, chosen, f"0 of {seeds}", "not run", "", "", "", "", ""])
            continue
        own = [scores for (search, _), scores in measures.items() if search == name]
        ranked = mean_tau(own, trained) if own and len(trained) > 2 else None
        rows.append(
            [
                name, chosen, f"{len(those)} of {seeds}", number(seconds_of(those), 0), number(seconds_of(those) / cheapest, 1),
                number(max(one.cost["peak_memory_mib"] for one in those), 0), ", ".join(psnr(one.psnr_db) for one in those),
                _each([one.percentile for one in those], 0),
                "none" if ranked is None else f"{number(ranked.mean, 2)} {interval(ranked, 2)}",
            ]
        )  # fmt: skip
        if line is not None:
            rows[-1].append(_each([line.percentile(one.result) for one in those], 0))
    columns = [
        "search",
        "strategy",
        "seeds",
        "seconds",
        "times the least",
        "peak MiB",
        "found, PSNR, dB",
        "percentile",
        "tau",
    ]
    if line is not None:
        columns.append("percentile at its size")
        rows = [row + [""] * (len(columns) - len(row)) for row in rows]
    return table(columns, rows, columns[3:6])


def _each(values: Sequence[float], digits: int) -> str:
    return ", ".join(number(value, digits) for value in values)
