"""The papers' tables in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from nasir.reporting import contest
from nasir.reporting.cells import Value
from nasir.reporting.contest import Contest
from nasir.reporting.paper.study import TITLES, Study, heading
from nasir.reporting.paper.verdicts import DIGITS, TOLERANCE, Line
from nasir.reporting.tables import interval, p_value, paired, psnr, signed, ssim, table

Contests = Mapping[tuple[str, float | None], Mapping[str, Contest | None]]
"""Who is best of ours under `whole`, by data set and sigma and by measure: methods, not rows."""


@dataclass
class Notes:
    """Numbered remarks beneath a table."""

    texts: list[str]

    def mark(self, text: str) -> str:
        """A reference to the remark, after a space; nothing where there is no remark."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"

    def render(self) -> str:
        """The list of all remarks."""
        return "\n".join(f"- [{number}] {text.rstrip('.')}." for number, text in enumerate(self.texts, start=1))


def section(study: Study, name: str, content: Sequence[Line]) -> str:
    """One table of these lines with its caption, who is best in it, and its remarks."""
    notes = Notes([])
    contests, labels = _contests(content), _labels(content)
    columns, rows = _columns(content), [_cells(line, contests, notes) for line in content]
    parts = [
        f"## {heading(name)}: {TITLES[name]}",
        _caption(study, name, content),
        table(columns, [[row[column] for column in columns] for row in rows], ("sigma",)),
    ]
    if notes.texts:
        parts += ["Remarks:", notes.render()]
    if standings := _standings(contests, labels):
        parts += [
            f"**{heading(name)}, the best of ours under `whole`. {study.plan.label}** Differences are paired.",
            standings,
        ]
    if settings := _settings(content):
        parts.append("\n".join(f"- {words}" for words in settings))
    return "\n\n".join(parts)


def _caption(study: Study, name: str, content: Sequence[Line]) -> str:
    lead = f"**{heading(name)}. {study.plan.label}**"
    if not any(line.result for line in content):
        return f"{lead} Printed values as PSNR, dB / SSIM. Nothing of ours was run for this table."
    return (
        f"{lead} PSNR, dB / SSIM (zero-padded); ours with the 95 % interval of the mean PSNR over images"
        f"{_seeds_words(study)}. Reproduced: within {TOLERANCE['psnr_db']:g} dB and "
        f"{TOLERANCE['ssim_zero_padded']:g} of the printed value. Bold: best of ours under `whole`, only where the "
        "paired interval against each other one of ours excludes zero."
    )


def _seeds_words(study: Study) -> str:
    seeds = study.plan.seeds
    return f", ± standard deviation over {len(seeds)} seeds" if len(seeds) > 1 else ", one seed"


def _columns(content: Sequence[Line]) -> tuple[str, ...]:
    """Only columns with something in them."""
    columns = {
        "data set": len({line.dataset for line in content}) > 1,
        "sigma": any(line.sigma is not None for line in content),
        "method": True,
        "printed": True,
        "its protocol, inferred": True,
        "ours, that protocol": any(line.there for line in content),
        "ours, `whole`": any(line.result for line in content),
        "ours, `whole+y`": any(line.luma for line in content),
        "ours - printed": any(line.difference for line in content),
        "verdict": True,
    }
    return tuple(column for column, is_shown in columns.items() if is_shown)


def _cells(line: Line, contests: Contests, notes: Notes) -> dict[str, str]:
    printed = line.printed
    best = contests.get((line.dataset, line.sigma), {})
    bold = {m for m, c in best.items() if c is not None and c.is_clear and c.best == line.row.method and line.result}
    remark = line.reason
    images = line.result.images if line.result else 0
    remark = "; ".join(filter(None, [remark, _draws(line), _subset(line)]))
    return {
        "data set": line.dataset,
        "sigma": "" if line.sigma is None else f"{line.sigma:g}",
        "method": _plain(line.row.label),
        "printed": f"{psnr(printed.psnr_db)} / {ssim(printed.ssim)}{notes.mark(printed.note)}" if printed else "-",
        "its protocol, inferred": _protocol(printed.protocol) if printed else "-",
        "ours, that protocol": _ours(line.there, set(), images),
        "ours, `whole`": _ours(line.whole, bold, images),
        "ours, `whole+y`": _ours(line.luma, set(), images),
        "ours - printed": _difference(line),
        "verdict": _verdict(line) + notes.mark(remark),
    }


def _plain(label: str) -> str:
    """A label whose asterisks Markdown leaves alone."""
    return label.replace("*", "\\*")


def _protocol(name: str) -> str:
    return name if name == "unknown" else f"`{name}`"


