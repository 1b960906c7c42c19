"""Expectations on the files between stages: the only module that imports great_expectations.

Each check makes tables from the files, holds them against expectations, writes the result as JSON and then raises if
one failed, so that the pipeline stops and the result can be read:

    {"check": "split", "success": false, "expectations": [
        {"expectation": "expect_column_values_to_be_between", "table": "images", "column": "places", "success": false,
         "unexpected": ["train/1"], "observed": [2]}, ...]}

`unexpected` names rows, `observed` holds what stood in them, in the same order.
"""

import math
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasir import task as tasks
from nasir.data import split_lists
from nasir.data.pictures.images import SUFFIXES, opened
from nasir.files import read_csv, read_json, sha256_file, shortened, to_int, write_json

MIN_SIDE = 32  # px
DEVIATIONS = 5.0  # a statistic of Gaussian noise may lie this many standard errors from its expectation
SHA256 = "^[0-9a-f]{64}$"

RECALL = 0.9  # of planted leaks; a crop of a smooth region cannot be found
PRECISION = 0.95

PAIR_PSNR_DB = (5.0, 60.0)  # of a degraded image against its clean one; equal images have more, others less
RIGHT_WAY = 0.9
BLUR_SHIFT = 1  # px; in measured blur the middle of an exposure need not be its centre of gravity

MATCHES = ("first", "first_part", "second", "second_part", "is_declared")
"""Columns of what the audit found."""

Row = dict[str, Any]


def check_download(images: Path, out: Path, expected: Mapping[str, int] | None = None) -> None:
    """Hold the image files against their manifest: there, unique, of the bytes, hash, size and mode it says.

    Args:
        images: folder with `manifest.csv` and the images.
        out: JSON file for the result.
        expected: number of images for each split; without it at least one of train and of test.

    Raises:
        ValueError: naming the images and the expectations that they fail.
    """
    rows: list[Row] = []
    path = images / "manifest.csv"
    listed = read_csv(path, ("path", "split", "bytes", "sha256", "width", "height", "mode"))
    for entry in listed:
        found = {f"found_{key}": value for key, value in _describe(images / entry["path"]).items()}
        said = {key: to_int(entry, key, path) for key in ("bytes", "width", "height")}
        text = {key: entry[key] for key in ("split", "sha256", "mode")}
        rows.append({"name": entry["path"], "image": _name(entry["path"])} | said | text | found)
    known = {entry["path"] for entry in listed}
    files = (path for path in sorted(images.rglob("*")) if path.suffix.lower() in SUFFIXES)
    strays = [name for name in (path.relative_to(images).as_posix() for path in files) if name not in known]
    counts = Counter(entry["split"] for entry in listed)
    splits: list[Row] = [{"name": name, "images": counts[name]} for name in ("train", "test")]
    if expected is not None:
        names = sorted(counts.keys() | expected.keys())
        splits = [{"name": name, "images": counts[name], "expected": expected.get(name, 0)} for name in names]

    tables: list[_Table] = []
    table = _table(tables, "images", rows)
    table.expect("ColumnValuesToBeUnique", column="image")
    table.expect("ColumnValuesToMatchRegex", column="sha256", regex=SHA256)
    table.expect("ColumnValuesToBeInSet", column="split", value_set=["train", "test"])
    table.expect("ColumnValuesToNotBeNull", column="found_bytes")
    for name in ("bytes", "sha256", "width", "height", "mode"):
        table.expect_equal(name, f"found_{name}")
    for name in ("width", "height"):
        table.expect("ColumnValuesToBeBetween", column=name, min_value=MIN_SIDE)
    if strays:
        further = _table(tables, "further files", [{"name": name, "is_listed": False} for name in strays])
        further.expect("ColumnValuesToBeInSet", column="is_listed", value_set=[True])
    table = _table(tables, "splits", splits)
    if expected is None:
        table.expect("ColumnValuesToBeBetween", column="images", min_value=1)
    else:
        table.expect_equal("images", "expected")
    _settle("download", tables, out, remedy="delete the named images and run the download step again")


