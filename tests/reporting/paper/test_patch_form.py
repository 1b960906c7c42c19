"""What CLEARER's letter P is worth: two protocols of one network beside two printed rows."""

from pathlib import Path

import pytest
from small_study import CLEARER_PUBLISHED, PLAN, PUBLISHED, WITH_CLEARER, read, write_clearer, write_study

from nasir.files import write_text
from nasir.reporting.paper import patch_form


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(tmp_path)
    write_clearer(tmp_path)
    return tmp_path


def test_every_network_that_has_both_protocols_is_compared_with_the_printed_difference(root):
    irnas, clearer = patch_form.changes(read(root, WITH_CLEARER))

    assert (irnas.method, irnas.label, clearer.method, clearer.label) == ("irnas", "IR-NAS", "clearer", "CLEARER")
    assert irnas.printed == clearer.printed == pytest.approx(1.09)  # 27.49 - 26.40
    assert irnas.ours.difference.mean == pytest.approx(1.0)  # 1.1 - 0.1 on every image
    # 0.95 + 0.12, 0.2 more on a and b, less on c and d
    assert clearer.ours.difference.mean == pytest.approx(1.07)
    assert (clearer.ours.difference.low, clearer.ours.difference.high) == (pytest.approx(0.87), pytest.approx(1.27))


def test_the_difference_stands_beside_the_printed_one(root):
    section = patch_form.section(read(root, WITH_CLEARER))

    lines = section.splitlines()
    assert lines[0].startswith("**Table P, scores by patches. Profile fast, ")
    # All four differences have one sign: p = 2 / 2^4.
    assert lines[-2:] == [
        "| 50 | IR-NAS | +1.09 | +1.00 [1.00, 1.00] | 0.125 | 4 |",
        "| 50 | CLEARER | +1.09 | +1.07 [0.87, 1.27] | 0.125 | 4 |",
    ]


def test_a_printed_noise_level_at_which_nothing_ran_says_so(root):
    at_30 = CLEARER_PUBLISHED.replace("bsd500,50,26.40", "bsd500,30,28.54").replace(
        "bsd500,50,27.49", "bsd500,30,29.68"
    )
    at_30 = at_30.replace("bsd500,50", "bsd500,30")
    write_text(root / "published.csv", PUBLISHED + CLEARER_PUBLISHED + at_30)

    study = read(root, WITH_CLEARER)

    assert "| 30 | - | +1.14 | not run |  | 0 |" in patch_form.section(study).splitlines()
    assert [change.sigma for change in patch_form.changes(study)] == [30.0, 50.0, 50.0]


def test_without_printed_rows_ours_stand_alone(root):
    write_text(root / "published.csv", PUBLISHED + CLEARER_PUBLISHED.replace("clearer-patches", "patch-mean"))

    assert {change.printed for change in patch_form.changes(read(root, WITH_CLEARER))} == {None}


def test_a_study_without_these_protocols_has_no_such_table(tmp_path):
    write_study(tmp_path)

    assert patch_form.section(read(tmp_path, PLAN)) == "" and patch_form.csv_rows(read(tmp_path, PLAN)) == []


def test_every_change_is_a_row_of_the_csv_file(root):
    at_30 = CLEARER_PUBLISHED.replace("bsd500,50,26.40", "bsd500,30,28.54").replace(
        "bsd500,50,27.49", "bsd500,30,29.68"
    )
    at_30 = at_30.replace("bsd500,50", "bsd500,30")
    write_text(root / "published.csv", PUBLISHED + CLEARER_PUBLISHED + at_30)

    absent, _, own = patch_form.csv_rows(read(root, WITH_CLEARER))

    assert tuple(own) == patch_form.COLUMNS
    assert (own["method"], own["sigma"], own["profile"], own["our_dataset"]) == ("clearer", 50.0, "fast", "bsd500")
    assert (own["printed"], own["change"]) == (pytest.approx(1.09), pytest.approx(1.07))
    assert (own["change_low"], own["change_high"], own["images"]) == (pytest.approx(0.87), pytest.approx(1.27), 4)
    assert (absent["method"], absent["printed"], absent["change"]) == ("", pytest.approx(1.14), "")
    assert (absent["images"], absent["wilcoxon_p"]) == (0, "")
