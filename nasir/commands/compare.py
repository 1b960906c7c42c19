"""`nasir compare`: what differs between two networks, or between two files of scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasir.commands.failing import refusing
from nasir.commands.show import Sizes, cost_of
from nasir.commands.terminal import align, print_json, require_suffix, say

if TYPE_CHECKING:
    from nasir.commands.subjects import Subject
    from nasir.evaluation.paired import Paired

SHOWN = 3
"""Images at each end of the ranking."""


@refusing
def compare(
    a: Annotated[str, typer.Argument(help="A network, as `nasir show` takes it, or a CSV file of scores.")],
    b: Annotated[str, typer.Argument(help="Another one of the same kind.")],
    out: Annotated[
        Path | None, typer.Option(help="Of scores: a .png file to write, with a point for each image.")
    ] = None,
    measure: Annotated[str | None, typer.Option(help="Of scores: the column to compare; none: PSNR.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Of scores under several protocols: which one; none: whole.")
    ] = None,
    method_a: Annotated[str | None, typer.Option(help="Of scores of several methods: A's; none: nasir.")] = None,
    method_b: Annotated[str | None, typer.Option(help="B's.")] = None,
    sizes: Sizes = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two networks line by line, or two CSV files of scores image by image.

    Of networks, trained ones or genotypes, the lines of `nasir show` that differ are printed.

    Of scores, as `nasir score --csv`, evaluate and the shipped networks have them: the mean of A - B with its 95 % interval by
    the paired bootstrap over images, Wilcoxon's signed-rank test, who is ahead on how many images, and where A and B are furthest
    ahead. Both files must hold the same images; for more than names to be the same, they must have had the same noise.
    """
    are_scores = [Path(name).suffix.lower() == ".csv" for name in (a, b)]
    if are_scores[0] != are_scores[1]:
        raise ValueError(f"A and B must be two networks or two CSV files of scores, got {a} and {b}.")
    if are_scores[0]:
        if sizes is not None:
            raise ValueError("--sizes is for genotypes, got it with scores; leave it out.")
        _compare_scores((Path(a), Path(b)), out, measure, protocol, (method_a, method_b), json)
        return
    options = {"out": out, "measure": measure, "protocol": protocol, "method-a": method_a, "method-b": method_b}
    if given := [f"--{name}" for name, value in options.items() if value is not None]:
        raise ValueError(f"{given[0]} is for two CSV files of scores, got the networks {a} and {b}; leave it out.")
    _compare_networks((a, b), sizes, json)


def _compare_networks(names: tuple[str, str], sizes: str | None, json: bool) -> None:
    from nasir.commands import subjects

    both = [subjects.read(name, sizes if Path(name).suffix == ".json" else None) for name in names]
    first, second = (_lines(subject) for subject in both)
    keys = _in_order(list(first), list(second))
    differing = {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}
    if json:
        differences = [{"line": key, "a": a, "b": b} for key, (a, b) in differing.items()]
        print_json({"a": names[0], "b": names[1], "lines": len(keys), "differences": differences})
        return
    lines = [f"A: {names[0]}\nB: {names[1]}\n"]
    for key, (a, b) in differing.items():
        lines.append(f"{key}\n  A  {'-' if a is None else a}\n  B  {'-' if b is None else b}")
    say("\n".join([*lines, f"{len(keys) - len(differing)} of {len(keys)} lines are the same"]))


def _in_order(first: list[str], second: list[str]) -> list[str]:
    """All lines, those of the second alone behind the one that they follow there."""
    keys = list(first)
    for place, key in enumerate(second):
        if key not in keys:
            keys.insert(keys.index(second[place - 1]) + 1 if place else 0, key)
    return keys


def _lines(subject: "Subject") -> dict[str, str]:
    """What a person reads of a network, by what it is."""
    costs = cost_of(subject)
    return subject.lines() | {
        "parameters": f"{costs['parameters']:,}",
        "operations per pixel": f"{costs['flops_per_pixel']:,.0f}",
    }