def check_pair(images: Path, task: str, out: Path) -> None:
    """Hold the pictures against what a task needs: files there, sizes as listed; of pairs also how their images lie.

    A degraded image lies over its clean one without a shift, a blurred one within `BLUR_SHIFT`, and has a PSNR in
    `PAIR_PSNR_DB`. Of rain and of blur the degraded half must be the one that looks so in at least `RIGHT_WAY` of the pairs
    that tell: else clean and degraded are exchanged.

    Raises:
        ValueError: naming the pictures and the expectations that they fail.
    """
    rows: list[Row] = []
    for row in _pictures(images):
        paths = {row["clean"], row["degraded"]} - {""}
        rows.append(
            {"name": row["name"], "split": row["split"], "group": row["group"], "is_paired": bool(row["degraded"])}
            | {"missing": sum(not (images / path).is_file() for path in paths)}
            | {side: to_int(row, side, images / "pictures.csv") for side in ("width", "height")}
        )
    counts = Counter(row["split"] for row in rows)
    is_paired = tasks.find(task).is_paired

    tables: list[_Table] = []
    table = _table(tables, "pictures", rows)
    table.expect("ColumnValuesToBeUnique", column="name")
    table.expect("ColumnValuesToBeInSet", column="split", value_set=["train", "test"])
    table.expect("ColumnValuesToBeBetween", column="missing", max_value=0)
    table.expect("ColumnValuesToBeInSet", column="is_paired", value_set=[is_paired])
    for side in ("width", "height"):
        table.expect("ColumnValuesToBeBetween", column=side, min_value=MIN_SIDE)
    table = _table(tables, "splits", [{"name": name, "pictures": counts[name]} for name in ("train", "test")])
    table.expect("ColumnValuesToBeBetween", column="pictures", min_value=1)
    if is_paired:
        _expect_pairs(tables, images / "pairs.csv", task)
    _settle("pair", tables, out, remedy="correct or leave out the named files (DATASETS.md), then run pair again")


def check_synthesize(manifest: Path, images: Path, task: str, sigma: float, out: Path) -> None:
    """Hold the described noise against what Gaussian noise of this sigma may measure, its shapes against the images.

    With n = height * width samples the measured s and mean m have standard errors sigma / sqrt(2 n) and
    sigma / sqrt(n), so z_sigma = (s / sigma - 1) sqrt(2 n) and z_mean = m sqrt(n) / sigma both lie within +-5; all
    in 8-bit grey levels. At sigma 0 both must be 0. The degraded images of pairs, which have no such noise, are held
    against their sizes and hashes alone: a data set may repeat a pair, if both are of one group and so of one part.

    Raises:
        ValueError: naming the images and the expectations that they fail.
    """
    described = read_csv(manifest, ("name", "sigma", "height", "width", "measured_sigma", "mean_noise", "sha256"))
    listed = _pictures(images)
    sides = ("height", "width")
    shapes = {row["name"]: tuple(to_int(row, side, images / "pictures.csv") for side in sides) for row in listed}
    groups = {row["name"]: row["group"] for row in listed}
    counts = Counter(row["name"] for row in described)
    sharing: dict[str, set[str]] = {}
    for row in described:
        sharing.setdefault(row["sha256"], set()).add(groups.get(row["name"], row["name"]))
    is_paired = tasks.find(task).is_paired
    rows: list[Row] = []
    for row in described:
        image_height, image_width = shapes.get(row["name"], (math.nan, math.nan))
        height, width = (to_int(row, side, manifest) for side in ("height", "width"))
        n = height * width
        s, m = _number(row["measured_sigma"]), _number(row["mean_noise"])
        rows.append(
            {"name": row["name"], "sigma": _number(row["sigma"]), "measured_sigma": s, "mean_noise": m}
            | {"sha256": row["sha256"], "height": height, "width": width}
            | {
                "image_height": float(image_height),
                "image_width": float(image_width),
                "groups": len(sharing[row["sha256"]]),
            }
            | {"z_sigma": _z(s - sigma, sigma / math.sqrt(2 * n)), "z_mean": _z(m, sigma / math.sqrt(n))}
        )

    tables: list[_Table] = []
    table = _table(tables, "noise", rows)
    table.expect("ColumnValuesToBeBetween", column="sigma", min_value=sigma, max_value=sigma)
    for name in () if is_paired else ("z_sigma", "z_mean"):
        table.expect("ColumnValuesToNotBeNull", column=name)
        table.expect("ColumnValuesToBeBetween", column=name, min_value=-DEVIATIONS, max_value=DEVIATIONS)
    for name in ("height", "width"):
        table.expect_equal(name, f"image_{name}")
    table.expect("ColumnValuesToMatchRegex", column="sha256", regex=SHA256)
    if is_paired:
        table.expect("ColumnValuesToBeBetween", column="groups", max_value=1)
    else:
        table.expect("ColumnValuesToBeUnique", column="sha256")
    table = _table(tables, "images", [{"name": name, "rows": counts[name]} for name in sorted(shapes.keys() | counts)])
    table.expect("ColumnValuesToBeBetween", column="rows", min_value=1, max_value=1)
    _settle("synthesize", tables, out, remedy="run the synthesize step again")


