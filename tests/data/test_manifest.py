import hashlib
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasir.data import datasets as package
from nasir.data import manifest
from nasir.data.datasets import catalogue as datasets
from nasir.data.manifest import Entry
from nasir.data.pictures.images import save_png

ROOT = Path(__file__).parents[2]


def describe_bytes(path, data, split="train"):
    digest = hashlib.sha256(data).hexdigest()
    return Entry(path=path, split=split, bytes=len(data), sha256=digest, width=2, height=1, mode="L")


def test_an_image_is_described_by_its_size_and_hash(tmp_path):
    save_png(tmp_path / "train" / "a.png", np.zeros((3, 5), dtype=np.uint8))
    data = (tmp_path / "train" / "a.png").read_bytes()

    entry = manifest.describe(tmp_path, "train/a.png", "train")

    assert (entry.width, entry.height, entry.mode, entry.split) == (5, 3, "L", "train")
    assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_large_photograph_is_described_without_pillow_s_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # warned of above it, refused above twice as many
    save_png(tmp_path / "a.png", np.zeros((3, 5), dtype=np.uint8))

    assert manifest.describe(tmp_path, "a.png", "train").width == 5


def test_a_name_is_the_path_without_its_last_suffix():
    assert describe_bytes("val/101085.jpg", b"x").name == "val/101085"
    assert describe_bytes("test/a.b.png", b"x").name == "test/a.b"


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    entries = [describe_bytes("train/a.png", b"aa"), describe_bytes("test/b.jpg", b"b", "test")]

    manifest.write(tmp_path / "manifest.csv", entries)

    assert manifest.read(tmp_path / "manifest.csv") == entries
    header, first, _ = (tmp_path / "manifest.csv").read_text().splitlines()
    assert header == "path,split,bytes,sha256,width,height,mode"
    assert first == f"train/a.png,train,2,{hashlib.sha256(b'aa').hexdigest()},2,1,L"


def test_names_come_by_split_in_the_order_of_the_manifest():
    entries = [
        describe_bytes(f"{name}.png", b"x", split) for name, split in [("b", "train"), ("c", "test"), ("a", "train")]
    ]

    assert manifest.names(entries, "train") == ["b", "a"]
    assert manifest.names(entries, "test") == ["c"]
    with pytest.raises(ValueError, match=r"split must be one of \['train', 'test'\], got 'val'"):
        manifest.names(entries, "val")


def test_a_missing_a_short_and_a_changed_file_are_found(tmp_path):
    entries = [describe_bytes(f"train/{name}.png", name.encode() * 3) for name in "abcd"]
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").write_bytes(b"aaa")
    (tmp_path / "train" / "b.png").write_bytes(b"bb")
    (tmp_path / "train" / "c.png").write_bytes(b"xxx")  # right size, other bytes

    problems = manifest.verify(tmp_path, entries)

    assert [problem.split(" (")[0] for problem in problems] == [
        "train/b.png: wrong size",
        "train/c.png: wrong SHA-256",
        "train/d.png: missing",
    ]
    with pytest.raises(ValueError, match=r"got 3 that are not right: train/b\.png: wrong size \(2 bytes, not 3\)"):
        manifest.require(tmp_path, entries)
    manifest.require(tmp_path, entries[:1])


def test_of_many_bad_files_ten_are_named_and_the_rest_counted(tmp_path):
    entries = [describe_bytes(f"{number:02}.png", b"x") for number in range(12)]

    with pytest.raises(ValueError, match=r"09\.png: missing and 2 more; run the download step again"):
        manifest.require(tmp_path, entries)


@pytest.mark.parametrize("path", ["../a.png", "train/../../a.png", "/etc/a.png", "train\\a.png", "C:/a.png", ""])
def test_a_path_that_leaves_its_folder_is_refused(path):
    with pytest.raises(ValueError, match="must be relative, stay in its folder and use '/'"):
        describe_bytes(path, b"x")


def test_values_out_of_range_are_refused():
    entry = describe_bytes("a.png", b"x")

    with pytest.raises(ValueError, match=r"split of a\.png must be one of .* got 'val'"):
        replace(entry, split="val")
    with pytest.raises(ValueError, match=r"bytes, width and height of a\.png must be positive, got 1, 0 and 1"):
        replace(entry, width=0)
    with pytest.raises(ValueError, match=r"sha256 of a\.png must be 64 lower-case hex digits, got 'ABC'"):
        replace(entry, sha256="ABC")


def test_two_files_with_one_name_are_refused(tmp_path):
    entries = [describe_bytes("train/a.png", b"x"), describe_bytes("train/a.jpg", b"y")]

    with pytest.raises(ValueError, match="must be unique, got 'train/a' twice"):
        manifest.write(tmp_path / "manifest.csv", entries)
    assert not (tmp_path / "manifest.csv").exists()