def _compare_scores(
    paths: tuple[Path, Path],
    out: Path | None,
    measure: str | None,
    protocol: str | None,
    methods: tuple[str | None, str | None],
    json: bool,
) -> None:
    if out is not None:
        require_suffix("--out", out, (".png",))
    from nasir.evaluation import paired

    found = paired.read(paths, measure, protocol, methods)
    if out is not None:
        from nasir.files import write_bytes, writing
        from nasir.reporting.scatter import scatter

        with writing(out):
            write_bytes(out, scatter(found, *_titles(paths, found)))
    facts = _facts(paths, found)
    if json:
        print_json(facts | {"plot": None if out is None else str(out)})
        return
    say(_text(facts) + ("" if out is None else f"\n{out}: a point for each image"))


def _titles(paths: tuple[Path, Path], found: "Paired") -> tuple[str, str]:
    """Short names of both: what tells them apart of their methods, folders and files."""
    if paths[0] == paths[1] and None not in found.methods:
        return str(found.methods[0]), str(found.methods[1])
    names = [path.parent.name if paths[0].name == paths[1].name else path.stem for path in paths]
    if names[0] == names[1]:
        names = list(map(str, paths))
    own = [name if method is None else f"{name}: {method}" for name, method in zip(names, found.methods, strict=True)]
    return own[0], own[1]


def _facts(paths: tuple[Path, Path], found: "Paired") -> dict[str, Any]:
    from dataclasses import asdict

    count = len(found.scores)
    means = [sum(score[side] for score in found.scores.values()) / count for side in (0, 1)]
    ranked = found.ranked()
    wins = found.wins

    def rows(names: list[str]) -> list[dict[str, object]]:
        return [{"name": name, "a": found.scores[name][0], "b": found.scores[name][1]} for name in names]

    most = min(SHOWN, count // 2)
    return {
        "a": str(paths[0]), "b": str(paths[1]), "method_a": found.methods[0], "method_b": found.methods[1],
        "measure": found.measure, "protocol": found.protocol, "images": count, "mean_a": means[0], "mean_b": means[1],
        "difference": asdict(found.comparison.difference), "wilcoxon_p": found.comparison.wilcoxon_p,
        "a_ahead": wins[0], "b_ahead": wins[1], "equal": count - sum(wins),
        "best_for_a": rows(ranked[::-1][:most]), "best_for_b": rows(ranked[:most]),
    }  # fmt: skip


def _text(facts: dict[str, Any]) -> str:
    decimals, unit = (2, " dB") if facts["measure"].endswith("_db") else (4, "")
    under = "" if facts["protocol"] is None else f", protocol {facts['protocol']}"
    lines = [f"{facts['measure']}{under}, {facts['images']} images"]
    for side in "ab":
        method = "" if facts[f"method_{side}"] is None else f", method {facts[f'method_{side}']}"
        lines.append(f"{side.upper()}: {facts[side]}{method}: mean {facts[f'mean_{side}']:.{decimals}f}{unit}")
    difference = facts["difference"]
    low, high = (f"{difference[bound]:+.{decimals + 1}f}" for bound in ("low", "high"))
    lines.append(
        f"A - B: {difference['mean']:+.{decimals + 1}f}{unit}, 95 % interval {low} to {high}; Wilcoxon p = "
        f"{facts['wilcoxon_p']:.2g}"
    )
    lines.append(f"A is ahead on {facts['a_ahead']} images, B on {facts['b_ahead']}; equal on {facts['equal']}\n")
    table = [["image", "A", "B", "A - B"]]
    for end in ("best_for_a", "best_for_b"):
        for row in facts[end] if end == "best_for_a" else reversed(facts[end]):
            values = [f"{row[side]:.{decimals}f}" for side in "ab"]
            table.append([row["name"], *values, f"{row['a'] - row['b']:+.{decimals + 1}f}"])
        if end == "best_for_a" and facts["images"] > 2 * SHOWN:
            table.append(["...", "", "", ""])
    return "\n".join(lines) + "\n" + align(table)