def check_split(split: Path, images: Path, out: Path) -> None:
    """Hold the lists W, A, V and test against the pictures: each in just one, on its side, none empty, no group in two.

    Training pictures that the split lists as leaks are left out, or are the exception.

    Raises:
        ValueError: naming the images and the expectations that they fail.
    """
    lists = _lists(split)
    listed = _pictures(images)
    sides = {row["name"]: row["split"] for row in listed}
    groups = {row["name"]: row["group"] for row in listed}
    members = {part: list(lists.get(part, ())) for part in ("w", "a", "v", "test")}
    parts_of: dict[str, set[str]] = {}
    for part, names in members.items():
        for name in names:
            parts_of.setdefault(groups.get(name, name), set()).add(part)
    declared = {groups.get(name, name) for name in lists["leaks"]}
    shared = [{"name": group, "parts": len(parts)} for group, parts in parts_of.items() if group not in declared]
    if lists["exclude_leaks"]:
        members["left out"] = lists["leaks"]
    places = Counter(name for names in members.values() for name in names)
    drawn = {name: "test" if part == "test" else "train" for part, names in members.items() for name in names}
    rows = [
        {"name": name, "places": places[name], "side": sides.get(name, "none"), "listed_side": drawn.get(name, "none")}
        for name in sorted(sides.keys() | places)
    ]

    tables: list[_Table] = []
    table = _table(tables, "images", rows)
    table.expect("ColumnValuesToBeBetween", column="places", min_value=1, max_value=1)
    table.expect_equal("side", "listed_side")
    table = _table(tables, "what the images show", shared)
    table.expect("ColumnValuesToBeBetween", column="parts", min_value=1, max_value=1)
    lists_drawn = {part: names for part, names in members.items() if part != "left out"}
    table = _table(tables, "lists", [{"name": part, "images": len(names)} for part, names in lists_drawn.items()])
    table.expect("ColumnValuesToBeBetween", column="images", min_value=1)
    _settle("split", tables, out, remedy="run the split step again")


def check_audit(audit: Path, dataset: str, known: Path, out: Path) -> None:
    """Hold what the audit found against the list of known cases, and how much it finds of planted leaks against `RECALL`.

    Args:
        audit: folder of `matches.csv` and `audit.json`.
        dataset: whose known cases are allowed.
        known: CSV file with the columns dataset, first, second, reason.
        out: JSON file for the result.

    Raises:
        ValueError: naming the pairs, as first = second, and the expectations that they fail.
    """
    cases = read_csv(known, ("dataset", "first", "second"), is_full=False)
    allowed = {frozenset((row["first"], row["second"])) for row in cases if row["dataset"] == dataset}
    pairs: list[Row] = [
        {"name": f"{row['first']} = {row['second']}", "parts": f"{row['first_part']}, {row['second_part']}"}
        | {"is_known": frozenset((row["first"], row["second"])) in allowed or row["is_declared"] == "True"}
        for row in read_csv(audit / "matches.csv", MATCHES, is_full=False)
    ]
    found = read_json(audit / "audit.json")
    quality: list[Row] = [{"name": "planted leaks", "recall": found["recall"], "precision": found["precision"]}]

    tables: list[_Table] = []
    if pairs:
        table = _table(tables, "pairs that show one picture", pairs)
        table.expect("ColumnValuesToBeInSet", column="is_known", value_set=[True])
    table = _table(tables, "planted leaks", quality)
    for column, least in (("recall", RECALL), ("precision", PRECISION)):
        table.expect("ColumnValuesToBeBetween", column=column, min_value=least, max_value=1)
    remedy = (
        "move one of the two images to the other's part or leave it out; a pair that may stay goes into "
        f"{known.name} with its reason"
    )
    _settle("audit", tables, out, remedy=remedy)


