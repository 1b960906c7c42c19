"""The report as one Markdown page. It says first which profile made it, so that nobody takes a demo for a result."""

from nasir import task as tasks
from nasir.reporting import tables
from nasir.reporting.run import pairs, provenance
from nasir.reporting.run.record import PANELS, RANKS, Record
from nasir.reporting.tables import fact, number, psnr, ssim, table

FIGURES = {
    "search": "figures/search.png",
    "choices": "figures/choices.png",
    "rewards": "figures/rewards.png",
    "candidates": "figures/candidates.png",
    "architecture": "figures/architecture.png",
    "architecture_svg": "figures/architecture.svg",
    "training": "figures/training.png",
    "repeated": "figures/repeated.png",
    "noise": "figures/noise.png",
} | {rank: f"figures/{rank}.png" for rank in RANKS}
"""The figures that the page links, by what they show; paths are relative to the page."""

GREY = '- All: grey images (Pillow\'s `convert("L")`), noise added in float, neither clipped nor rounded. '
COLOUR = "- All: RGB images of 8 bits as they are, of all sizes; scores are of all three channels, those of `+y` of luma alone. "

MEASURES = (
    "The output is clipped to [0, 1] once and scored as float against the clean image: all pixels, no border cut off. "
    "A score is the mean over images.",
    "- PSNR: 10 log10(1 / mean squared error), per image.",
    "- SSIM, zero-padded: 11x11 Gaussian window of standard deviation 1.5, zeros outside the image, mean over all "
    "pixels (the definition in the authors' code). SSIM, valid: the same window, only where it lies inside the image "
    "(the standard definition).",
)
"""Border and colour rules of every score on the page, after what is scored."""


_ENDS = (
    " Share: of candidates whose first training ended so far below the average that they had no second one, around each "
    "number."
)


def render(record: Record) -> str:
    """The whole page, ending with a newline."""
    return "\n\n".join(sections(record).values()) + "\n"


def sections(record: Record) -> dict[str, str]:
    """The page's parts in order, by name; one that the run gives no cause for is left out."""
    parts = {
        "top": _top,
        "scores": _scores,
        "published": _published,
        "data": provenance.data,
        "pairs": _pairs,
        "search": _search,
        "architecture": _architecture,
        "training": _training,
        "pictures": _pictures,
        "checks": provenance.checks,
        "receipt": provenance.receipt,
    }
    return {name: text for name, part in parts.items() if (text := part(record))}


def _top(record: Record) -> str:
    params = record.params
    noise = "" if tasks.find(params.task).is_paired else f"sigma {params.sigma:g}, "
    made_by = (
        f"> **Made by profile `{params.profile}`**: data set `{params.dataset}`, task {params.task}, "
        f"{noise}search space `{params.space}`, seed {params.seed}."
    )
    lines = [
        f"# `{params.profile}` run: {params.task}, data set `{params.dataset}`{f', {noise[:-2]}' if noise else ''}",
        "\n".join([made_by, ">", f"> {_standing(record)}"]),
    ]
    failed = [check["check"] for check in record.checks if check["success"] is False]
    if failed:
        lines.append(f"**Checks failed: {', '.join(failed)}.** Read the [checks](#checks) before any number here.")
    if record.params.task == "deblur" and any(one.is_simulated for one in record.listed):
        lines.append(pairs.SYNTHETIC_BLUR)
    if record.search.get("collapse"):
        lines.append(f"**{record.search['collapse']}**")
    return "\n\n".join([*lines, _summary(record)])


def _standing(record: Record) -> str:
    """What may be concluded from this run, in a plain sentence."""
    profile, dataset = record.params.profile, record.params.dataset
    if profile != "paper":
        return (
            f"This is not a reproduction of the result of IR-NAS (Zhang et al., 2019) but a `{profile}` run: the same "
            "steps at other sizes and lengths than the paper's. Do not quote its numbers as the method's."
        )
    if not any(row["dataset"] == dataset for row in record.published):
        return (
            "The lengths are those of IR-NAS (Zhang et al., 2019), the data set is not one of that paper's: do not "
            "compare its numbers with these."
        )
    return "The lengths are those of IR-NAS (Zhang et al., 2019); profiles/paper.yaml says where they deviate and why."


def _summary(record: Record) -> str:
    protocols = tables.protocols(record)
    headline = "whole" if "whole" in protocols else protocols[0]
    values = {m: s[headline]["psnr_db"] for m, s in record.metrics["methods"].items() if headline in s}
    parts = [f"Mean PSNR over {record.metrics['images']} test images under protocol `{headline}`:"]
    parts.append(f"the found network {psnr(values[tables.OURS])} dB,")
    parts.append(f"the {tasks.find(record.params.task).degraded} input {psnr(values[tables.INPUT])} dB")
    others = {m: v for m, v in values.items() if m not in (tables.OURS, tables.INPUT)}
    if others:
        best = max(others, key=lambda method: others[method])
        parts[-1] += ","
        parts.append(f"the best classical denoiser ({tables.label(record, best)}) {psnr(others[best])} dB")
    return " ".join(parts) + "."


def _scores(record: Record) -> str:
    metrics, sentences = record.metrics, tables.against_opponents(record)
    return "\n\n".join(
        [
            "## Scores",
            tables.scores(record),
            *(["\n".join(f"- {sentence}" for sentence in sentences)] if sentences else []),
            "Bold: best under its protocol, only where the paired interval against every other method excludes zero. "
            "Intervals: 95 %, bootstrap over the test images.",
            f"The found network has {fact(metrics['parameters'])} parameters and needs "
            f"{number(metrics['flops_per_pixel'], 0)} floating-point operations per pixel (multiply-adds count twice)."
            + (" The settings of the classical denoisers were chosen on V." if metrics["classical"] else "")
            + (f" It restored large images in {record.tiling}." if record.tiling else ""),
            "Protocols and measures:",
            "\n".join([*_protocols(record), *_measures(record)]),
        ]
    )


