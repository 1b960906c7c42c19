import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_study import PLAN, PUBLISHED, ROWS, WITH_TRIALS, read, without, write_study, write_trials

from nasir.files import write_json, write_text
from nasir.reporting.paper.study import Part, heading


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
        (
            "1,noisy input,noisy,\n",
            "1,noisy input,tv,\n",
            "only in the plan [('denoise', 'noisy')], only in the rows [('denoise', 'tv')]",
        ),
        ("3,IR-NAS,", "9,IR-NAS,", "may have the tables ['1', '2', '3', '4', '5', '6', 'clearer-1'], got ['9']"),
    ],
)
def test_rows_that_do_not_fit_are_refused(root, old, new, message):
    write_text(root / "rows.csv", ROWS.replace(old, new))

    with pytest.raises(ValueError, match=re.escape(message)):
        read(root)


def test_a_table_of_another_paper_has_its_name():
    assert [heading(table) for table in ("1", "clearer-1")] == ["Table 1", "CLEARER's Table 1"]


def test_a_matrix_at_a_noise_level_that_is_not_run_is_refused(root):
    with pytest.raises(ValueError, match="one of its sigmas"):
        read(root, replace(PLAN, matrix_sigma=70.0))


def test_missing_claims_are_refused(root):
    (root / "study" / "claims" / "denoise.json").unlink()

    with pytest.raises(ValueError, match=r"expected a file at .*claims/denoise\.json"):
        read(root)


def test_claims_are_those_of_the_tasks_whose_found_network_runs(root):
    write_json(
        root / "study" / "claims" / "derain.json", {"inference": None}
    )  # of another run: the plan has no such network

    assert list(read(root).measured) == ["denoise"]
    assert read(root, without(irnas="not trained here")).measured == {}


def test_a_printed_value_of_an_unknown_data_set_is_refused(root):
    write_text(root / "published.csv", PUBLISHED.replace("rain800", "rain100h"))

    with pytest.raises(
        ValueError,
        match=r"published\.csv must have printed values of the data sets \['bsd500', .*\], got \['rain100h'\]",
    ):
        read(root)


def test_a_printed_value_of_a_task_that_the_plan_lacks_is_refused(root):
    with pytest.raises(ValueError, match=r"task of every printed value, got \['denoise'\] without \['derain'\]"):
        read(root, replace(PLAN, parts={"denoise": PLAN.parts["denoise"]}))


def test_a_method_that_runs_for_one_task_of_a_table_must_run_for_the_other(root):
    write_trials(root)
    rain = WITH_TRIALS.parts["derain"]
    less = {name: method for name, method in rain.methods.items() if name != "irnas-r1"}

    with pytest.raises(ValueError, match=r"only in the rows \[\('derain', 'irnas-r1'\)\]"):
        read(root, replace(WITH_TRIALS, parts={**WITH_TRIALS.parts, "derain": replace(rain, methods=less)}))


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
        ("fast", "bsd500", "Profile fast, data set bsd500: other sizes or lengths than the papers'."),
        ("paper", "bsd500", "Profile paper, data set bsd500: IR-NAS's lengths, deviations in profiles/paper.yaml."),
    ],
)
def test_the_label_says_what_may_be_concluded(profile, dataset, label):
    assert replace(PLAN, profile=profile, parts={"denoise": Part(dataset=dataset, methods={})}).label == label


@pytest.mark.parametrize(
    ("profile", "datasets", "label"),
    [
        ("fast", ("bsd500", "rain800"), "Profile fast, data sets bsd500, rain800: other sizes"),
        ("demo", ("sample", "sample"), "DEMO (shipped sample images, minutes"),
        ("paper", ("bsd500", "sample"), "DEMO (data sets bsd500, sample, profile paper)"),
    ],
)
def test_the_label_names_the_data_sets_of_all_tasks_once(profile, datasets, label):
    parts = {
        task: Part(dataset=dataset, methods={}) for task, dataset in zip(("denoise", "derain"), datasets, strict=True)
    }

    assert replace(PLAN, profile=profile, parts=parts).label.startswith(label)