def check_evaluate(scores: Path, images: Path, metrics: Path, out: Path) -> None:
    """Hold the scores against sane ranges, the list of test images and the means made of them.

    PSNR is finite and in [0, 60] dB, both SSIMs are in [-1, 1]; each method and protocol of `metrics` has one row for
    each test image; there are no further rows; the network is among the methods.

    Raises:
        ValueError: naming the rows, as method/protocol/image, and the expectations that they fail.
    """
    columns = ("psnr_db", "ssim_zero_padded", "ssim_valid")
    rows: list[Row] = [
        {"name": f"{row['method']}/{row['protocol']}/{row['name']}"}
        | {"pair": f"{row['method']}/{row['protocol']}"}
        | {column: _number(row[column]) for column in columns}
        for row in read_csv(scores, ("method", "protocol", "name", *columns))
    ]
    test = [row["name"] for row in _pictures(images) if row["split"] == "test"]
    means = {f"{m}/{p}": values for m, each in read_json(metrics)["methods"].items() for p, values in each.items()}
    protocols = {pair.partition("/")[2] for pair in means} or {"whole"}
    pairs = means.keys() | {f"nasir/{protocol}" for protocol in protocols}
    counts = Counter(row["name"] for row in rows)
    wanted = {f"{pair}/{name}" for pair in pairs for name in test}
    complete = [
        {"name": name, "rows": counts[name], "is_wanted": name in wanted} for name in sorted(wanted | counts.keys())
    ]
    differences = [
        {"name": pair} | {c: _mean([row[c] for row in rows if row["pair"] == pair]) - float(values[c]) for c in columns}
        for pair, values in means.items()
    ]

    tables: list[_Table] = []
    table = _table(tables, "scores", rows)
    for column, low, high in zip(columns, (0, -1, -1), (60, 1, 1), strict=True):
        table.expect("ColumnValuesToNotBeNull", column=column)
        table.expect("ColumnValuesToBeBetween", column=column, min_value=low, max_value=high)
    table = _table(tables, "rows", complete)
    table.expect("ColumnValuesToBeInSet", column="is_wanted", value_set=[True])
    table.expect("ColumnValuesToBeBetween", column="rows", min_value=1, max_value=1)
    table = _table(tables, "differences from the means", differences)
    for column in columns:
        table.expect("ColumnValuesToNotBeNull", column=column)
        table.expect("ColumnValuesToBeBetween", column=column, min_value=-1e-9, max_value=1e-9)
    _settle("evaluate", tables, out, remedy="run the evaluate step again")


class _Table:
    """Rows, each with a `name`, and what is expected of their columns."""

    def __init__(self, title: str, rows: Sequence[Row]) -> None:
        self.title = title
        self.rows = rows
        self.expectations: list[tuple[str, dict[str, Any]]] = []

    def expect(self, kind: str, **arguments: Any) -> None:
        """Add the expectation `Expect<kind>` of Great Expectations."""
        self.expectations.append((f"Expect{kind}", arguments))

    def expect_equal(self, first: str, second: str) -> None:
        """Expect equal values in two columns; a missing value equals nothing."""
        self.expect("ColumnPairValuesToBeEqual", column_A=first, column_B=second, ignore_row_if="neither")


def _expect_pairs(tables: list[_Table], path: Path, task: str) -> None:
    looks = tasks.LOOKS.get(task)
    columns = ("name", "psnr_db", "shift_y", "shift_x", *([looks, "degraded_side"] if looks else ()))
    described = read_csv(path, columns)
    pairs: list[Row] = [
        {"name": row["name"], "psnr_db": _number(row["psnr_db"])}
        | {axis: to_int(row, axis, path) for axis in ("shift_y", "shift_x")}
        for row in described
    ]
    table = _table(tables, "pairs", pairs)
    most = BLUR_SHIFT if task == "deblur" else 0
    for axis in ("shift_y", "shift_x"):
        table.expect("ColumnValuesToBeBetween", column=axis, min_value=-most, max_value=most)
    low, high = PAIR_PSNR_DB
    table.expect("ColumnValuesToBeBetween", column="psnr_db", min_value=low, max_value=high)
    if looks:
        told = [row[looks] == row["degraded_side"] for row in described if row[looks] != "unclear"]
        share = sum(told) / len(told) if told else 0.0
        table = _table(tables, "orientation", [{"name": f"degraded images that look {looks}", "share": share}])
        table.expect("ColumnValuesToBeBetween", column="share", min_value=RIGHT_WAY, max_value=1)


def _table(tables: list[_Table], title: str, rows: Sequence[Row]) -> _Table:
    """Add a table to a check."""
    tables.append(_Table(title, rows))
    return tables[-1]


