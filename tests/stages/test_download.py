import os
from pathlib import Path

import numpy as np
import pytest

from nasir.config.download import DownloadConfig
from nasir.data import manifest
from nasir.data.datasets import catalogue as datasets
from nasir.data.pictures.images import save_png
from stages import download

ROOT = Path(__file__).parents[2]
UNUSED = {"folder": Path("unused"), "layout": "clean"}  # of another data set
PATIENT = DownloadConfig(attempts=2, timeout=5)


def ignore(step, news):
    pass


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    """Those of the person who runs the tests have no say here."""
    monkeypatch.delenv("NASIR_MIRRORS", raising=False)


def find_shipped():
    if not (ROOT / "data").is_dir():
        pytest.skip("needs the shipped images in data/; `dvc pull data.dvc` brings them")
    return ROOT / "data"


def test_the_sample_is_copied_from_the_shipped_folder(tmp_path):
    shipped, news = find_shipped(), []

    download.run(
        dataset="sample",
        **UNUSED,
        shipped=shipped,
        out=tmp_path,
        config=PATIENT,
        log=lambda *call: news.append(call),
    )

    entries = manifest.read(tmp_path / "manifest.csv")
    assert entries == list(datasets.get("sample").entries)
    assert manifest.verify(tmp_path, entries) == []
    assert news[-1] == (len(entries), {"files": float(len(entries))})


def test_a_second_run_changes_nothing_and_needs_no_source(tmp_path):
    download.run(dataset="sample", **UNUSED, shipped=find_shipped(), out=tmp_path, config=PATIENT, log=ignore)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.*g")}

    download.run(dataset="sample", **UNUSED, shipped=tmp_path / "nowhere", out=tmp_path, config=PATIENT, log=ignore)

    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.*g")} == before


def test_without_the_shipped_folder_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: does not exist(.|\n)*run `dvc pull --force data.dvc`"):
        download.run(
            dataset="sample",
            **UNUSED,
            shipped=tmp_path / "nowhere",
            out=tmp_path / "out",
            config=PATIENT,
            log=ignore,
        )
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_a_mirror_that_does_not_exist_is_named_even_if_another_has_the_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NASIR_MIRRORS", f"{tmp_path / 'typo'},{find_shipped()}")

    download.run(
        dataset="sample",
        **UNUSED,
        shipped=tmp_path / "nowhere",
        out=tmp_path / "out",
        config=PATIENT,
        log=ignore,
    )

    assert f"download: {tmp_path / 'typo'}: does not exist" in capsys.readouterr().err


def test_an_unknown_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset must be one of .* got 'kodak'"):
        download.run(dataset="kodak", **UNUSED, shipped=tmp_path, out=tmp_path, config=PATIENT, log=ignore)


def test_bsd500_is_found_in_a_folder_of_data_sets(tmp_path, monkeypatch):
    folder = Path(os.environ.get("NASIR_TEST_DATASETS", ROOT.parent / "shared" / "datasets"))
    if not (folder / "bsds500").is_dir():
        pytest.skip(f"needs BSDS500 below {folder}; name a folder of data sets in NASIR_TEST_DATASETS")
    monkeypatch.setenv("NASIR_MIRRORS", str(folder))

    download.run(
        dataset="bsd500",
        **UNUSED,
        shipped=tmp_path / "unused",
        out=tmp_path,
        config=PATIENT,
        log=ignore,
    )

    entries = manifest.read(tmp_path / "manifest.csv")
    assert (len(manifest.names(entries, "train")), len(manifest.names(entries, "test"))) == (300, 200)
    assert manifest.verify(tmp_path, entries) == []


def test_a_persons_own_images_are_copied_with_a_manifest_of_their_own(tmp_path):
    for number in range(3):
        save_png(tmp_path / f"own/train/{number}.png", np.full((40, 80), number, np.uint8))
        save_png(tmp_path / f"own/test/{number}.png", np.full((40, 80), 9 - number, np.uint8))

    own = {"dataset": "folder", "folder": tmp_path / "own", "layout": "clean_left"}
    download.run(**own, shipped=tmp_path, out=tmp_path / "out", config=PATIENT, log=ignore)

    entries = manifest.read(tmp_path / "out/manifest.csv")
    assert [(entry.path, entry.split, entry.width) for entry in entries if entry.split == "test"] == [
        (f"test/{number}.png", "test", 80) for number in range(3)
    ]
    assert manifest.verify(tmp_path / "out", entries) == []


def test_an_own_image_that_cannot_be_cut_in_two_is_named_before_anything_is_written(tmp_path):
    for name in "ab":
        save_png(tmp_path / f"own/{name}.png", np.zeros((40, 81 if name == "a" else 80), np.uint8))
    own = {"dataset": "folder", "folder": tmp_path / "own", "layout": "clean_left"}
    with pytest.raises(ValueError, match=r"a.png must hold two images of one width, got 81 px for both"):
        download.run(**own, shipped=tmp_path, out=tmp_path / "out", config=PATIENT, log=ignore)
    assert not (tmp_path / "out").exists()
