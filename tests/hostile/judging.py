"""How a hostile input may end: in one clear error, or done as documented; and what of its surroundings must stay as it was.

An input is given to a public door: a command of `nasir` or `stages`, called in this process as its `main` is, or a function that
the documentation names. The door's words and status are judged here.
"""

import io
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from clear_errors import problems

from nasir import cli
from nasir.commands.terminal import shown
from stages import __main__ as stages

LONGEST_S = 60
"""Seconds that an input may take; on a busy machine, many times what any does."""

LEFT = (".part", ".partial")
"""How files end, or are called, that were on their way."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a door said: status 0 for what was done."""

    status: int
    said: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """An input: what makes it and gives it to a door, both below a folder of its own.

    Args:
        kind: the class that it is counted under.
        name: of the input.
        act: takes the folder, makes the input in it, calls a door.
        named: words that the error must have, as a file's or a key's name; several with | between them.
        ends: `refused`, `done`, or `either` where a decoder or parser cannot know that the input is damaged.
        keeps: files that a refused input may leave in the output folder, whole, by their path there.
        check: of what was done: looks at the folder, and raises AssertionError where the result is wrong.
    """

    kind: str
    name: str
    act: Callable[[Path], Answer]
    named: str = ""
    ends: str = "refused"
    keeps: Mapping[str, bytes] = field(default_factory=dict)
    check: Callable[[Path], None] | None = None


@dataclass(frozen=True, kw_only=True)
class End:
    """How a case ended."""

    kind: str
    name: str
    end: str  # refused, done, or bad
    why: str = ""
    seconds: float = field(default=0.0, compare=False)


def call(main: Callable[[], None], *words: object) -> Answer:
    """Call a command's `main` with these words, as a shell does."""
    said, error, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["command", *map(str, words)]
    status = 0
    try:
        with redirect_stdout(said), redirect_stderr(error):
            main()
    except SystemExit as end:
        if isinstance(end.code, str):
            error.write(end.code)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return Answer(status=status, said=said.getvalue(), error=error.getvalue())


def nasir(*words: object) -> Answer:
    """`nasir WORDS`."""
    return call(cli.main, *words)


def stage(*words: object) -> Answer:
    """`python -m stages WORDS`."""
    return call(stages.main, *words)


def function(work: Callable[[], object]) -> Answer:
    """A documented function: the ValueError that it raises is what a caller reads."""
    try:
        work()
    except ValueError as error:
        return Answer(status=2, said="", error=f"error: {shown(error, kept=chr(10))}")
    return Answer(status=0, said="", error="")


def run(case: Case, place: Path) -> End:
    """Give a case to its door in the folder `place`, which is made, and judge how it ended."""
    (place / "out").mkdir(parents=True)
    (place / "beside").mkdir()
    (place / "beside" / "kept").write_text("as it was")
    start = time.monotonic()
    try:
        with _at_most(LONGEST_S), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            answer = case.act(place)
            why = _judge(case, answer, place)
        if warned and not why:
            why = f"another library's warning on the terminal: {warned[0].message}"
        end = "refused" if answer.status else "done"
    except Exception:
        end, why = "bad", f"a traceback:\n{traceback.format_exc()[-1500:]}"
    return End(kind=case.kind, name=case.name, end="bad" if why else end, why=why, seconds=time.monotonic() - start)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """End what hangs by an exception that nothing here takes for an error of an input."""

    def stop(*_: object) -> None:
        raise Hang(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Hang(AssertionError):
    """An input whose door had not answered in time."""


def _judge(case: Case, answer: Answer, place: Path) -> str:
    """What is wrong with an answer, or with what it left; empty where nothing is."""
    end = "refused" if answer.status else "done"
    if case.ends not in (end, "either"):
        return f"{end} in place of {case.ends}: {answer.said[-300:]}{answer.error[-600:]}"
    wrong = list(_surroundings(place, case.keeps if answer.status else None))
    if answer.status:
        wrong += _of_words(case, answer.error)
    elif case.check is not None:
        case.check(place)
    return "; ".join(wrong)


def _of_words(case: Case, text: str) -> Iterator[str]:
    return problems(text[text.find("error") :] if "error" in text else text, case.named)


def _surroundings(place: Path, keeps: Mapping[str, bytes] | None) -> Iterator[str]:
    """What must not be there behind any input, and behind one that was refused, of which `keeps` may stay."""
    if (
        sorted(path.name for path in (place / "beside").iterdir()) != ["kept"]
        or (place / "beside" / "kept").read_text() != "as it was"
    ):
        yield "something beside the folder was touched"
    if (place / "ran").exists():
        yield "code of the input ran"
    left = [path for path in _files(place) if os.fsdecode(path).endswith(LEFT)]
    if left:
        yield f"left behind: {shown(left[0])}"
    for path in _files(place / "out") if keeps is not None else ():
        if keeps.get(os.path.relpath(os.fsdecode(path), place / "out")) != Path(os.fsdecode(path)).read_bytes():
            yield f"a partial output: {shown(os.fsdecode(path))}"


def _files(folder: Path) -> Iterator[bytes]:
    for top, _, names in os.walk(os.fsencode(folder)):
        yield from (os.path.join(top, name) for name in names)