def _settle(name: str, tables: Sequence[_Table], out: Path, remedy: str) -> None:
    """Hold all tables against their expectations, write the result, and raise if one failed."""
    results = _validate(tables)
    failed = [result for result in results if not result["success"]]
    write_json(out, {"check": name, "success": not failed, "expectations": results})
    if failed:
        reasons = "; ".join(f"{one['expectation']} on {one['column']} fails for {_some(one)}" for one in failed)
        raise ValueError(f"the {name} check expected what {out} lists, but {reasons}; {remedy}.")


def _validate(tables: Sequence[_Table]) -> list[dict[str, Any]]:
    """Run Great Expectations in memory, without its statistics, progress bars and warnings about itself."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        import great_expectations.expectations as gxe
        import pandas as pd
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_pandas("files")
        results = []
        for table in tables:
            batch = source.add_dataframe_asset(table.title).add_batch_definition_whole_dataframe("all")
            suite = gx.ExpectationSuite(name=table.title)
            for kind, arguments in table.expectations:
                suite.add_expectation(getattr(gxe, kind)(**arguments))
            definition = gx.ValidationDefinition(name=table.title, data=batch, suite=context.suites.add(suite))
            outcome = context.validation_definitions.add(definition).run(
                batch_parameters={"dataframe": pd.DataFrame(table.rows)},
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["name"]},
            )
            results += [_summary(table.title, one.to_json_dict()) for one in outcome.results]
    return results


def _summary(title: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """What of one result is kept: the expectation, its columns and the rows that fail it with their values."""
    kwargs, result = outcome["expectation_config"]["kwargs"], outcome["result"]
    if outcome["exception_info"].get("raised_exception", True):
        raise RuntimeError(f"{outcome['expectation_config']['type']} on {title} broke: {outcome['exception_info']}")
    columns = [kwargs["column"]] if "column" in kwargs else [kwargs["column_A"], kwargs["column_B"]]
    rows = result["unexpected_index_list"] or []
    observed = [[_jsonable(row[column]) for column in columns] for row in rows]
    return {
        "expectation": outcome["expectation_config"]["type"],
        "table": title,
        "column": ", ".join(columns),
        "success": outcome["success"],
        "unexpected": [row["name"] for row in rows],
        "observed": [values[0] if len(values) == 1 else values for values in observed],
    }


def _some(result: Mapping[str, Any], most: int = 10) -> str:
    """The first rows that fail, with what stood in them."""
    pairs = list(zip(result["unexpected"], result["observed"], strict=True))
    rest = f" and {len(pairs) - most} more" if len(pairs) > most else ""
    return ", ".join(f"{name} ({observed})" for name, observed in pairs[:most]) + rest


def _describe(path: Path) -> dict[str, Any]:
    """Bytes, hash, size and mode of an image file as it is; None where it is missing or no image."""
    from PIL import Image, UnidentifiedImageError

    found: dict[str, Any] = dict.fromkeys(("bytes", "sha256", "width", "height", "mode"))
    if not path.is_file():
        return found
    found |= {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    try:
        with opened(path) as image:
            image.load()
            found |= {"width": image.width, "height": image.height, "mode": image.mode}
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        pass  # the columns stay empty, and the check names the image
    return found


def _name(path: str) -> str:
    """An image's name: its path without the suffix."""
    return Path(path).with_suffix("").as_posix()


def _lists(split: Path) -> dict[str, Any]:
    """`split.json`, of which `check_split` says what is twice or not at all in its lists."""
    value: dict[str, Any] = split_lists.read(split, ["leaks"]) | read_json(split)
    for part in ("w", "a", "v", "test"):
        names = value.get(part, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{split} must hold lists of pictures, got {shortened(names)} for {part}; run split again."
            )
    if not isinstance(value.get("exclude_leaks"), bool):
        raise ValueError(f"{split} must say whether it has an exclude_leaks, true or false, got none; run split again.")
    return value


def _pictures(folder: Path) -> list[dict[str, str]]:
    """The rows of `pictures.csv`."""
    return read_csv(folder / "pictures.csv", ("name", "split", "group", "clean", "degraded", "height", "width"))


def _number(text: str) -> float:
    """A number from a CSV file; what is none becomes NaN, which the checks refuse."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _z(deviation: float, standard_error: float) -> float:
    """A deviation in standard errors; where those are 0, only 0 is right."""
    if standard_error > 0:
        return deviation / standard_error
    return 0.0 if deviation == 0 else math.inf


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _jsonable(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
