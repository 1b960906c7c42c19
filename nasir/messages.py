"""What stands in the messages of errors: a value, cut off where it is long, and the first line of another error."""

MOST_SHOWN = 500
"""Characters of a value in a message, where nothing else is said."""

MOST_OF_NAME = 300
"""Characters of a name in a message."""


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """A value as a message has it: cut off where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too large to be shown"
    return cut(text, most)


def bare(name: str, most: int = MOST_OF_NAME) -> str:
    """A name as a message has it: cut off where it is long, on one line, without quotes."""
    return cut(repr(name)[1:-1], most)


def cut(text: str, most: int = MOST_SHOWN) -> str:
    """A text's first characters, and dots where there are more."""
    return text if len(text) <= most else f"{text[:most]}..."


def first_line(error: BaseException) -> str:
    """What another library's error says, without what it says below; may be empty."""
    return str(error).strip().partition("\n")[0]
