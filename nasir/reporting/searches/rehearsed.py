"""The part of the page of strategies that says how fast each finds what is good where scores come from a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nasir.evaluation.statistics import Interval, compare, mean_interval
from nasir.files import write_bytes
from nasir.reporting.searches import figures
from nasir.reporting.tables import interval, number, signed, table

SHOWN = (10, 30, 100, 300, 1000, 3000)
"""Candidates at which regrets are printed."""

Tries = dict[int, tuple[list[float], list[float]]]
"""By candidates: of each try the regret and the mean of the last candidates, dB."""

VIEWS = {
    "counts": "how many tokens take each choice",
    "choices": "the choice of each token",
    "pairs": "the choices of each two neighbouring tokens",
}


def rehearsed(
    page: Path, facts: Mapping[str, Any] | None, rows: Sequence[Mapping[str, str]], trained: Mapping[str, int]
) -> str:
    """The part, and its figure `regret.png` in the folder of the page's name.

    Args:
        page: Markdown file.
        facts, rows: as `nasir.reporting.searches.strategies.write` takes them.
        trained: random networks that are trained now, by the study's name.
    """
    title = "## Searches on a table"
    if facts is None:
        return f"{title}\n\nNot run yet: `python -m stages rehearse` does it, in minutes, once enough networks are trained."
    tries = tries_of(rows)
    noise = facts["training_db"] and facts["training_db"]["mean"]
    drawn = figures.regret({name: _courses(of) for name, of in tries.items()}, noise)
    write_bytes(page.with_suffix("") / "regret.png", drawn)
    picture = f"![regret against candidates]({page.stem}/regret.png)"
    parts = [title, _model(facts, trained), _landscape(facts), picture, _regrets(facts, tries)]
    return "\n\n".join([*parts, _against_random(tries), _learnt(tries), _why(facts)])


def tries_of(rows: Sequence[Mapping[str, str]]) -> dict[str, Tries]:
    """By strategy."""
    found: dict[str, Tries] = {}
    for row in rows:
        regrets, recent = found.setdefault(row["strategy"], {}).setdefault(int(row["candidates"]), ([], []))
        regrets.append(float(row["regret_db"]))
        recent.append(float(row["recent_db"]))
    return found


def _courses(tries: Tries) -> tuple[figures.Course, figures.Course]:
    first, second = ([(place, mean_interval(both[part])) for place, both in tries.items()] for part in (0, 1))
    return first, second


def _model(facts: Mapping[str, Any], trained: Mapping[str, int]) -> str:
    """What stands in for networks that were not trained, and how good it is."""
    error, ranks = Interval(**facts["error_db"]), Interval(**facts["tau"])
    seen = " and ".join(VIEWS[part] for part in facts["view"])
    said = (
        f"{facts['networks']} of the {facts['of']:,} networks of study `{facts['plan']}` are trained, with a standard deviation "
        f"of {number(facts['spread_db'], 3)} dB. As in NAS-Bench-301 (Siems et al., 2020, arXiv:2008.09777) a model gives "
        f"every network its value: a ridge regression, which sees {seen} (this and its penalty, {facts['penalty']:g}, by "
        f"leave-one-out). For networks left out of choice and fit its error is {number(error.mean, 3)} dB {interval(error, 3)} "
        f"(root of the mean square) and Kendall's tau {number(ranks.mean, 2)} {interval(ranks, 2)}."
    )
    if facts["training_db"] is not None:
        noise = Interval(**facts["training_db"])
        said += (
            f" One training differs from the next by {number(noise.mean, 3)} dB {interval(noise, 3)} ({facts['pairs']} networks "
            "trained twice): no model could have a smaller error than that."
        )
    lines = [said]
    if ranks.low <= 0:
        lines.append(
            "**The model cannot tell networks apart: the interval of its tau holds 0. What follows is of an invented space.**"
        )
    now = trained.get(facts["plan"], facts["networks"])
    if now != facts["networks"]:
        lines.append(f"**By now {now} are trained:** `python -m stages rehearse` fits and tries anew.")
    lines.append(f"The model's best network is `{facts['best']}`.")
    return "\n\n".join(lines)


def _landscape(facts: Mapping[str, Any]) -> str:
    """What a try is."""
    lines = [
        f"{facts['seeds']} tries of {facts['candidates']:,} candidates of each strategy. Regret: how far the value of the "
        "candidate with the highest score so far lies below that of the best network (NAS-Bench-101, Ying et al., ICML "
        "2019). Lines and tables: mean of the tries and its 95 % interval; seconds of one thread."
    ]
    if facts["training_db"] is None:
        lines.append(
            "Fewer than two networks were trained twice, so no noise of a training is known, and none is drawn."
        )
    else:
        lines.append(
            "A network's value is what the model says and a rest of its own, drawn anew for each try "
            f"({number(facts['rest_db'], 3)} dB: the error that training's noise does not explain). A candidate's score is "
            "its value with the noise of a training, drawn by try, network and visit; regret is of the value."
        )
    return "\n\n".join(lines)


def _shown(tries: Mapping[str, Tries]) -> list[int]:
    places = list(next(iter(tries.values())))
    return [place for place in places if place in SHOWN or place == places[-1]]


def _regrets(facts: Mapping[str, Any], tries: Mapping[str, Tries]) -> str:
    places = _shown(tries)
    rows = []
    for name, of in tries.items():
        means = {place: mean_interval(of[place][0]) for place in places}
        cells = [f"{number(means[place].mean, 3)} {interval(means[place], 3)}" for place in places]
        rows.append([name, *cells, number(facts["seconds"][name], 1)])
    columns = ["regret, dB, after", *(f"{place:,}" for place in places), "seconds a try"]
    return table(columns, rows, ["seconds a try"])


def _against_random(tries: Mapping[str, Tries]) -> str:
    """Where each strategy is above random, try by try."""
    sentences = []
    for name, of in tries.items():
        if name == "random":
            continue
        said: dict[str, list[str]] = {"above": [], "not told apart from": [], "below": []}
        for place in _shown(tries):
            first, second = (
                dict(zip(map(str, range(len(one))), one, strict=True))
                for one in (tries["random"][place][0], of[place][0])
            )
            gain = compare(first, second).difference
            word = "not told apart from" if not gain.excludes_zero else "above" if gain.mean > 0 else "below"
            said[word].append(f"{place:,} ({signed(gain.mean, 3)} {interval(gain, 3)})")
        words = [f"{word} random at {', '.join(those)}" for word, those in said.items() if those]
        sentences.append(f"- {name}: {'; '.join(words)}.")
    return "\n".join(["Against random, dB of regret less, paired over the tries:", "", *sentences])


def _learnt(tries: Mapping[str, Tries]) -> str:
    """What a strategy draws after a while: whether it has learnt anything."""
    last = _shown(tries)[-1]
    means = [f"{name} {number(fmean(of[last][1]), 3)} dB" for name, of in tries.items()]
    return f"The last 50 candidates lie below the best by, on the mean: {', '.join(means)}."


def _why(facts: Mapping[str, Any]) -> str:
    """What the curves cannot say."""
    share = min(1.0, facts["candidates"] / facts["of"])
    lines = [
        f"How to read it. `random` draws no network twice, so its {facts['candidates']:,} candidates are "
        f"{number(100 * share, 0)} % of this space of {facts['of']:,}: behind some hundreds a large space would show more of a "
        "difference. A controller begins as random draws do, with repetitions, and turns with the rewards; what it can gain "
        "lies between its first dozens of candidates and where random has seen most.",
        f"The controllers are smaller than `search.strategy: rl` has them ({facts['rl']['hidden']} features, one layer, Adam at "
        f"{facts['rl']['lr']:g}; PPO takes one step for each candidate, on all of the last 32); evolution has a population of "
        f"{facts['evolution']['population']} and tournaments of {facts['evolution']['tournament']}. None was tuned here.",
    ]
    if facts["view"] == ["counts"]:
        lines.append(
            "The model sees counts alone: with so few networks trained it is all that can be told apart. A space in which one "
            "number decides is the easiest there is for whatever learns or mutates, and flatters both against random."
        )
    elif "pairs" not in facts["view"]:
        lines.append(
            "In the model the choices add up, which is easy for whatever learns or mutates, and flatters both against random."
        )
    return "\n\n".join(lines)
