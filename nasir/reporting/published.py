"""The papers' printed values, read from `tables/published.csv`."""

from pathlib import Path

from nasir.files import read_csv
from nasir.shapes import require_numbers, require_unique

COLUMNS = (
    "table",
    "row",
    "dataset",
    "sigma",
    "psnr_db",
    "ssim",
    "params_m",
    "time_s",
    "time_device",
    "protocol_inferred",
    "source",
    "note",
)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file of printed values; `sigma`, `params_m` and `time_s` may be empty.

    Raises:
        ValueError: if a column is missing, a number is none or a value is printed twice.
    """
    rows = read_csv(path, COLUMNS)
    require_numbers(rows, ("psnr_db", "ssim"), path)
    require_numbers(rows, ("sigma", "params_m", "time_s"), path, is_given=False)
    require_unique(rows, ("table", "row", "dataset", "sigma"), path, "keep one")
    return rows
