"""summary: what a run came to, in a line or two at the end of `make repro`."""

from pathlib import Path
from typing import TypedDict

from nasir.reporting.tables import OURS, psnr
from nasir.shapes import read, require

NAMES = {"noisy": "the degraded input", "tv": "total variation", "nlm": "non-local means"}
"""Of the opponents."""


class Mean(TypedDict):
    """Of a method under a protocol."""

    psnr_db: float


class Metrics(TypedDict):
    """Of all methods, by protocol."""

    images: int
    methods: dict[str, dict[str, Mean]]


class Search(TypedDict):
    """Whether it has collapsed."""

    collapse: str


def write(runs: Path, report: Path) -> str:
    """The found network beside the best of its opponents; then whether the search has collapsed.

    Args:
        runs: where each step's folder lies.
        report: the page.

    Raises:
        ValueError: if a step has not run, or its file is damaged; it is named.
    """
    path, again = runs / "evaluate" / "metrics.json", "run evaluate again"
    metrics, search = read(path, Metrics, again), read(runs / "search" / "search.json", Search, "run search again")
    methods = metrics["methods"]
    require(
        bool(methods.get(OURS)) and len(methods) > 1,
        f"{path}: methods",
        f"have scores of {OURS!r} and others",
        methods,
        again,
    )
    protocol = next(iter(methods[OURS]))
    for name, of in methods.items():
        require(protocol in of, f"{path}: methods.{name}", f"have the protocol {protocol!r}", [*of], again)
    scores = {name: of[protocol]["psnr_db"] for name, of in methods.items()}
    found = scores.pop(OURS)
    best = max(scores, key=lambda name: scores[name])
    lines = [
        f"{report}: the found network {psnr(found)} dB over {metrics['images']} test images ({protocol}), "
        f"{NAMES.get(best, best)} {psnr(scores[best])} dB."
    ]
    return "\n".join([*lines, *([search["collapse"]] if search["collapse"] else [])])
