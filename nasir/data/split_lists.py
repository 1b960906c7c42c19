"""Lists of pictures that the split step writes."""

from collections.abc import Sequence
from pathlib import Path

from nasir.files import read_json, shortened


def read(path: Path, parts: Sequence[str]) -> dict[str, list[str]]:
    """Read lists of pictures of `split.json`.

    Args:
        path: the file.
        parts: names of lists: w, a, v, test, leaks.

    Raises:
        ValueError: if there is no such file, or one of them is no list of different names.
    """
    value = read_json(path)
    for part in parts:
        names = value.get(part) if isinstance(value, dict) else None
        if (
            not isinstance(names, list)
            or not all(isinstance(name, str) for name in names)
            or len({*names}) < len(names)
        ):
            raise ValueError(
                f"{path} must hold a list of different pictures under {part!r}, got {shortened(names)}; "
                "run the split step again."
            )
    return {part: value[part] for part in parts}
