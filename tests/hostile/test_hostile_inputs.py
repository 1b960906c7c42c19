"""Whatever a person, a server or a damaged disk gives, the end is one clear error or what is documented."""

import json
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import judging
import pytest
from judging import Answer, Case, End

ROOT = Path(__file__).parents[2]
LEAST = 500
"""Inputs."""

GOOD = Answer(status=2, said="", error="error: x.png must be an image, got text; fetch it again.")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_more_than_500_hostile_inputs_end_in_one_clear_error_or_as_documented(tmp_path):
    environment = os.environ | {
        "NASIR_SEND": "later",
        "NASIR_TRACKING": str(tmp_path / "tracking"),
        "OMP_NUM_THREADS": "1",
    }
    environment |= {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    for name in ("NASIR_OWNER", "NASIR_MIRRORS"):
        environment.pop(name, None)

    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("corpus.py"), tmp_path], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    ends = [End(**end) for end in json.loads((tmp_path / "ends.json").read_text())]
    print(f"\n{table(ends)}")
    assert [f"{end.kind}, {end.name}: {end.why}" for end in ends if end.end == "bad"] == []
    assert len(ends) >= LEAST


def table(ends: list[End]) -> str:
    """How each class ended, in Markdown."""
    counts = Counter((end.kind, end.end) for end in ends)
    lines = ["| inputs | tried | refused | done | bad |", "|---|--:|--:|--:|--:|"]
    for kind in [*dict.fromkeys(end.kind for end in ends), "all"]:
        found = [
            sum(n for (of, how), n in counts.items() if kind in (of, "all") and how == end)
            for end in ("refused", "done", "bad")
        ]
        lines.append(f"| {kind} | {sum(found)} | {' | '.join(map(str, found))} |")
    return "\n".join(lines)


def judged(tmp_path, act, **changes):
    """How a case ends whose door does this."""
    return judging.run(Case(**{"kind": "k", "name": "n", "act": act, "named": "x.png"} | changes), tmp_path / "place")


def test_one_clear_error_is_a_good_end(tmp_path):
    assert judged(tmp_path, lambda place: GOOD) == End(kind="k", name="n", end="refused")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("error: invalid literal for int() with base 10: 'x.png'", "not what was expected and what came"),
        ("error: y.png must be an image, got text.", "does not name x.png"),
        ("error: x.png must be an image, got \x1b[31m.", "letters that a terminal obeys"),
        ("error: x.png must be an image, got text.\nTraceback (most recent call last):", "a traceback"),
        ("error: x.png must be an image, got " + "y" * 5000, "5035 characters"),
        ("", "no word of what is wrong"),
    ],
)
def test_words_that_help_nobody_are_a_bad_end(tmp_path, error, why):
    end = judged(tmp_path, lambda place: Answer(status=2, said="", error=error))

    assert end.end == "bad" and why in end.why


def test_what_was_to_be_refused_and_was_not_is_a_bad_end(tmp_path):
    end = judged(tmp_path, lambda place: Answer(status=0, said="", error=""))

    assert (end.end, end.why) == ("bad", "done in place of refused: ")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("out/half.png", "a partial output"),
        ("beside/new", "something beside the folder was touched"),
        ("ran", "code of the input ran"),
        ("images.part", "left behind"),
    ],
)
def test_what_a_refused_input_leaves_is_a_bad_end(tmp_path, name, why):
    def act(place):
        (place / name).write_text("x")
        return GOOD

    end = judged(tmp_path, act)

    assert end.end == "bad" and why in end.why


def test_whole_files_that_a_refused_input_may_leave_may_lie_there_whole(tmp_path):
    def act(place):
        (place / "out" / "a.png").write_text("whole")
        return GOOD

    assert judged(tmp_path / "1", act, keeps={"a.png": b"whole"}).end == "refused"
    assert judged(tmp_path / "2", act, keeps={"a.png": b"wholly"}).end == "bad"


def test_a_traceback_a_warning_and_a_hang_are_bad_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "LONGEST_S", 1)

    def broken(place):
        raise KeyError("path")

    def warned(place):
        warnings.warn("of a library", UserWarning, stacklevel=1)
        return GOOD

    ends = [
        judged(tmp_path / str(number), act) for number, act in enumerate((broken, warned, lambda place: time.sleep(30)))
    ]

    assert [end.end for end in ends] == ["bad"] * 3
    for end, why in zip(ends, ("KeyError: 'path'", "another library's warning", "no end within 1 s"), strict=True):
        assert why in end.why
