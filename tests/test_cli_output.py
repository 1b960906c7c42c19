"""What `nasir` writes arrives whole or is refused in one line, wherever it goes and however files are called."""

import errno
import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

from nasir import files
from nasir.cli import main
from nasir.files import read_csv

NAMES = {
    "umlaut": ("grün", "gr\\xfcn"),
    "escape": ("a\x1b[31mb", "a\\x1b[31mb"),
    "line": ("a\nb", "a\\nb"),
    "turned": ("a\u202eb", "a\\u202eb"),
    "bytes": ("a\udcffb", "a\\xffb"),
}
"""Names of files, the last of bytes that are no UTF-8, and how a terminal of ASCII alone shows them."""


def run(monkeypatch, *arguments):
    """`nasir` in this process: its exit status, or the error's text where that is 2."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["nasir", *map(str, arguments)])
    monkeypatch.setattr(sys, "stderr", said)
    with pytest.raises(SystemExit, match=r"^[012]$") as end:
        main()
    return said.getvalue().rstrip("\n") if end.value.code == 2 else end.value.code


def run_in_ascii(monkeypatch, *arguments):
    """The same with a standard output that has no other letters: what came there."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", output)
    assert run(monkeypatch, *arguments) in (0, 1)
    return output.buffer.getvalue().decode("ascii")


def save(folder, *names):
    """Small pictures with texture, all of them the same."""
    folder.mkdir(exist_ok=True)
    blocks = np.kron(np.random.default_rng(0).integers(0, 256, (10, 12)), np.ones((8, 8))).astype(np.uint8)
    for name in names:
        with open(folder / f"{name}.png", "wb") as file:
            Image.fromarray(blocks).save(file, format="PNG")
    return folder


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES)
def test_scores_of_any_name_reach_the_terminal_and_the_csv(monkeypatch, tmp_path, name, shown):
    one, other = save(tmp_path / "one", name), save(tmp_path / "other", name)

    printed = run_in_ascii(monkeypatch, "score", "--restored", one, "--clean", other, "--csv", tmp_path / "a.csv")

    assert shown in printed and not set(printed) - {"\n"} & {chr(code) for code in range(32)}
    assert [row["name"] for row in read_csv(tmp_path / "a.csv")] == [name.replace("\udcff", "\\xff"), "mean"]


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES)
def test_pairs_of_any_name_reach_the_terminal_and_the_csv(monkeypatch, tmp_path, name, shown):
    save(tmp_path / "one", name), save(tmp_path / "other", "b")

    printed = run_in_ascii(monkeypatch, "audit", tmp_path / "one", tmp_path / "other", "--csv", tmp_path / "a.csv")

    assert f"one/{shown}.png = " in printed and printed.count("\n") == 2
    [row] = read_csv(tmp_path / "a.csv")
    assert row["first"].endswith(f"one/{name}.png".replace("\udcff", "\\xff"))


def test_an_error_obeys_no_name_either(monkeypatch, tmp_path):
    save(tmp_path / "one", "a\x1b[31mb"), save(tmp_path / "other", "b")

    error = run(monkeypatch, "score", "--restored", tmp_path / "one", "--clean", tmp_path / "other")

    assert "got none for a\\x1b[31mb.png of " in error and "\x1b" not in error


@pytest.mark.parametrize("command", ["score", "audit"])
def test_a_full_output_is_one_error_and_the_csv_is_there(monkeypatch, tmp_path, command):
    one, other = save(tmp_path / "one", "a"), save(tmp_path / "other", "a")
    folders = ("--restored", one, "--clean", other) if command == "score" else (one, other)

    with open("/dev/full", "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        error = run(monkeypatch, command, *folders, "--csv", tmp_path / "a.csv")

    assert error == "error: the answer cannot be written to the output (No space left on device); send it elsewhere."
    assert read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        ("show", "irnas-bsd500-50"),
        ("compare", "irnas-bsd500-50", "irnas-bsd500-30"),
        ("profile", "irnas-bsd500-50", "--size", "8x8", "--rounds", "1"),
        ("datasets",),
        ("export", "irnas-bsd500-50", "--to", "safetensors", "--out", "out.safetensors"),
        ("restore", "one/a.png", "--sigma", "50", "--out", "out.png"),
    ],
    ids=lambda words: words[0],
)
def test_a_full_output_is_one_error_of_every_command(monkeypatch, tmp_path, words, json):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "one", "a")

    with open("/dev/full", "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        error = run(monkeypatch, *words, *(["--json"] if json else []))

    assert error == "error: the answer cannot be written to the output (No space left on device); send it elsewhere."


@pytest.mark.parametrize("command", ["score", "audit"])
def test_a_full_disk_is_one_error_and_the_answer_is_shown(monkeypatch, capsys, tmp_path, command):
    one, other = save(tmp_path / "one", "a"), save(tmp_path / "other", "a")
    folders = ("--restored", one, "--clean", other) if command == "score" else (one, other)

    def fill(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fill)
    error = run(monkeypatch, command, *folders, "--csv", tmp_path / "a.csv")

    assert error == f"error: {tmp_path}/a.csv cannot be written (No space left on device); name another file."
    assert "1 image" in (out := capsys.readouterr().out) or "1 pairs show one picture" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


PLACES = {
    "a folder": ("folder.csv", "Is a directory"),
    "in a file": ("one/a.png/x.csv", "Not a directory"),
    "too long": (f"{'x' * 252}.csv", "File name too long"),
    "below too long": (f"{'x' * 256}/x.csv", "File name too long"),
}


@pytest.mark.parametrize(("place", "reason"), PLACES.values(), ids=PLACES)
def test_a_place_that_takes_no_file_is_refused_before_the_work(monkeypatch, tmp_path, place, reason):
    save(tmp_path / "one", "a"), (tmp_path / "folder.csv").mkdir(), (tmp_path / "folder.png").mkdir()
    picture = tmp_path / "one/a.png"
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("nasir.data.duplicates.audit.folders", None)  # the work would end the test

    for words in (("audit", tmp_path / "one", "--csv"), ("restore", picture, "--model", "nosuch", "--out")):
        path = tmp_path / (place if words[0] == "audit" else place.replace(".csv", ".png"))
        assert run(monkeypatch, *words, path) == f"error: {path} cannot be written ({reason}); name another file."
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_takes_no_files_is_named(monkeypatch, tmp_path):
    save(tmp_path / "one", "a")

    error = run(monkeypatch, "restore", tmp_path / "one/a.png", "--out", "/proc/nosuch/a.png")

    assert error.startswith("error: /proc/nosuch/a.png cannot be written (")


def test_a_name_may_be_as_long_as_the_system_takes_it(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        files.write_text(tmp_path / name, "text")

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["x" * 255, "ü" * 127])


@pytest.mark.parametrize("option", ["image", "--model"])
def test_a_name_that_no_file_can_have_is_one_error(monkeypatch, tmp_path, option):
    save(tmp_path / "one", "a")
    image = "x" * 300 if option == "image" else tmp_path / "one/a.png"

    error = run(monkeypatch, "restore", image, "--model", "x" * 300, "--out", tmp_path / "out.png")

    assert "File name too long" in error and not (tmp_path / "out.png").exists()
