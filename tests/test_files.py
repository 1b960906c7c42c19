"""Files are whole or absent."""

import os
import subprocess
import sys

import pytest

from nasir import files


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_process_left_is_dropped_and_what_a_live_one_writes_stays(tmp_path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt("killed")

    def leave(name: str, pid: int) -> None:
        (tmp_path / "deep").mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "getpid", lambda: pid)
            patch.setattr(files.Path, "unlink", lambda *given, **named: None)  # killed before
            patch.setattr(files.os, "replace", kill)
            with pytest.raises(KeyboardInterrupt, match="killed"):
                files.write_bytes(tmp_path / name, b"half")

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leave("a.b.json", ended.pid)
    leave("deep/c.json", ended.pid)
    leave("mine.json", os.getpid())
    (tmp_path / ".a.b.json.other.part").write_text("somebody else's")

    files.drop_leftovers(tmp_path)
    assert len([*tmp_path.glob(".*.part")]) == 2 and len([*tmp_path.glob("deep/.*.part")]) == 1
    files.drop_leftovers(tmp_path, is_deep=True)
    assert [*tmp_path.glob("deep/.*")] == []
    assert {path.name.split(".")[1] for path in tmp_path.glob(".*.part")} == {"mine", "a"}


def test_csv_keeps_every_bit_of_a_float(tmp_path):
    files.write_csv(tmp_path / "a.csv", [{"x": 0.1 + 0.2}], ["x"])
    assert float(files.read_csv(tmp_path / "a.csv")[0]["x"]) == 0.1 + 0.2


def test_csv_keeps_the_ends_of_lines_that_stand_in_a_name(tmp_path):
    rows = [{"name": "a\rb", "x": "1"}, {"name": "a\nb\r\n", "x": "\r"}]
    files.write_csv(tmp_path / "a.csv", rows, ["name", "x"])

    assert files.read_csv(tmp_path / "a.csv") == rows
    assert (tmp_path / "a.csv").read_bytes() == b'name,x\n"a\rb",1\n"a\nb\r\n","\r"\n'


def test_a_row_with_another_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must have the columns \['x'\], got \['y'\]"):
        files.write_csv(tmp_path / "a.csv", [{"y": 1}], ["x"])


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "got Expecting property name"),
        ('{"a": NaN}', "got NaN, which JSON does not have"),
        ('{"a": -Infinity}', "got -Infinity, which JSON does not have"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "got the key 'c' twice"),
        ("[" * 100_000, "got maximum recursion depth exceeded"),
        ("9" * 5000, "got Exceeds the limit"),
        ("\udcff", "got 'utf-8' codec can't decode byte 0xff"),
    ],
    ids=["cut", "nan", "infinity", "double", "deep", "digits", "bytes"],
)
def test_what_is_no_json_is_named(tmp_path, text, message):
    (tmp_path / "a.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=f"a.json must hold JSON, {message}"):
        files.read_json(tmp_path / "a.json")


def test_an_empty_csv_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("x\n")
    with pytest.raises(ValueError, match=r"a.csv must hold at least one row"):
        files.read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x,y\n1\n", "row 2 of .*a.csv must have 2 values, as its header, got others"),
        (b"x,y\n1,2\n1,2,3\n", "row 3 of .*a.csv must have 2 values, as its header, got others"),
        (b"x,x\n1,2\n", r"a.csv must have the columns \['x'\], each once, got \['x', 'x'\]"),
        (b"z\n1\n", r"a.csv must have the columns \['x'\], each once, got \['z'\]"),
        (b'x\n"1\n', "a.csv must be a CSV file of UTF-8 text, got unexpected end of data"),
        (b"x\n\xff\n", "a.csv must be a CSV file of UTF-8 text, got 'utf-8' codec can't decode byte 0xff"),
        (b"", r"a.csv must have the columns \['x'\], each once, got \[\]"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        files.read_csv(tmp_path / "a.csv", ["x"])


def test_a_table_may_have_no_rows_where_that_is_said_and_a_mark_of_byte_order(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfx,y\n")

    assert files.read_csv(tmp_path / "a.csv", ["x"], is_full=False) == []


def test_what_is_no_number_in_a_table_is_named(tmp_path):
    row = {"x": "7", "y": "1e3", "z": "many" * 200}
    assert (files.to_int(row, "x", tmp_path), files.to_float(row, "y", tmp_path)) == (7, 1000.0)
    with pytest.raises(ValueError, match="y must be a whole number, got '1e3'; run the step that writes it again"):
        files.to_int(row, "y", tmp_path)
    with pytest.raises(ValueError, match=r"z must be a number, got '(many){74}man\.\.\.; run"):
        files.to_float(row, "z", tmp_path)


def test_sha256_of_abc(tmp_path):
    # FIPS 180-2, appendix B.1
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
