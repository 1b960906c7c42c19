"""`nasir datasets`: what images there are, on what terms, and which lie here."""

import json

import pytest

from nasir.data import manifest
from nasir.data.datasets import catalogue
from nasir.data.manifest import Dataset
from nasir.files import write_bytes


def test_every_data_set_is_listed_with_images_terms_and_bytes(nasir, tmp_path):
    status, out, _ = nasir("datasets", "--folder", tmp_path, "--json")
    told = {row["name"]: row for row in json.loads(out)["datasets"]}
    assert status == 0 and list(told) == catalogue.names()
    assert (told["bsd500"]["train"], told["bsd500"]["test"], told["bsd500"]["files"]) == (300, 200, 500)
    assert (told["rain800"]["train"], told["rain800"]["test"]) == (700, 100)
    assert told["rain800"]["terms"].startswith("no licence stated") and not told["rain800"]["is_shipped"]
    assert told["rain800"]["bytes"] == sum(entry.bytes for entry in catalogue.get("rain800").entries)
    assert told["rain800"]["tasks"]["derain"] == "its own pairs, if they show this"
    assert told["sample"]["tasks"] == dict.fromkeys(("derain", "camera", "deblur"), "simulated pairs") | {
        "denoise": "clean images"
    }
    assert {row["files_there"] for row in told.values()} == {0}
    assert told["bsd500"]["folder"] == str(tmp_path / "bsd500")


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A data set of two files of known bytes, under the name `sample`; and the folder where both lie."""
    folder = tmp_path / "sample"
    entries = []
    for path, split in (("train/a.png", "train"), ("test/b.png", "test")):
        write_bytes(folder / path, path.encode() * 1000)
        entries.append(
            manifest.Entry(
                path=path, split=split, bytes=11_000 if split == "train" else 10_000, width=9, height=9, mode="L",
                sha256=manifest.sha256_file(folder / path),
            )
        )  # fmt: skip
    found = Dataset(name="sample", entries=tuple(entries), sources=(), is_shipped=True, terms="free", remedy="none")
    monkeypatch.setattr(catalogue, "names", lambda: ["sample"])
    monkeypatch.setattr(catalogue, "get", lambda name: found)
    return folder


def test_files_are_verified_where_they_lie(nasir, little):
    def state(folder):
        return nasir("datasets", "--folder", folder)[1].splitlines()[5].split(maxsplit=1)[1]

    assert state(little.parent) == f"{little}: all verified"
    assert state(little) == f"{little}: all verified"  # the data set's own folder
    (little / "test/b.png").write_bytes(b"x" * 10_000)
    assert state(little.parent).startswith(f"{little}: 1 of 2 files are right; test/b.png: wrong SHA-256 (")
    assert state(little / "train") == f"{little / 'train' / 'sample'}: not there"


def test_a_person_reads_it(nasir, little):
    out = nasir("datasets", "--folder", little.parent)[1].splitlines()
    assert out[1].split(maxsplit=1)[1] == "1 for training, 1 for test (clean)"
    assert out[3].split() == ["terms", "free"]
    assert out[4].split(maxsplit=1)[1] == "0.0 MB, comes with the repository"
    assert out[-1] == "folder: your own images, wherever they lie (DATASETS.md)"


@pytest.mark.parametrize(("name", "got"), [("nosuch", "nothing"), ("file", "a file")])
def test_a_folder_that_is_none_gets_one_line(nasir, tmp_path, name, got):
    (tmp_path / "file").touch()
    status, out, told = nasir("datasets", "--folder", tmp_path / name, "--json")
    assert (status, out) == (2, "")
    assert told == f"error: --folder must be a folder with data sets, got {got} at {tmp_path / name}.\n"