def _measures(record: Record) -> list[str]:
    """Border and colour rules of every score on the page."""
    first, *others = MEASURES
    return [(COLOUR if tasks.find(record.params.task).is_paired else GREY) + first, *others]


def _protocols(record: Record) -> list[str]:
    """A list item for each protocol that the scores or the published values name."""
    descriptions = record.protocols
    names = [*tables.protocols(record), *(row["protocol_inferred"] for row in tables.published_rows(record))]
    items = [f"- `{name}`: {descriptions[name].rstrip('.')}." for name in dict.fromkeys(names) if name in descriptions]
    if tasks.find(record.params.task).is_paired:
        items.append("- All: the images come degraded; nothing is added to them.")
    return items


def _published(record: Record) -> str:
    lines = ["### Published values", tables.published(record)]
    if tables.published_rows(record):
        lines.append(
            "The protocol of a published row is inferred from what re-runs score, not stated by its authors. Compare "
            "rows of one protocol only: between protocols PSNR differs by more than between networks."
        )
    return "\n\n".join(lines)


def _pairs(record: Record) -> str:
    """The part on pairs; empty where noise is added to clean images."""
    if not record.pairs:
        return ""
    has_repeated = len({one.group for one in record.listed}) < len(record.listed) and not record.selection
    return pairs.section(
        record, FIGURES["repeated"] if has_repeated else "", FIGURES["noise"] if record.selection else None
    )


def _search(record: Record) -> str:
    facts = [[key.replace("_", " "), fact(value)] for key, value in record.search.items() if value not in ("", [])]
    lines = ["## Search", f"![losses and PSNR on V over the steps of the search]({FIGURES['search']})"]
    if has_choices(record):
        lines += [
            f"![entropy of alpha and beta, share of skip and none, over the steps]({FIGURES['choices']})",
            "Entropy in nats, mean over edges (alpha) and over width steps (beta): it falls as the search makes up its "
            "mind. Share: mean softmax weight of the operation over edges.",
        ]
    if has_rewards(record):
        lines += [
            f"![reward of each candidate with its moving mean, entropy of the controller]({FIGURES['rewards']})",
            "Reward: geometric mean of SSIM and of where PSNR lies between the worst and the best of the first candidates; a "
            "band of one standard deviation. Entropy: of whole sequences of choices; it falls as the controller makes up its "
            "mind." + (_ENDS if "stopped" in record.search_history else ""),
        ]
    if has_candidates(record):
        lines += [
            "The candidates with the highest rewards:",
            f"![the best candidates, drawn]({FIGURES['candidates']})",
        ]
    if record.search.get("strategy") == "one_shot":
        lines.append(
            f"Up to step {record.search['steps']:,} the shared weights are trained, and a few random paths scored; each step "
            "behind is a candidate, scored with these weights."
        )
    return "\n\n".join([*lines, table(("fact", "value"), facts)])


def has_choices(record: Record) -> bool:
    """Whether the search weighed its choices against each other, and so has a figure of how decided it was."""
    return "alpha_entropy" in record.search_history


def has_candidates(record: Record) -> bool:
    """Whether a controller was rewarded for candidates that can be drawn."""
    return any("failure" not in one for one in record.candidates)


def has_rewards(record: Record) -> bool:
    """Whether a controller was rewarded, and so has a figure of it."""
    return "reward" in record.search_history


def _architecture(record: Record) -> str:
    return "\n\n".join(
        [
            "## Architecture",
            f"![width path and cell]({FIGURES['architecture']})",
            f"{record.architecture} The drawing as [SVG]({FIGURES['architecture_svg']}).",
        ]
    )


def _training(record: Record) -> str:
    history = record.train_history
    lines = ["## Training", f"![loss, PSNR and SSIM on V over the steps]({FIGURES['training']})"]
    sentence = f"{fact(int(max(curve.steps[-1] for curve in history.values())))} steps on W and A"
    if "psnr_db" in history:
        best = int(history["psnr_db"].values.argmax())
        sentence += (
            f"; highest PSNR on V {psnr(history['psnr_db'].values[best])} dB at step "
            f"{fact(int(history['psnr_db'].steps[best]))}, after the last step {psnr(history['psnr_db'].values[-1])} dB"
        )
        if "ssim" in history:
            sentence += f" with SSIM {ssim(history['ssim'].values[-1])} (zero-padded)"
    return "\n\n".join([*lines, sentence + "."])


def _pictures(record: Record) -> str:
    gain = record.pictures[RANKS[0]]["error_gain"]
    degraded = tasks.find(record.params.task).degraded
    panels = ", ".join(degraded if name == "noisy" else name for name in PANELS)
    lines = [
        "## Pictures",
        f"A detail of {panels}, pixel for pixel; the error is {gain:g} |restored - clean|. PSNR is that of "
        "the whole image under protocol `whole`.",
    ]
    for rank in RANKS:
        picture = record.pictures[rank]
        text = (
            f"{rank.capitalize()} of the test images: `{picture['name']}`, {degraded} {psnr(picture['noisy_psnr_db'])} dB, "
            f"restored {psnr(picture['psnr_db'])} dB."
        )
        lines += [text, f"![{rank}: {panels}]({FIGURES[rank]})"]
    return "\n\n".join(lines)
