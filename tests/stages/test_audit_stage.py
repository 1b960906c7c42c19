"""The audit stage and its check: a leak stops the pipeline and is named, a known case does not."""

from pathlib import Path

import numpy as np
import pytest
from picture_folder import list_pictures
from scipy.ndimage import gaussian_filter

from nasir.config.audit import AuditConfig
from nasir.data.pictures.images import save_png
from nasir.files import read_csv, read_json, write_json, write_text
from stages import audit
from stages.around.checks import check_audit

PARTS = {"w": ["train/w1", "train/w2"], "a": ["train/a"], "v": ["train/v"], "test": ["test/1", "test/2"]}


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = sum(s * gaussian_filter(rng.standard_normal((120, 160)), s) for s in (2, 6))
    canvas = 128 + 40 * field / field.std()
    for _ in range(30):
        top, left = rng.integers(0, 110), rng.integers(0, 150)
        canvas[top : top + rng.integers(5, 40), left : left + rng.integers(5, 40)] += rng.normal(0, 30)
    return np.clip(canvas, 0, 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Six pictures and their split; test/2 is to be made a leak by some tests."""
    names = [name for part in PARTS.values() for name in part]
    for number, name in enumerate(names):
        save_png(tmp_path / "images" / f"{name}.png", picture(number))
    describe(tmp_path / "images")
    write_json(tmp_path / "split/split.json", {"seed": 0, "leaks": []} | PARTS)
    return {"pictures": tmp_path / "images", "split": tmp_path / "split"}


def describe(images: Path) -> None:
    names = [name for part in PARTS.values() for name in part]
    list_pictures(images, names)


def run(folders: dict[str, Path], out: Path) -> None:
    audit.run(**folders, out=out, seed=0, config=AuditConfig(planted=2), log=lambda step, values: None)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known.csv"
    write_text(path, "dataset,first,second,reason\n")
    return path


def leak(folders: dict[str, Path]) -> None:
    """Put a mirrored quarter of train/w2 into the test images."""
    save_png(folders["pictures"] / "test/2.png", np.ascontiguousarray(picture(1)[30:90, 40:120][:, ::-1]))
    describe(folders["pictures"])


def test_clean_parts_pass_and_the_planted_leaks_are_counted(folders, known, tmp_path):
    run(folders, tmp_path / "audit")
    check_audit(tmp_path / "audit", "sample", known, tmp_path / "check.json")

    found = read_json(tmp_path / "audit/audit.json")
    assert (found["images"], found["matches"], found["recall"], found["precision"]) == (6, 0, 1.0, 1.0)
    assert found["planted"]["quarter"] == 2
    assert (
        tmp_path / "audit/matches.csv"
    ).read_text() == "first,first_part,second,second_part,correlation,how,is_declared\n"
    assert read_json(tmp_path / "check.json")["success"]


def test_a_leak_into_the_test_images_stops_the_pipeline_and_is_named(folders, known, tmp_path):
    leak(folders)
    run(folders, tmp_path / "audit")

    [row] = read_csv(tmp_path / "audit/matches.csv")
    assert (row["first"], row["first_part"], row["second"], row["second_part"]) == ("train/w2", "w", "test/2", "test")
    assert row["how"].startswith("mirrored, scale 1.00")
    with pytest.raises(
        ValueError, match=r"is_known fails for train/w2 = test/2 .* goes into known.csv with its reason"
    ):
        check_audit(tmp_path / "audit", "sample", known, tmp_path / "check.json")
    assert not read_json(tmp_path / "check.json")["success"]


def test_twins_in_one_part_are_no_leak_and_no_false_find(folders, known, tmp_path):
    save_png(folders["pictures"] / "train/w2.png", np.ascontiguousarray(picture(0)[:, ::-1]))  # w1 mirrored
    describe(folders["pictures"])
    run(folders, tmp_path / "audit")

    found = read_json(tmp_path / "audit/audit.json")
    assert (found["matches"], found["false"], found["recall"]) == (0, [], 1.0)


def test_a_known_case_of_this_data_set_passes(folders, known, tmp_path):
    leak(folders)
    run(folders, tmp_path / "audit")
    write_text(known, "dataset,first,second,reason\nsample,test/2,train/w2,made by this test\n")

    check_audit(tmp_path / "audit", "sample", known, tmp_path / "check.json")
    with pytest.raises(ValueError, match="train/w2 = test/2"):
        check_audit(tmp_path / "audit", "bsd500", known, tmp_path / "check.json")


@pytest.mark.parametrize(("recall", "precision", "column"), [(0.5, 1.0, "recall"), (1.0, 0.8, "precision")])
def test_an_audit_that_misses_planted_leaks_is_not_trusted(folders, known, tmp_path, recall, precision, column):
    run(folders, tmp_path / "audit")
    path = tmp_path / "audit/audit.json"
    write_json(path, read_json(path) | {"recall": recall, "precision": precision})

    with pytest.raises(ValueError, match=f"{column} fails for planted leaks"):
        check_audit(tmp_path / "audit", "sample", known, tmp_path / "check.json")


def test_the_same_images_give_the_same_bytes(folders, tmp_path):
    for name in ("first", "second"):
        run(folders, tmp_path / name)

    for file in ("matches.csv", "audit.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
