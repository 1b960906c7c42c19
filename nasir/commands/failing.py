"""How a command line ends on an error: with one line, and with the whole trace before it where --debug asks for that.

Of an error that nobody foresaw the line names a file that the trace was kept in, so that hours of work need not be done again
to see it.
"""

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from nasir.commands.terminal import shown, suggest
from nasir.messages import first_line

DEBUG = "NASIR_DEBUG"
"""Of the environment: 1 asks for traces, also in the processes that a command starts."""

FAULT = 70
"""Exit status after an error that nobody foresaw (EX_SOFTWARE of sysexits.h)."""

Debug = Annotated[
    bool, typer.Option("--debug", help=f"Show the whole trace of an error, wherever it stands; so does {DEBUG}=1.")
]


def begin(debug: Debug = False) -> None:
    """What a command line does before its command."""
    if debug:
        os.environ[DEBUG] = "1"


def debug_first(words: Sequence[str]) -> list[str]:
    """The words of a command line, with --debug in front wherever it stands, where it is an option of all commands."""
    end = words.index("--") if "--" in words else len(words)
    rest = [word for place, word in enumerate(words) if place >= end or word != "--debug"]
    return ["--debug"] * (len(rest) < len(words)) + rest


def refusing(command: Callable[..., None]) -> Callable[..., None]:
    """The command, but an error of its input is one line on stderr and status 2, as those of its options are."""

    @functools.wraps(command)
    def answer(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
        except ValueError as error:
            _trace()
            print(f"error: {shown(suggest(' '.join(str(error).split())))}", file=sys.stderr)
            raise typer.Exit(2) from error

    return answer


def _trace() -> None:
    """Show the trace of the error that is being handled, where it was asked for."""
    if os.environ.get(DEBUG, "") not in ("", "0"):
        traceback.print_exc()


def missing(error: ModuleNotFoundError) -> str | None:
    """What to install for a package that is not there, in one line; None for one that no extra of nasir has."""
    from importlib.metadata import PackageNotFoundError, requires

    package = (error.name or "").partition(".")[0]
    try:
        required = requires("nasir") or []
    except PackageNotFoundError:
        return None
    for line in required:
        name, _, condition = line.partition(";")
        if _is_called(name, package) and "extra ==" in condition:
            extra = condition.partition("extra ==")[2].strip(" \"'")
            return f"this needs the package {package}, got none of that name; pip install 'nasir[{extra}]'."
    return None


def _is_called(requirement: str, package: str) -> bool:
    """Whether a requirement such as great-expectations>=1.4 is for the package that is imported as great_expectations."""
    name = requirement.lower().replace("-", "_")
    return name.startswith(package.lower()) and not name[len(package) :][:1].isidentifier()


def _unforeseen(error: Exception) -> str:
    """One line on an error that nobody foresaw; its trace is kept in a file."""
    said = f"{type(error).__name__}: {first_line(error)}".rstrip(": ")
    try:
        with tempfile.NamedTemporaryFile("w", prefix="nasir-trace-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
        where = f"its trace is in {file.name}"
    except OSError:  # of a disk that is full, say
        where = "--debug shows its trace"
    return f"{said}: nobody foresaw this error; {where}, report it with that."


def end(error: Exception, told: str | None, status: int) -> NoReturn:
    """End the process on an error.

    Args:
        error: which is being handled; its trace is shown where it was asked for.
        told: what to do about it, in one line; None where nobody foresaw it.
        status: of an error that was foreseen.
    """
    _trace()
    line = _unforeseen(error) if told is None else told
    print(f"error{_of_process()}: {shown(line, kept=chr(10))}", file=sys.stderr)
    raise SystemExit(FAULT if told is None else status)


def _of_process() -> str:
    """Which of several processes of one training this is; nothing for the first or only one."""
    ranks = [os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK")]
    rank = next((rank for rank in ranks if rank), "0")
    return "" if rank == "0" else f" in process {rank}"
