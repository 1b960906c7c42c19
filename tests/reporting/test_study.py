import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_study import PLAN, ROWS, read, write_study

from nasir.files import write_text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1,BM3D,bm3d,\n", "", "must take up every printed row, got no line for [('1', 'BM3D')]"),
        ("1,BM3D,bm3d,\n", "1,BM3D,bm3d,\n1,BM3D,bm3d,\n", "got several for [('1', 'BM3D')]"),
        ("3,IR-NAS,,not run: Rain", "3,IR-NAS,,later: Rain", "or 'not run: REASON', got 'later: Rain800"),
        ("1,BM3D,bm3d,\n", "1,BM3D,bm3d,because\n", "has a method, so it needs no why"),
        (
            "1,noisy input,noisy,\n",
            "1,noisy input,,not run: x\n",
            "a method or a printed value, got neither for ['noisy",
        ),
        ("1,noisy input,noisy,\n", "1,noisy input,tv,\n", "only in the plan ['noisy'], only in the rows ['tv']"),
        ("3,IR-NAS,", "9,IR-NAS,", "may have the tables ['1', '2', '3', '4', '5', '6'], got ['9']"),
    ],
)
def test_rows_that_do_not_fit_are_refused(root, old, new, message):
    write_text(root / "rows.csv", ROWS.replace(old, new))

    with pytest.raises(ValueError, match=re.escape(message)):
        read(root)


def test_a_matrix_at_a_noise_level_that_is_not_run_is_refused(root):
    with pytest.raises(ValueError, match="one of its sigmas"):
        read(root, replace(PLAN, matrix_sigma=70.0))


def test_missing_claims_are_refused(root):
    (root / "study" / "claims.json").unlink()

    with pytest.raises(ValueError, match=r"expected a file at .*claims\.json"):
        read(root)


@pytest.mark.parametrize(
    ("profile", "dataset", "label"),
    [
        (
            "demo",
            "sample",
            "DEMO (shipped sample images, minutes of training): shows that the pipeline works, no result.",
        ),
        ("small", "sample", "DEMO (shipped sample images, profile small): shows that the pipeline works, no result."),
        ("demo", "bsd500", "DEMO (data set bsd500, minutes of training): shows that the pipeline works, no result."),
        ("fast", "bsd500", "Profile fast, data set bsd500: other sizes or lengths than the paper's."),
        ("paper", "bsd500", "Profile paper, data set bsd500: the paper's lengths, deviations in profiles/paper.yaml."),
    ],
)
def test_the_label_says_what_may_be_concluded(profile, dataset, label):
    assert replace(PLAN, profile=profile, dataset=dataset).label == label
