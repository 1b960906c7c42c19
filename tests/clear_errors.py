"""What the text of an error must be: one that says what was expected and what came, and that a terminal only shows."""

import re
from collections.abc import Iterator

LONGEST = 3000
"""Characters of an error."""

EXPECTED = re.compile(
    r"\b(must|expected|needs?|takes?|reads|can|cannot|has|at most|may have|was made with|is for|every)\b"
)
"""What an error says first: what was expected."""

CAME = re.compile(r"\b(got|but|none|already|cannot be|missing|unknown|outside|goes|another)\b")
"""And then: what came."""


def problems(text: str, named: str = "") -> Iterator[str]:
    """What is wrong with an error's text.

    Args:
        text: as a person reads it.
        named: words that it must have, as a file's or a key's name; several with | between them.
    """
    if "Traceback" in text:
        yield f"a traceback: {text[-800:]}"
    if not text.strip():
        yield "no word of what is wrong"
    if len(text) > LONGEST:
        yield f"{len(text)} characters: {text[:200]}"
    if not EXPECTED.search(text) or not CAME.search(text):
        yield f"not what was expected and what came: {text!r}"
    if not all(letter.isprintable() or letter == "\n" for letter in text):
        yield f"letters that a terminal obeys: {text!r}"
    if named and not re.search(named, text):
        yield f"does not name {named}: {text!r}"
