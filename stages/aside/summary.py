"""summary: what a run came to, in a line or two at the end of `make repro`."""

from pathlib import Path

from nasir.files import read_json
from nasir.reporting.tables import psnr

NAMES = {"noisy": "the degraded input", "tv": "total variation", "nlm": "non-local means"}
"""Of the opponents."""


def write(runs: Path, report: Path) -> str:
    """The found network beside the best of its opponents; then whether the search has collapsed.

    Args:
        runs: where each step's folder lies.
        report: the page.

    Raises:
        ValueError: if a step has not run; its file is named.
    """
    metrics, search = read_json(runs / "evaluate" / "metrics.json"), read_json(runs / "search" / "search.json")
    scores = {name: next(iter(of.items())) for name, of in metrics["methods"].items()}
    protocol, found = scores.pop("nasir")
    best = max(scores, key=lambda name: scores[name][1]["psnr_db"])
    lines = [
        f"{report}: the found network {psnr(found['psnr_db'])} dB over {metrics['images']} test images ({protocol}), "
        f"{NAMES[best]} {psnr(scores[best][1]['psnr_db'])} dB."
    ]
    return "\n".join([*lines, *([search["collapse"]] if search["collapse"] else [])])
