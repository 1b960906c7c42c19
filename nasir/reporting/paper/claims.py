"""Table C: what the papers' texts claim, above all of cost (search, memory, parameters, seconds), beside what was measured."""

from collections.abc import Mapping
from typing import Any

from nasir.reporting.paper.study import FOUND, HOME, NOT_RUN, Claim, Study
from nasir.reporting.tables import number, table

COLUMNS = ("claim", "subject", "printed", "unit", "ours", "profile", "remark", "source")
"""Of the CSV file."""

FIRST = "1"
"""The paper's table that prints parameters and seconds."""

CLEARER = "clearer"
"""The method that a claim is about whose key begins with this."""

CLEARER_SEARCH = "denoise-profile-clearer"
"""The cell of its search."""

RIVAL = "rescan-gru"
"""The network that the claim on the speed of de-raining is about."""


def section(study: Study) -> str:
    """The tables of claims, parameters and inference seconds with their captions."""
    label = study.plan.label
    note = _sentence(study.claims["parameters"].note)
    parts = [
        "## Table C: cost, as the texts claim it",
        f"**Table C. {label}** A claim is of the paper's own network, device and data set; ours are of this run's.",
        _claims(study),
        f"**Table C, parameters. {label}** Ours: trainable parameters; a multiply-add is two FLOPs. {note}".rstrip(),
        _parameters(study),
    ]
    inference = _at_home(study).get("inference")
    parts += [f"**Table C, inference. {label}** {_how_timed(inference)}", _inference(study)]
    return "\n\n".join(parts)


def csv_rows(study: Study) -> list[dict[str, object]]:
    """Every claim, count and time, with the columns `COLUMNS`; what was not measured is empty."""
    rows: list[tuple[object, ...]] = []
    for claim in study.claims.values():
        if claim.key != "parameters":
            value, remark = _measured(study, claim)
            subject = CLEARER if claim.key.startswith(f"{CLEARER}_") else FOUND
            rows.append(
                (claim.key, subject, claim.printed, claim.unit, value, _joined(remark, claim.note), claim.source)
            )
    source = f"IR-NAS Table {FIRST}"
    for name, (printed, count) in _counts(study).items():
        rows.append(("parameters", name, printed, "M", None if count is None else count / 1e6, "", source))
    for name, (printed, device, seconds) in _times(study).items():
        if printed is not None:
            rows.append(("inference, the test set of 200 images", name, printed, "s", None, device, source))
        if seconds is not None:
            inference = _at_home(study)["inference"]
            remark = f"{inference['image']}, {inference['device']}, {inference['threads']} threads"
            rows.append(("inference, one image", name, None, "s", seconds, remark, ""))
    return [
        {
            key: "" if item is None else item
            for key, item in zip(COLUMNS, (*row[:5], study.plan.profile, *row[5:]), strict=True)
        }
        for row in rows
    ]


def _claims(study: Study) -> str:
    rows = []
    for claim in study.claims.values():
        if claim.key == "parameters":
            continue  # has a table of its own
        value, remark = _measured(study, claim)
        ours = "-" if value is None else _with_unit(value, claim.unit)
        printed = "-" if claim.printed is None else f"{claim.printed:g} {claim.unit}"
        rows.append([claim.words, printed, ours, _joined(remark, claim.note), claim.source or "-"])
    return table(("claim", "printed", "ours", "remark", "source"), rows, ("printed", "ours"))


def _measured(study: Study, claim: Claim) -> tuple[float | None, str]:
    """Our value in the claim's unit, and how it came about; or None and why there is none."""
    search, memory = _at_home(study).get("search"), _at_home(study).get("memory")
    rain = study.measured.get("derain", {}).get("inference")
    if claim.why:
        return None, claim.why
    if claim.key == "search_time" and search is not None:
        return _hours(search, f"{search['steps']:,} steps on {search['device']}")
    if claim.key == "clearer_search_time" and CLEARER_SEARCH in study.receipts:
        receipt = study.receipts[CLEARER_SEARCH]
        return _hours(receipt, f"on {receipt['device']}")
    if claim.key == "search_memory" and search is not None and search["peak_memory_mib"] is not None:
        return search["peak_memory_mib"], search["device"]
    if claim.key == "memory_share" and memory is not None:
        shared, unshared = memory["shared_mib"], memory["unshared_mib"]
        return shared / unshared, f"{number(shared, 0)} of {number(unshared, 0)} MiB, {memory['what']}"
    if claim.key == "time_rescan" and rain is not None and {RIVAL, FOUND} <= set(rain["seconds"]):
        ours, rival = rain["seconds"][FOUND], rain["seconds"][RIVAL]
        sides = f"{number(rival, 3)} s against {number(ours, 3)} s for one image of {rain['image']}"
        return rival / ours, f"{sides}, {rain['device']}, {rain['threads']} threads; RESCAN with GRU, untrained"
    return None, NOT_RUN