def _ours(values: Mapping[str, Value], bold: set[str], images: int) -> str:
    """26.71 ± 0.03 [26.40, 27.02] / 0.7601, with "(50 images)" where these are not all; or a dash where there is nothing."""
    if not values:
        return "-"
    decibels, similarity = values["psnr_db"], values["ssim_zero_padded"]
    words = [_strong(psnr(decibels.mean), "psnr_db" in bold)]
    if decibels.spread.std is not None:
        words.append(f"± {psnr(decibels.spread.std)}")
    if decibels.interval is not None:
        words.append(interval(decibels.interval, 2))
    words += ["/", _strong(ssim(similarity.mean), "ssim_zero_padded" in bold)]
    return " ".join([*words, f"({decibels.images} images)"] if decibels.images < images else words)


def _strong(text: str, is_strong: bool) -> str:
    return f"**{text}**" if is_strong else text


def _difference(line: Line) -> str:
    if not line.difference:
        return "-"
    return " / ".join(signed(line.difference[m], DIGITS[m]) for m in ("psnr_db", "ssim_zero_padded"))


def _verdict(line: Line) -> str:
    decibels, similarity = line.verdict["psnr_db"], line.verdict["ssim_zero_padded"]
    return decibels if decibels == similarity else f"PSNR {decibels}, SSIM {similarity}"


def _subset(line: Line) -> str:
    """Which protocols were not scored on all images, and what the printed value's does to those scored under both."""
    if line.result is None or line.printed is None:
        return ""
    scored = {line.printed.protocol: line.there, "whole": line.whole}
    few = {name: v["psnr_db"].images for name, v in scored.items() if v and v["psnr_db"].images < line.result.images}
    words = [f"`{name}` was scored on {count} of {line.result.images} images" for name, count in few.items()]
    if few and "psnr_db" in line.protocol_change:
        change = paired(line.protocol_change["psnr_db"], 2, "dB")
        words.append(f"on the images of both `whole` - `{line.printed.protocol}` is {change}")
    return "; ".join(words)


def _draws(line: Line) -> str:
    """How many runs stand behind a mean where these are draws, not seeds alone."""
    runs = line.result.runs if line.result else ()
    if len(runs) < 2 or not any("draw" in run for run in runs):
        return ""
    return f"mean ± standard deviation of {len(runs)} runs: {'; '.join(runs)}"


def _contests(content: Sequence[Line]) -> Contests:
    found = {}
    for key, group in groupby(content, lambda line: (line.dataset, line.sigma)):
        ran = {line.row.method or "": line.result.scores["whole"] for line in group if line.result and line.whole}
        found[key] = {
            measure: contest.hold({method: scores[measure] for method, scores in ran.items()})
            for measure in ("psnr_db", "ssim_zero_padded")
        }
    return found


def _labels(content: Sequence[Line]) -> dict[str, str]:
    """What the first row of each method is called; a network that is scored in two ways fills two."""
    return {line.row.method: line.row.label for line in reversed(content) if line.row.method is not None}


def _standings(contests: Contests, labels: Mapping[str, str]) -> str:
    """The best of ours under `whole` against the second, for each data set, sigma and measure; empty where none compete."""
    several = len({dataset for dataset, _ in contests}) > 1
    rows = []
    for (dataset, sigma), by_measure in contests.items():
        for measure, held in by_measure.items():
            if held is not None:
                difference, digits = held.against_second.difference, DIGITS[measure]
                rows.append(
                    [
                        *([dataset] if several else []),
                        "" if sigma is None else f"{sigma:g}",
                        "PSNR, dB" if measure == "psnr_db" else "SSIM",
                        _plain(labels[held.best]),
                        _plain(labels[held.second]),
                        f"{signed(difference.mean, digits)} {interval(difference, digits)}",
                        p_value(held.against_second),
                        held.against_second.images,
                        "yes" if held.is_clear else "cannot be told",
                    ]
                )
    columns = ("sigma", "measure", "best", "second", "best - second", "Wilcoxon p", "images", "above each other one")
    shown = ("data set", *columns) if several else columns
    return table(shown, rows, ("sigma", "Wilcoxon p", "images")) if rows else ""


def _settings(content: Sequence[Line]) -> list[str]:
    """A sentence with what was chosen on V for each method that has settings, by sigma."""
    chosen: dict[str, list[str]] = {}
    for line in content:
        for settings in line.result.settings if line.result else ():
            words = ", ".join(f"{name} {value:.4g}" for name, value in settings.items())
            chosen.setdefault(line.row.label, []).append(words if line.sigma is None else f"{words} at {line.sigma:g}")
    return [f"Settings of {_plain(label)}: {', '.join(words)}." for label, words in chosen.items()]
