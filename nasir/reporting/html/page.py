"""The report as one HTML page: the sections of report.md with charts that answer, pictures that can be compared, and no file
beside it.

Template, style and script stand beside this module under its name. Without the library of charts the figures of report.md take
their places.
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from nasir import task as tasks
from nasir.reporting.html import charts as run_charts
from nasir.reporting.html import library, markup, shots, studies
from nasir.reporting.html.markup import Place
from nasir.reporting.html.shots import SVG, Shot
from nasir.reporting.html.studies import Study
from nasir.reporting.run import page
from nasir.reporting.run.record import RANKS, Record
from nasir.reporting.tables import psnr

ORDER = (
    "scores", "published", "pictures", "architecture", "search", "training", "studies", "data", "pairs", "checks",
    "receipt",
)  # fmt: skip
"""What a person came to see stands first."""

SCORES = "![mean PSNR of each method with its 95 % interval](scores)"
IMAGES = "![PSNR of every test image, the worst first](images)"
"""Places of charts that report.md does not have."""

OTHERS = "others"
"""The place of the test images that are neither worst nor median nor best."""

NO_HOURS = (
    "The training was carried on from a checkpoint, and its receipt counts from there: no curve stands against hours."
)


def render(
    record: Record,
    figures: Mapping[str, bytes],
    pictures: Mapping[str, Shot],
    beside: Mapping[str, Mapping[str, str]],
    of_studies: Sequence[Study],
    script: str | None,
) -> str:
    """The whole page.

    Args:
        record: of the run.
        figures: files of the figures, by the keys of `nasir.reporting.run.page.FIGURES`.
        pictures: of the test images, by rank; those without rank worst, median or best from the worst on.
        beside: captions of what other runs restored, by rank and panel.
        of_studies: studies of search strategies; none leaves their section out.
        script: the library of charts; None where it is not installed.
    """
    charts = {} if script is None else run_charts.of_run(record)
    if script is not None:
        charts |= {studies.place(study): studies.charts(study) for study in of_studies}
    texts = _texts(record, pictures, of_studies, has_charts=script is not None)
    places = {name: _chart(name) for name in charts}
    places |= {path: _figure(name, figures, charts) for name, path in page.FIGURES.items() if name in figures}
    compared = {rank: _shot(record, rank, shot, beside[rank]) for rank, shot in pictures.items()}
    places |= {rank: _placed(html) for rank, html in compared.items() if rank in RANKS}
    places[OTHERS] = _placed(
        shots.gallery([(_title(record, r), html) for r, html in compared.items() if r not in RANKS])
    )
    files = {page.FIGURES["architecture_svg"]: shots.address(figures["architecture_svg"], SVG)}
    html = {name: markup.to_html(text, _heading(text), places, files) for name, text in texts.items()}
    slugs = {name: markup.slug(_heading(text)) for name, text in texts.items()}
    shown = [name for name in ORDER if name in texts]
    return Template(_beside(".html")).substitute(
        title=escape(_heading(texts["top"]).replace("`", "")),
        style=_beside(".css"),
        links="".join(
            f'<li><a href="#{slugs[n]}">{_heading(texts[n])}</a></li>' for n in shown if texts[n][:3] == "## "
        ),
        top=html["top"] + ("" if script is not None else f"<p>Charts are pictures here: {escape(library.HINT)}.</p>"),
        sections="\n".join(f'<section aria-labelledby="{slugs[n]}">\n{html[n]}</section>' for n in shown),
        charts=_in_script(json.dumps(charts, allow_nan=False, separators=(",", ":"))),
        library=_in_script(script or ""),
        script=_beside(".js"),
    )


def _texts(
    record: Record, pictures: Mapping[str, Shot], of_studies: Sequence[Study], has_charts: bool
) -> dict[str, str]:
    """The sections as Markdown: those of report.md, with places for the charts that it does not have."""
    texts = page.sections(record) | {"pictures": _pictures(record, pictures)}
    if not run_charts.has_hours(record):
        texts["training"] += f"\n\n{NO_HOURS}"
    if has_charts:
        texts["scores"] = texts["scores"].replace("\n\n", f"\n\n{SCORES}\n\n", 1)
        texts["pictures"] += f"\n\n### Every test image\n\n{IMAGES}"
    if has_charts and of_studies:
        texts["studies"] = "\n\n".join(["## Searches against chance", *map(studies.text, of_studies)])
    return texts


def _pictures(record: Record, pictures: Mapping[str, Shot]) -> str:
    lines = [
        "## Pictures",
        "The test images that the found network restores worst, in the middle and best, then others. PSNR is that of the whole "
        "image under protocol `whole`. In each one all pictures are moved and zoomed together, and any two of them stand under "
        "the divider.",
    ]
    for rank in RANKS:
        shot = pictures[rank]
        detail = f"A detail of {shot.width}x{shot.height} pixels." if shot.is_detail else ""
        lines += [f"### {rank.capitalize()}: `{record.pictures[rank]['name']}`", detail, f"![{rank}]({rank})"]
    if others := [shot for rank, shot in pictures.items() if rank not in RANKS]:
        images = record.metrics["images"]
        left = images - len({record.pictures[rank]["name"] for rank in pictures})
        more = f" {left:,} more do not fit into this page." if left else ""
        details = ", ".join(sorted({f"{shot.width}x{shot.height}" for shot in others if shot.is_detail}))
        cut = f" Details of {details} pixels." if details else ""
        lines += [
            "### Others, from the worst on",
            f"{len(others):,} of {images:,} test images.{more}{cut}",
            f"![others]({OTHERS})",
        ]
    return "\n\n".join(line for line in lines if line)


def _title(record: Record, rank: str) -> str:
    picture = record.pictures[rank]
    return (
        f"Place {picture['place']:,} of {record.metrics['images']:,}: {picture['name']}, {psnr(picture['psnr_db'])} dB"
    )


def _shot(record: Record, rank: str, shot: Shot, beside: Mapping[str, str]) -> str:
    picture = record.pictures[rank]
    by_classical = {
        method: f"{run_charts.short(record, method)}, {psnr(value)} dB"
        for method, value in picture["classical_psnr_db"].items()
    }
    captions = {
        "noisy": f"{tasks.find(record.params.task).degraded}, {psnr(picture['noisy_psnr_db'])} dB",
        **by_classical,
        "restored": f"restored, {psnr(picture['psnr_db'])} dB",
        **beside,
        "clean": "clean",
        "error": f"error: {picture['error_gain']:g} |restored - clean|",
    }
    return shots.to_html(shot, rank, picture["name"], captions)


def _placed(html: str) -> Place:
    """HTML for a place, whatever the place is called."""
    return lambda alt: html


def _figure(name: str, figures: Mapping[str, bytes], charts: Mapping[str, object]) -> Place:
    """A figure of report.md: the place of the chart of its name, or the picture as it is."""
    is_drawing = name == "architecture"
    address = shots.address(*((figures["architecture_svg"], SVG) if is_drawing else (figures[name],)))

    def place(alt: str) -> str:
        kind = "paper drawing" if is_drawing else "paper"
        image = f'<img class="{kind}" alt="{escape(alt)}" src="{address}">'
        if name in charts:
            return _chart(name, image)(alt)
        return f'<figure class="scroll" role="region" tabindex="0" aria-label="{escape(alt)}">{image}</figure>'

    return place


def _chart(name: str, picture: str = "") -> Place:
    """Where charts come, with a picture for a browser that runs no script."""
    start = f'<div class="charts" role="group" data-charts="{escape(name)}"'
    return lambda alt: f'{start} aria-label="{escape(alt)}">{picture}</div>'


def _heading(text: str) -> str:
    """The first heading of a section, without its marks."""
    return text.split("\n", 1)[0].lstrip("# ")


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text()


def _in_script(text: str) -> str:
    """Text that a script element may hold: it would end at its own end tag, and hide behind the mark of a comment."""
    return re.sub(r"<(?=/script|!--)", r"\\u003c", text, flags=re.IGNORECASE)
