"""Where the numbers come from: the data card, the checks and the receipt."""

from collections.abc import Sequence

from nasir import task as tasks
from nasir.data.pictures.listing import Picture
from nasir.reporting.run.record import STEPS, Record
from nasir.reporting.tables import number, psnr, table


def data(record: Record) -> str:
    """Images, sizes and bytes of each list, the terms, and the noise that was measured."""
    listed = {picture.name: picture for picture in record.listed}
    uses = {
        "w": "weights in the search; retraining",
        "a": "architecture in the search; retraining",
        "v": "which supernet and which weights are kept",
        "test": "the scores above, nothing else",
    }
    rows: list[Sequence[object]] = []
    for part, use in uses.items():
        chosen = [listed[name] for name in record.split[part]]
        rows.append([part.upper() if len(part) == 1 else part, len(chosen), _sizes(chosen), use])
    if leaks := [listed[name] for name in record.split["leaks"]]:
        use = "nothing" if record.split["exclude_leaks"] else "training, although a test image shows the same"
        rows.append(["left out" if record.split["exclude_leaks"] else "known leaks", len(leaks), _sizes(leaks), use])
    columns = ("list", "images", "width x height, pixels", "used for")
    modes = ", ".join(sorted({entry.mode for entry in record.entries}))
    return "\n\n".join(
        [
            "## Data",
            f"Data set `{record.params.dataset}`: {len(record.entries)} files of mode {modes}, {_megabytes(record)} MB. "
            "Sources, licence and terms: [DATASETS.md](../DATASETS.md).",
            table(columns, rows, ("images",)),
            _noise(record),
            _audit(record),
        ]
    )


def _audit(record: Record) -> str:
    """Which images stand in two lists, and how far that may be believed."""
    audit = record.audit
    planted, found = sum(audit["planted"].values()), sum(audit["found"].values())
    kinds = ", ".join(f"{name} {audit['found'][name]} of {count}" for name, count in audit["planted"].items())
    return (
        f"Leak audit over {number(audit['images'], 0)} images: {number(audit['matches'], 0)} pairs of images in different lists "
        f"show one picture. Of {planted} leaks planted among the training images it found {found} ({kinds}), with "
        f"{len(audit['false'])} false pairs: recall {number(audit['recall'], 3)}, precision {number(audit['precision'], 3)}."
    )


def _noise(record: Record) -> str:
    test = [row for row in record.noise if row["split"] == "test"]
    measured = [float(row["measured_sigma"]) for row in test]
    inputs = [float(row["noisy_psnr_db"]) for row in test]
    mean, low, high = (number(value, 2) for value in (sum(measured) / len(test), min(measured), max(measured)))
    task = tasks.find(record.params.task)
    if task.is_paired:
        return (
            f"The {len(test)} {task.degraded} test images differ from the clean ones by {mean} on average (standard deviation, "
            f"{low} to {high}, 8-bit grey levels): {psnr(sum(inputs) / len(test))} dB."
        )
    return (
        f"Noise on the {len(test)} test images: asked sigma {record.params.sigma:g}, measured {mean} on average "
        f"({low} to {high}, 8-bit grey levels); "
        f"the noisy image, clipped to [0, 1], has {psnr(sum(inputs) / len(test))} dB."
    )


def _sizes(listed: Sequence[Picture]) -> str:
    sizes = sorted({(picture.width, picture.height) for picture in listed})
    if len(sizes) <= 2:
        return ", ".join(f"{width}x{height}" for width, height in sizes)
    widths, heights = zip(*sizes, strict=True)
    return f"{min(widths)} to {max(widths)} x {min(heights)} to {max(heights)}"


VERDICTS = {True: "passed", False: "**failed**", None: "not run"}


def _megabytes(record: Record) -> str:
    return number(sum(entry.bytes for entry in record.entries) / 1e6, 2)


def checks(record: Record) -> str:
    """How many expectations each check had, and every one that failed with what was seen."""
    rows = [
        [
            check["check"],
            VERDICTS[check["success"]],
            len(check["expectations"]),
            sum(not expectation["success"] for expectation in check["expectations"]),
        ]
        for check in record.checks
    ]
    failed = [
        [check["check"], e["expectation"], e["column"] or "", _shortened(e["unexpected"]), _shortened(e["observed"])]
        for check in record.checks
        for e in check["expectations"]
        if not e["success"]
    ]
    lines = ["## Checks", table(("results of", "check", "expectations", "failed"), rows, ("expectations", "failed"))]
    if failed:
        lines += [
            "Failed expectations:",
            table(("results of", "expectation", "column", "unexpected", "observed"), failed),
        ]
    return "\n\n".join(lines)


def _shortened(value: object) -> str:
    """The first five of a list, and how many more there are."""
    if isinstance(value, list) and len(value) > 5:
        return f"{', '.join(map(str, value[:5]))} and {len(value) - 5} more"
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def receipt(record: Record) -> str:
    """What each step took, and everything that fixes the run: commit, seed, versions, hashes."""
    receipts = [record.receipts[step] for step in STEPS]
    rows = [
        [
            receipt["stage"] + (" (carried on: since its checkpoint)" if receipt["is_resumed"] else ""),
            number(receipt["seconds"], 1),
            "not measured" if receipt["peak_memory_mib"] is None else number(receipt["peak_memory_mib"], 0),
            ", ".join(part for part in (receipt["device"], receipt.get("precision")) if part),
        ]
        for receipt in receipts
    ]
    rows.append(["all", number(sum(receipt["seconds"] for receipt in receipts), 1), "", ""])
    versions: dict[str, list[str]] = {}
    for receipt in receipts:
        for name, version in receipt["versions"].items():
            versions.setdefault(name, []).append(str(version))
    facts = [
        ["commit", _distinct([receipt["commit"] for receipt in receipts])],
        ["seed", str(record.params.seed)],
        ["profile", record.params.profile],
        ["versions", ", ".join(f"{name} {_distinct(values)}" for name, values in versions.items())],
        [f"SHA-256 of the manifest of `{record.params.dataset}`", f"`{record.manifest_sha256}`"],
        ["SHA-256 of `genotype.json`", f"`{record.genotype_sha256}`"],
    ]
    return "\n\n".join(
        [
            "## Receipt",
            table(("step", "seconds", "peak memory, MiB", "device"), rows, ("seconds", "peak memory, MiB")),
            table(("fact", "value"), facts),
        ]
    )


def _distinct(values: Sequence[object]) -> str:
    """Each value once: steps that ran at different times may differ."""
    return " / ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))
