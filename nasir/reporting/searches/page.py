"""The page of a study: does a search find better networks than chance? What is there of the study, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from nasir.files import write_bytes, write_csv, write_text
from nasir.reporting.searches import figures
from nasir.reporting.searches.choices import choices
from nasir.reporting.searches.judgement import (
    ENOUGH,
    Found,
    Scores,
    found_of,
    is_random,
    measures_of,
    middle,
    of_training,
    operations,
    random_of,
    seconds_of,
    tau,
    twice_of,
    width,
)
from nasir.reporting.searches.rewarded import rewards
from nasir.reporting.searches.sizes import by_hand, explained, trade_off
from nasir.reporting.tables import interval, number, psnr, signed, table
from nasir.spaces import contract

NETWORKS = (
    "network", "search", "seed", "parameters", "flops_per_pixel", "steps", "seconds", "v_psnr_db", "psnr_db", "tokens",
    "genotype",
)  # fmt: skip
"""Columns of the file of all networks that were trained; `tokens` are those of random ones (`nasir.spaces.contract.Token`)."""

ANY = 10**9
"""Parameters; a window that reaches so far leaves nothing out."""

RANKED = 10
"""Random networks that must have been trained before they are ranked, or all."""


def write(page: Path, plan: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> None:
    """Write the page, and into a folder of its name beside it the figures, and every trained network in `networks.csv`.

    Args:
        page: Markdown file.
        plan: of the study, as its file has it.
        jobs: all jobs in order: name, search (None: a random network, or one given by hand), seed, is_training, network (the
            name of one given by hand).
        results: those that are there, by the job's name.
    """
    random = random_of(jobs, results)
    given = {
        job["network"]: results[job["name"]]
        for job in jobs
        if job.get("network") is not None and job["name"] in results
    }
    scores = [result["psnr_db"] for result in random.values()]
    found = found_of(jobs, results, scores)
    sections = [_top(plan, jobs, results, found), explained(list(random.values()))]
    if len(scores) > 1:
        sections += [_random(page, random, found, scores), _again(jobs, results, scores)]
    if found:
        sections += [_strategies(found), _networks(found), _drawn(page, found)]
    if given and len(scores) > 1:
        sections.append(by_hand(given, scores))
    if len(scores) > 1:
        sections.append(trade_off(page, random, found, given))
    searched = {
        f"{job['search']}, seed {job['seed']}": results[job["name"]]
        for job in jobs
        if job["search"] is not None and not job["is_training"] and job["name"] in results
    }
    sections += [choices(page, searched), rewards(page, searched)]
    sections.append(_rankings(page, jobs, results, random))
    sections.append(_made(plan))
    trained = [job for job in jobs if job["is_training"] and job["name"] in results]
    if trained:
        rows = [_network(job, results[job["name"]]) for job in trained]
        write_csv(page.with_suffix("") / "networks.csv", rows, NETWORKS)
    write_text(page, "\n\n".join(section for section in sections if section) + "\n")


def _network(job: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """A network's row of the file."""
    columns = {name: result[name] for name in NETWORKS if name in result}
    return columns | {
        "network": job["name"],
        "search": job["search"] or job.get("network") or "",
        "seed": job["seed"],
        "seconds": round(result["seconds"], 1),
        "tokens": " ".join(map(str, result["tokens"])),
        "psnr_db": round(fmean(result["psnr_db"].values()), 4),
        "v_psnr_db": round(result["v_psnr_db"], 4),
        "genotype": json.dumps(result["genotype"], separators=(",", ":")),
    }