def test_a_manifest_with_other_columns_or_words_for_numbers_is_refused(tmp_path):
    path = tmp_path / "manifest.csv"
    manifest.write(path, [describe_bytes("a.png", b"x")])
    text = path.read_text()

    path.write_text(text.replace("split", "part", 1))
    with pytest.raises(ValueError, match=r"line 2 of .* must have the columns"):
        manifest.read(path)
    path.write_text(text.replace(",2,1,L", ""))
    with pytest.raises(ValueError, match=r"row 2 of .* must have 7 values, as its header"):
        manifest.read(path)
    path.write_text(text.replace(",2,1,L", ",two,1,L"))
    with pytest.raises(ValueError, match=r"in line 2 of .* must be whole numbers"):
        manifest.read(path)
    with pytest.raises(ValueError, match="must be a manifest, got no such file"):
        manifest.read(tmp_path / "other.csv")


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"must be one of \['bsd500', 'rain800', 'sample', 'sim1800'\], got 'bsd'"):
        datasets.get("bsd")


def test_bsd500_has_the_counts_of_its_authors():
    entries = datasets.get("bsd500").entries

    assert Counter(entry.path.split("/")[0] for entry in entries) == {"train": 200, "val": 100, "test": 200}
    assert Counter(entry.split for entry in entries) == {"train": 300, "test": 200}
    assert {(entry.width, entry.height) for entry in entries} == {(481, 321), (321, 481)}
    assert len({entry.sha256 for entry in entries}) == 500


def test_rain800_has_the_counts_of_its_authors_and_files_of_two_halves():
    chosen = datasets.get("rain800")

    assert Counter(entry.path.split("/")[0] for entry in chosen.entries) == {"training": 700, "test_syn": 100}
    assert manifest.names(chosen.entries, "train") == [f"training/{number}" for number in range(1, 701)]
    assert manifest.names(chosen.entries, "test") == [f"test_syn/{number}" for number in range(1, 101)]
    assert chosen.layout == "clean_left"
    assert all(entry.width % 2 == 0 and entry.mode == "RGB" for entry in chosen.entries)
    # 57 files are there twice or three times, byte for byte, none of them in both splits
    assert len({entry.sha256 for entry in chosen.entries}) == 738
    assert len({(entry.sha256, entry.split) for entry in chosen.entries}) == 738


def test_sim1800_is_bsd500_with_kodak_and_mcmaster_for_test():
    chosen = datasets.get("sim1800")
    bsd, others = chosen.entries[:500], chosen.entries[500:]

    assert bsd == datasets.get("bsd500").entries
    assert [entry.name for entry in others[:24]] == [f"kodak/kodim{number:02}" for number in range(1, 25)]
    assert [entry.name for entry in others[24:]] == [f"mcmaster/{number}" for number in range(1, 19)]
    assert {(entry.width, entry.height) for entry in others[:24]} == {(768, 512), (512, 768)}
    assert {(entry.width, entry.height) for entry in others[24:]} == {(500, 500)}
    assert {entry.split for entry in others} == {"test"}
    assert len({entry.name for entry in chosen.entries}) == len({entry.sha256 for entry in chosen.entries}) == 542
    assert chosen.layout == "clean"


def test_every_data_set_is_known_by_the_name_it_bears():
    for name in datasets.names():
        chosen = datasets.get(name)
        assert chosen.name == name
        assert len({entry.name for entry in chosen.entries}) == len(chosen.entries)


SQUARES = """
from pathlib import Path

from nasir.data import manifest
from nasir.data.manifest import Dataset


def load():
    entries = tuple(manifest.read(Path(__file__).with_name("squares.csv")))
    return Dataset(name="squares", entries=entries, sources=(), is_shipped=False, terms="none", remedy="draw them")
"""


@pytest.fixture
def squares(tmp_path, monkeypatch):
    """A data set with its manifest, in a folder of its own."""
    (tmp_path / "squares.py").write_text(SQUARES)
    entries = [describe_bytes("train/a.png", b"a"), describe_bytes("test/b.png", b"b", "test")]
    manifest.write(tmp_path / "squares.csv", entries)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    yield entries
    sys.modules.pop("nasir.data.datasets.squares", None)
    vars(package).pop("squares", None)


def test_a_file_more_with_its_manifest_is_a_data_set_more(squares):
    assert datasets.names() == ["bsd500", "rain800", "sample", "sim1800", "squares"]
    chosen = datasets.get("squares")
    assert chosen.name == "squares" and list(chosen.entries) == squares
    assert datasets.layout("squares", "clean_left") == "clean"  # the data set's own, not a folder's
    with pytest.raises(ValueError, match=r"'sim1800', 'squares'\], got 'square'"):
        datasets.get("square")


def test_without_the_file_there_is_no_such_data_set():
    with pytest.raises(ValueError, match="got 'squares'; correct it, or add the file"):
        datasets.get("squares")


def test_the_sample_is_small_and_has_twelve_photographs():
    entries = datasets.get("sample").entries

    assert len(entries) >= 12
    assert sum(entry.bytes for entry in entries) <= 6_000_000
    assert len(manifest.names(entries, "test")) == 4
    assert all(max(entry.width, entry.height) <= 600 for entry in entries if entry.split == "test")


def test_every_image_of_the_sample_lies_in_the_embedded_remote_and_in_the_notice():
    stored = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / ".dvc/embedded-remote").rglob("*")
        if path.is_file()
    }
    notice = (ROOT / "DATASETS.md").read_text()

    for entry in datasets.get("sample").entries:
        assert entry.sha256 in stored
        assert f"| {entry.path} |" in notice
