"""What CLEARER's letter P is worth: its rows CLEARER and CLEARER-P beside two protocols of one network."""

from dataclasses import dataclass

from nasir.evaluation.statistics import Comparison
from nasir.reporting.contest import compare_shared
from nasir.reporting.paper.study import HOME, NOT_RUN, Study
from nasir.reporting.tables import interval, p_value, signed, table

TABLE = "clearer-1"
"""The table that prints both rows."""

WHOLE, PATCHES = "clearer", "clearer-patches"
"""The protocols of the rows CLEARER and CLEARER-P."""

COLUMNS = (
    "method", "sigma", "profile", "our_dataset", "printed", "change", "change_low", "change_high", "wilcoxon_p", "images",
)  # fmt: skip
"""Of the CSV file; all in dB, `PATCHES` minus `WHOLE`."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One network at one noise level."""

    method: str | None  # None: nothing was scored under both protocols
    label: str  # of its row
    sigma: float
    printed: float | None  # CLEARER-P minus CLEARER, dB
    ours: Comparison | None  # of PSNR, on the images of both


def changes(study: Study) -> list[Change]:
    """Every network that was scored under both protocols, by noise level; a printed level without any has an empty one."""
    of_image, of_patches = (_printed(study, protocol) for protocol in (WHOLE, PATCHES))
    printed = {sigma: of_patches[sigma] - value for sigma, value in of_image.items() if sigma in of_patches}
    labels = {row.method: row.label for row in reversed(study.rows)}
    found = []
    for (task, method, sigma), result in study.results.items():
        if task == HOME and {WHOLE, PATCHES} <= set(result.scores):
            ours = compare_shared(*(result.scores[protocol]["psnr_db"] for protocol in (PATCHES, WHOLE)))
            if ours is not None:
                label = labels.get(method, method)
                found.append(Change(method=method, label=label, sigma=sigma, printed=printed.get(sigma), ours=ours))
    for sigma in printed.keys() - {change.sigma for change in found}:
        found.append(Change(method=None, label="-", sigma=sigma, printed=printed[sigma], ours=None))
    found.sort(key=lambda change: change.sigma)
    return found


def _printed(study: Study, protocol: str) -> dict[float, float]:
    """PSNR by noise level, of the row that was most likely measured with this protocol."""
    return {
        p.sigma: p.psnr_db for p in study.printed if p.table == TABLE and p.protocol == protocol and p.sigma is not None
    }


def section(study: Study) -> str:
    """The table with its caption; empty where nothing is printed or scored."""
    content = changes(study)
    if not content:
        return ""
    caption = (
        f"**Table P, scores by patches. {study.plan.label}** PSNR under `{PATCHES}` minus that under `{WHOLE}`, the weights "
        "being the same: paired, image by image, with the 95 % interval. Printed: the row CLEARER-P minus the row CLEARER. "
        f"`{WHOLE}` has the self-ensemble and `{PATCHES}` has none, so this is not the worth of patches alone."
    )
    columns = ("sigma", "network", "printed, dB", "ours, dB", "Wilcoxon p", "images")
    return f"{caption}\n\n{table(columns, [_cells(change) for change in content], ('sigma', 'Wilcoxon p', 'images'))}"


def csv_rows(study: Study) -> list[dict[str, object]]:
    """Every change, with the columns `COLUMNS`; what was not scored is empty."""
    rows: list[dict[str, object]] = []
    for change in changes(study):
        bounds = change.ours.difference if change.ours else None
        values = (
            change.method, change.sigma, study.plan.profile, study.plan.parts[HOME].dataset, change.printed,
            bounds.mean if bounds else None, bounds.low if bounds else None, bounds.high if bounds else None,
            change.ours.wilcoxon_p if change.ours else None, change.ours.images if change.ours else 0,
        )  # fmt: skip
        rows.append({key: "" if item is None else item for key, item in zip(COLUMNS, values, strict=True)})
    return rows


def _cells(change: Change) -> list[str]:
    printed = "-" if change.printed is None else signed(change.printed, 2)
    if change.ours is None:
        return [f"{change.sigma:g}", change.label, printed, NOT_RUN, "", "0"]
    difference = change.ours.difference
    words = f"{signed(difference.mean, 2)} {interval(difference, 2)}"
    return [f"{change.sigma:g}", change.label, printed, words, p_value(change.ours), str(change.ours.images)]