def _top(
    plan: Mapping[str, Any],
    jobs: Sequence[Mapping[str, Any]],
    results: Mapping[str, Any],
    found: Mapping[str, Sequence[Found]],
) -> str:
    lines = [
        "# Does a search find better networks than chance?",
        f"{plan['dataset']}, sigma {plan['sigma']:g}, protocol `whole`, {plan['images']} test images. Every network has "
        f"{_sizes(plan)}the same recipe and {_budget(plan)}.",
    ]
    if len(results) < len(jobs):
        lines.append(
            f"**Unfinished: {len(results)} of {len(jobs)} jobs are done.** `make study PLAN={plan['name']}` goes on."
        )
    whole = {name: those for name, those in found.items() if len(those) == len(plan["seeds"])}
    good = [name for name, those in whole.items() if min(one.percentile for one in those) >= ENOUGH]
    if good:
        lines.append(f"At or above the {ENOUGH}th percentile of random networks with every seed: {', '.join(good)}.")
    elif whole:
        lines.append(f"No strategy reached the {ENOUGH}th percentile of random networks with every seed.")
    return "\n\n".join(lines)


def _sizes(plan: Mapping[str, Any]) -> str:
    """How large networks are, where a window says so."""
    lowest, highest = (round(bound) for bound in plan["window"])
    if highest >= ANY:
        return ""
    return f"{lowest:,} to {highest:,} parameters (or as near as its widths come), "


def _budget(plan: Mapping[str, Any]) -> str:
    """What every network is trained for."""
    if "steps" in plan:
        return f"{plan['steps']:,} steps of training"
    return f"{plan['seconds']:g} seconds of processor time, of the machine on which the study began, to train in"


def _random(
    page: Path, random: Mapping[str, Any], found: Mapping[str, Sequence[Found]], scores: Sequence[Scores]
) -> str:
    write_bytes(page.with_suffix("") / "distribution.png", figures.distribution(scores, found))
    means = [fmean(one.values()) for one in scores]
    return "\n\n".join(
        [
            "## Random networks",
            f"{len(means)} networks: median {psnr(middle(means))} dB, {psnr(min(means))} to {psnr(max(means))} dB, standard "
            f"deviation {number(stdev(means), 3)} dB.",
            f"![PSNR of random and found networks]({page.stem}/distribution.png)",
        ]
    )


def _again(jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any], scores: Sequence[Scores]) -> str:
    """How much of the spread is training's, where networks have been trained twice."""
    pairs = twice_of(jobs, results)
    if len(pairs) < 2:
        return ""
    noise, spread = of_training(list(pairs.values())), stdev(fmean(one.values()) for one in scores)
    own = max(0.0, 1 - noise.mean**2 / spread**2)
    return "\n\n".join(
        [
            f"{len(pairs)} of them were trained a second time, from other values and with other batches. From one training to "
            f"another, a network's PSNR has a standard deviation of {number(noise.mean, 3)} dB {interval(noise, 3)}. So about "
            f"{number(100 * own, 0)} % of the variance above is of the networks, a standard deviation of "
            f"{number(own**0.5 * spread, 3)} dB: that is what a search can find.",
            table(
                ["network", "first training, dB", "second training, dB"],
                [[f"random {seed}", psnr(a), psnr(b)] for seed, (a, b) in pairs.items()],
                ["first training, dB", "second training, dB"],
            ),
        ]
    )


def _strategies(found: Mapping[str, Sequence[Found]]) -> str:
    rows = []
    for name, those in found.items():
        rows.append(
            [
                name,
                ", ".join(psnr(one.psnr_db) for one in those),
                ", ".join(number(one.percentile, 0) for one in those),
                number(seconds_of(those) / 60, 1),
                number(max(one.cost["peak_memory_mib"] for one in those), 0),
                number(fmean(_share(one, "skip") for one in those), 2),
            ]
        )
    columns = ["search", "PSNR, dB, by seed", "percentile, by seed", "minutes", "peak MiB", "share of skip"]
    return "\n\n".join(
        [
            "## Strategies",
            table(columns, rows, columns[3:]),
            "Minutes: of the search, processor time in one thread; a study can be carried on by another machine, and the minutes "
            "are those of the machine that the search ran on. Percentile: of random networks that are not above.",
        ]
    )


