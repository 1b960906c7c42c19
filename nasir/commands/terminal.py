"""How commands answer: text in columns or one JSON object, what a terminal may show, and the right name for a mistyped one."""

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CHOICES = (
    r"must be one of (?P<known>.+?)[,;] got (?P<got>'[^']*'|\S+)",
    r"expected a trained network in (?P<got>\S+), got no model\.json there;.* shipped networks: (?P<known>.+)\.$",
    r"expected a configuration file at (?P<got>\S+)\.yaml, got nothing there; files beside it: (?P<known>.+)",
    r"must have exactly the keys (?P<known>\[.*?\]);.* unknown \[(?P<got>'[^']*')\]",
)
"""How this project's errors name what there is and what came."""

ABSENT = r"(?P<got>[^\n]+) must be an image file, got nothing under that name; check the path\.$"
"""How they name a picture that is not there; there is what lies in its folder."""


def suggest(message: str) -> str:
    """An error's text, with the right name behind it where the one that came is nearly that: "Did you mean 'denoise'?"."""
    for pattern in CHOICES:
        if found := re.search(pattern, message, re.S):
            got = found["got"].strip("'").rpartition("/")[2]
            known = re.findall(r"[\w+][\w.+-]*", found["known"])
            if near := difflib.get_close_matches(got.lower(), known, n=1):
                return f"{message} Did you mean {near[0]!r}?"
    if found := re.match(ABSENT, message):
        path = Path(found["got"])
        beside = sorted(one.name for one in path.parent.iterdir()) if path.parent.is_dir() else []
        if near := difflib.get_close_matches(path.name, beside, n=1, cutoff=0.75):  # suffixes are alike
            return f"{message} Did you mean {str(path.with_name(near[0]))!r}?"
    return message


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object, now; NaN and infinity are refused, since JSON has neither.

    Raises:
        ValueError: for these, and as `say`.
    """
    say(json.dumps(value, indent=2, allow_nan=False))


def shown(name: object, kept: str = "") -> str:
    """A name as a terminal shows it: what it would obey instead of showing stands as \\x1b and the like, but for `kept`."""
    from nasir.files import as_unicode

    text = as_unicode(str(name))
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def say(text: str) -> None:
    """Print an answer, now.

    Raises:
        ValueError: if it cannot be written, to a full disk, say.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again as it ends
        raise ValueError(
            f"the answer cannot be written to the output ({error.strerror}); send it elsewhere."
        ) from error


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