def _hours(search: Mapping[str, Any], remark: str) -> tuple[float | None, str]:
    """A search's hours, and how they came about."""
    if search["is_resumed"]:
        return None, f"{remark}: carried on from a checkpoint, so its whole time was not measured"
    return search["seconds"] / 3600, f"{number(search['seconds'], 1)} s, {remark}"


def _at_home(study: Study) -> Mapping[str, Any]:
    """What was measured of denoising."""
    return study.measured.get(HOME, {})


def _with_unit(value: float, unit: str) -> str:
    return f"{number(value, 0 if unit == 'MiB' else 3)} {unit}"


def _joined(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _counts(study: Study) -> dict[str, tuple[float | None, int | None]]:
    """Printed millions and our count, by row of the paper's first table."""
    ours: Mapping[str, int | None] = _at_home(study).get("parameters") or {}
    printed = {p.row: p.params_m for p in study.printed if p.table == FIRST}
    rows = {row.label: row.method for row in study.rows if row.table == FIRST}
    counts = {label: (printed.get(label), ours.get(method) if method else None) for label, method in rows.items()}
    return {label: pair for label, pair in counts.items() if pair != (None, None)}


def _flops(study: Study) -> dict[str, float]:
    """Operations per pixel of the networks that were scored, by row of the first table."""
    flops = {}
    for row in study.rows:
        result = study.results.get((HOME, row.method or "", study.plan.matrix_sigma))
        if row.table == FIRST and result is not None and result.flops_per_pixel is not None:
            flops[row.label] = result.flops_per_pixel
    return flops


def _parameters(study: Study) -> str:
    flops = _flops(study)
    rows = [
        [
            name,
            "-" if printed is None else number(printed, 2),
            _absence(study, name) if count is None else number(count, 0),
            "-" if count is None else number(count / 1e6, 3),
            "-" if count is None else number(count / 2**20, 3),
            "-" if name not in flops else number(flops[name], 0),
        ]
        for name, (printed, count) in _counts(study).items()
    ]
    columns = ("network", "printed, M", "ours", "ours, M", "ours / 2^20", "ours, FLOPs per pixel")
    return table(columns, rows, columns[1:])


def _times(study: Study) -> dict[str, tuple[float | None, str, float | None]]:
    """Printed seconds for the test set, their device and our seconds for one image, by row of the first table."""
    ours: Mapping[str, float | None] = (_at_home(study).get("inference") or {}).get("seconds", {})
    printed = {p.row: (p.time_s, p.time_device) for p in study.printed if p.table == FIRST}
    rows = {row.label: row.method for row in study.rows if row.table == FIRST}
    times = {
        label: (*printed.get(label, (None, "")), ours.get(method) if method else None) for label, method in rows.items()
    }
    return {label: entry for label, entry in times.items() if entry[0] is not None or entry[2] is not None}


def _how_timed(inference: Mapping[str, Any] | None) -> str:
    if inference is None:
        return f"Printed: seconds for the 200 test images. Ours: {NOT_RUN}."
    return (
        f"Printed: seconds for the 200 test images. Ours: seconds for one image of {inference['image']} on "
        f'{inference["device"]}, {inference["threads"]} threads, all measured in one run. Compare the columns "times '
        'IR-NAS", not seconds of different devices.'
    )


def _inference(study: Study) -> str:
    times = _times(study)
    [own] = [row.label for row in study.rows if row.table == FIRST and row.method == FOUND]
    own_printed, _, own_seconds = times.get(own, (None, "", None))
    rows = [
        [
            name,
            "-" if printed is None else f"{number(printed, 2)} ({device})",
            _ratio(printed, own_printed),
            _absence(study, name) if seconds is None else number(seconds, 3),
            _ratio(seconds, own_seconds),
        ]
        for name, (printed, device, seconds) in times.items()
    ]
    columns = ("method", "printed, s for 200", f"printed, times {own}", "ours, s for one", f"ours, times {own}")
    return table(columns, rows, columns[1:])


def _absence(study: Study, label: str) -> str:
    """What stands where nothing of ours was measured: the verdict of the row of the first table."""
    [row] = [row for row in study.rows if row.table == FIRST and row.label == label]
    return row.why[0] if row.why else NOT_RUN


def _ratio(value: float | None, base: float | None) -> str:
    return "-" if value is None or base is None else number(value / base, 2)
