"""The papers' tables beside what a run measured: `read` its files into a study, `render` that as one Markdown page.

`csv_rows` gives every cell of the printed tables for a CSV file; the `csv_rows` of `protocol_matrix`, `patch_form`, `transfer`
and `claims` do so for tables P, T and C.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from nasir.reporting.paper import claims, patch_form, printed_tables, protocol_matrix, transfer
from nasir.reporting.paper.printed_csv import csv_rows
from nasir.reporting.paper.study import NOT_RUN, PAPERS, PRINTED_ONLY, SHIPPED, TITLES, Plan, Study, heading, read
from nasir.reporting.paper.verdicts import TOLERANCE, Line, lines
from nasir.reporting.tables import table

__all__ = ["Plan", "Study", "csv_rows", "read", "render"]

FIGURE = "tables/best_so_far.png"
"""The figure that the page links: the best score so far of each search strategy; the path is relative to the page."""

VERDICTS = ("reproduced", "short", "above", "no verdict", NOT_RUN, PRINTED_ONLY)
"""How verdicts begin, in the order of their columns."""


def render(study: Study) -> str:
    """The whole page, ending with a newline."""
    content = {name: lines(study, name) for name in TITLES}
    parts = [_top(study), _counts(study, content), _how_to_read()]
    parts += [printed_tables.section(study, name, content[name]) for name in TITLES]
    parts += [transfer.section(study), protocol_matrix.section(study), patch_form.section(study)]
    if study.plan.profile != SHIPPED:  # cost and curves are those of searches
        parts += [claims.section(study), _strategies(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _top(study: Study) -> str:
    plan = study.plan
    images = {
        task: sorted({r.images for (of, _, _), r in study.results.items() if of == task and r.reason is None})
        for task in plan.parts
    }
    data = "; ".join(
        f"{task} on data set `{part.dataset}`, {' / '.join(map(str, images[task])) or 'no'} test images"
        for task, part in plan.parts.items()
    )
    return "\n\n".join(
        [
            "# The papers' tables, beside what this run measured",
            f"> **{plan.label}**",
            f"Printed: {', '.join(PAPERS)}. Ours: profile `{plan.profile}`; {data}; "
            f"sigma {', '.join(f'{s:g}' for s in plan.sigmas)}, "
            f"seed{'s' if len(plan.seeds) > 1 else ''} {', '.join(map(str, plan.seeds))}.",
        ]
    )


def _counts(study: Study, content: Mapping[str, Sequence[Line]]) -> str:
    """How many printed PSNR values of each table got which verdict."""
    rows = []
    for name in TITLES:
        verdicts = [line.verdict["psnr_db"] for line in content[name] if line.printed]
        counts = Counter(next(start for start in VERDICTS if verdict.startswith(start)) for verdict in verdicts)
        rows.append([f"{heading(name)}: {TITLES[name]}", len(verdicts), *(counts[start] for start in VERDICTS)])
    columns = ("printed PSNR values", "all", *VERDICTS)
    return "\n\n".join([f"**What came of them. {study.plan.label}**", table(columns, rows, columns[1:])])


def _how_to_read() -> str:
    return "\n".join(
        [
            "How to read the tables:",
            "",
            "- PSNR moves more with the protocol (how the noise is put on an image and how the network sees it) than with "
            "the network, so every value names its protocol. The one of a printed value is inferred from what re-runs "
            "score, not stated by its authors. Table P defines the protocols and shows what they are worth.",
            f"- *reproduced*: ours, on the same images and under that protocol, lies within {TOLERANCE['psnr_db']:g} dB (SSIM: "
            f"{TOLERANCE['ssim_zero_padded']:g}) of the printed value; *short by*, *above by*: it does not.",
            "- *no verdict*: both exist, but not of the same images or not under one protocol.",
            "- Of the tasks of pairs (rain, camera noise) `whole` is the RGB image and `whole+y` its luma; the papers do not "
            "say which they print, so there is no verdict.",
            f"- *{NOT_RUN}*: a row that is to be run and has no score here. *{PRINTED_ONLY}*: a row that is not going to be run. "
            "A remark says why. Nothing is filled in.",
            "- SSIM beside a printed one is that of the authors' code (11x11 Gaussian window, zeros outside the image); the "
            "standard one (valid region) is in the CSV file.",
            "- [26.40, 27.02] is the 95 % bootstrap interval of the mean over images: how far the mean would move with other "
            "images of this kind; for few images it is too narrow. It says nothing of other training runs; the "
            "standard deviation over seeds does.",
        ]
    )


def _strategies(study: Study) -> str:
    return "\n\n".join(
        [
            "## The search against chance",
            f"**{study.plan.label}** The best score on V so far, over the operations that each strategy spent. `darts` "
            "scores its supernet, `one_shot` candidates with shared weights, `random` trained networks (as much training as "
            "`darts` would take, times `strategy.random.budget` of the profile): a line shows when its strategy stops getting "
            f"better, not which one finds the better network. {heading('1')} and {heading('clearer-1')} compare what they found.",
            f"![best score so far of each search strategy over its cost]({FIGURE})",
        ]
    )