def _networks(found: Mapping[str, Sequence[Found]]) -> str:
    rows = []
    for name, those in found.items():
        for one in those:
            median, best = one.against_median.difference, one.against_best.difference
            operations_text = ", ".join(f"{count} {op}" for op, count in operations(one.result["genotype"]).items())
            rows.append(
                [
                    f"{name}, seed {one.seed}",
                    psnr(one.psnr_db),
                    f"{signed(median.mean, 3)} {interval(median, 3)}",
                    f"{signed(best.mean, 3)} {interval(best, 3)}",
                    f"{one.result['parameters']:,}",
                    width(one.result["sizes"]),
                    f"{one.result['steps']:,}",
                    operations_text,
                ]
            )
    columns = ["network", "PSNR, dB", "less the median random", "less the best random", "parameters", "width", "steps"]
    return "\n\n".join(
        [
            "## Networks",
            table([*columns, "operations"], rows, ["PSNR, dB", "parameters", "width", "steps"]),
            "Differences: over the test images, paired, with their 95 % interval; another training would give others.",
        ]
    )


def _drawn(page: Path, found: Mapping[str, Sequence[Found]]) -> str:
    best = max((one for those in found.values() for one in those), key=lambda one: one.psnr_db)
    value = best.result["genotype"]
    space = contract.of_json(value)
    facts = best.cost["made_with"]["space"]
    folder = page.with_suffix("")
    contract.part(space.drawing).draw(space.from_json(value), facts, folder / "best.svg", folder / "best.png")
    return f"The best of them, {best.search}, seed {best.seed}:\n\n![width path and cell]({page.stem}/best.png)"


def _rankings(
    page: Path, jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any], random: Mapping[str, Any]
) -> str:
    """Kendall's tau between searches' measures and training, over the random networks that have been trained."""
    total = [job["name"] for job in jobs if is_random(job)]
    if len(random) < max(3, min(len(total), RANKED)):
        return ""
    trained = [fmean(result["psnr_db"].values()) for result in random.values()]
    measured = {f"{search}, seed {seed}": scores for (search, seed), scores in measures_of(jobs, results).items()}
    if not measured:
        return ""
    write_bytes(page.with_suffix("") / "rankings.png", figures.rankings(trained, measured))
    rows = []
    for name, scores in measured.items():
        found = tau(scores, trained)
        rows.append([name, number(found.mean, 2), interval(found, 2)])
    for name, size in (("operations", "flops_per_pixel"), ("parameters", "parameters")):
        found = tau([one[size] for one in random.values()], trained)
        rows.append([f"{name} alone, nothing searched", number(found.mean, 2), interval(found, 2)])
    return "\n\n".join(
        [
            "## Can a search tell good networks?",
            "Kendall's tau between the score on V that a search chooses by (with shared weights, or after a short training) and "
            f"the score after training, over {len(random)} random networks:",
            table(["search", "tau", "95 % interval"], rows, ["tau"]),
            f"![scores of a search against training]({page.stem}/rankings.png)",
        ]
    )


def _made(plan: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            of["strategy"],
            "; ".join(of["changes"]) or "none",
            ", ".join(str(seed) for seed in of.get("seeds", plan["seeds"])),
        ]
        for name, of in plan["searches"].items()
    ]
    of_strategy = [
        f"For every search of {strategy}: {'; '.join(changes)}."
        for strategy, changes in plan.get("changes_of", {}).items()
        if changes
    ]
    shared, name = "; ".join(plan["changes"]) or "none", plan["name"]
    return "\n\n".join(
        [
            "## How it was made",
            f"`make study PLAN={name}`, from `study/{name}.yaml`: profile `{plan['profile']}`, changed for all: {shared}.",
            *of_strategy,
            table(["search", "strategy", "changes", "seeds"], rows),
            f"Each job ran in one thread; its result, with settings and commit, is a file of `study/{name}`.",
        ]
    )


def _share(one: Found, operation: str) -> float:
    counts = operations(one.result["genotype"])
    return counts.get(operation, 0) / max(1, sum(counts.values()))
