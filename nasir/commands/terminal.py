"""How commands answer: text in columns, one JSON object, or one line of what is wrong with the input and status 2."""

import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer


def refusing(command: Callable[..., None]) -> Callable[..., None]:
    """The command, but an error of its input is one line on stderr and status 2, as those of its options are."""

    @functools.wraps(command)
    def answer(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
        except ValueError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(2) from error

    return answer


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object; NaN and infinity are refused, since JSON has neither."""
    print(json.dumps(value, indent=2, allow_nan=False))


def align(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Cells as columns under each other, two spaces apart, the first `left` of them to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def require_suffix(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a path that an option cannot write.

    Raises:
        ValueError: for another suffix, or a folder.
    """
    if path.suffix.lower() not in suffixes or path.is_dir():
        raise ValueError(f"{option} must name a file that ends in {' or '.join(suffixes)}, got {path}.")
