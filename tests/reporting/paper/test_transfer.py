"""Table T: what one task's search found, trained on another task."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_study import PLAN, WITH_TRIALS, read, shifted, write_cell, write_reason, write_study, write_trials

from nasir.reporting.paper import transfer
from nasir.reporting.paper.study import Plan, Study


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(tmp_path)
    write_trials(tmp_path)
    return tmp_path


@pytest.fixture
def study(root: Path) -> Study:
    return read(root, WITH_TRIALS)


def left_out(task: str, method: str, reason: str) -> Plan:
    """`WITH_TRIALS` in which one method of a task does not run."""
    part = WITH_TRIALS.parts[task]
    methods = {**part.methods, method: replace(part.methods[method], reason=reason)}
    return replace(WITH_TRIALS, parts={**WITH_TRIALS.parts, task: replace(part, methods=methods)})


def test_every_task_has_its_own_architecture_first_and_then_the_others(study):
    entries = transfer.entries(study)

    assert [(entry.task, entry.sigma, entry.source) for entry in entries] == [
        ("denoise", 30.0, "denoise"),  # the found network runs at 50 too; the trial at 30 alone
        ("denoise", 30.0, "derain"),
        ("derain", None, "derain"),
        ("derain", None, "denoise"),
    ]
    means = [entry.result.value("whole", "psnr_db").mean for entry in entries]
    assert means == pytest.approx([29.0, 28.9, 26.5, 26.2])
    assert {entry.reason for entry in entries} == {""}


def test_a_task_without_a_search_of_its_own_has_the_architectures_of_others_alone(study):
    rain = WITH_TRIALS.parts["derain"]
    others = {name: method for name, method in rain.methods.items() if name != "irnas"}
    plan = replace(WITH_TRIALS, parts={"derain": replace(rain, methods=others)})

    assert [entry.source for entry in transfer.entries(replace(study, plan=plan))] == ["denoise"]


def test_two_architectures_are_compared_image_by_image(study):
    page = transfer.section(study)

    # Rain: the own one is 0.2 dB better on a and b, 0.4 on c and d: mean 0.30. One of the 16 resamples of four values at
    # two levels is the lowest throughout, 6 %, so both bounds are extremes. All four signs agree: p = 2 / 2^4.
    assert (
        "On derain the architecture found on derain is above that found on denoise: difference 0.30 dB "
        "(95 % interval 0.20 to 0.40, Wilcoxon p 0.125, 4 images)."
    ) in page
    # Noise: 29.0 against 28.9 + 0.5 on a and b, - 0.5 on c and d: differences -0.4, -0.4, 0.6, 0.6.
    assert (
        "On denoise the architecture found on denoise cannot be told apart from that found on derain: difference 0.10 dB "
        "(95 % interval -0.40 to 0.60, "
    ) in page
    assert "nobody can tell the architecture's share from the training's" in page
    assert (
        "Rain800 has pairs of pictures that BSDS500 tests with, and the search for de-raining sees them in the rain"
        in page
    )


def test_a_row_shows_task_level_data_set_source_and_scores(study):
    rows = [line for line in transfer.section(study).splitlines() if line.startswith(("| denoise |", "| derain |"))]

    assert rows[0].startswith("| denoise | 30 | bsd500 | denoise | 29.00 [") and rows[0].endswith("] / 0.7600 |")
    assert rows[3].startswith("| derain |  | rain800 | denoise | 26.20 [")


def test_what_did_not_run_says_why_and_is_compared_with_nothing(root):
    write_reason(root / "study", "irnas-of-derain", "out of memory", sigma=30)

    page = transfer.section(read(root, left_out("derain", "irnas-of-denoise", "too slow for this profile")))

    assert "| denoise | 30 | bsd500 | derain | not run |" in page
    assert "| derain |  | rain800 | denoise | not run |" in page
    assert page.endswith("- not run: out of memory.\n- not run: too slow for this profile.")
    assert "architecture found on derain is" not in page and "nobody can tell" not in page


def test_an_architecture_that_the_own_task_has_at_other_levels_only_is_not_run(root):
    noise = WITH_TRIALS.parts["denoise"]
    at_50 = {**noise.methods, "irnas": replace(noise.methods["irnas"], sigmas=(50.0,))}
    study = read(root, replace(WITH_TRIALS, parts={**WITH_TRIALS.parts, "denoise": replace(noise, methods=at_50)}))

    assert transfer.entries(study)[0].reason == "irnas of denoise runs sigma 50 only"


def test_a_network_that_was_not_scored_under_whole_is_not_shown(root):
    write_cell(root / "study", "irnas-of-denoise", {"whole+y": shifted(1)}, task="derain", sigma=0)

    page = transfer.section(read(root, WITH_TRIALS))

    assert "- not run: irnas-of-denoise of derain was not scored under `whole`." in page
    assert "On derain" not in page


def test_a_plan_without_such_trials_says_so(root):
    study = replace(read(root, WITH_TRIALS), plan=PLAN)

    assert transfer.section(study).endswith("Not run: the plan has no such trial.")
    assert transfer.csv_rows(study) == []


def test_every_entry_is_a_row_of_the_csv_file(root):
    rows = transfer.csv_rows(read(root, left_out("denoise", "irnas-of-derain", "too slow")))

    assert {tuple(row) for row in rows} == {transfer.COLUMNS}
    own, absent, _, other = rows
    assert (own["task"], own["our_dataset"], own["sigma"], own["found_on"]) == ("denoise", "bsd500", 30.0, "denoise")
    assert (own["psnr_db"], own["ssim_zero_padded"]) == (pytest.approx(29.0), pytest.approx(0.76))
    assert own["ssim_valid"] == pytest.approx(0.75) and own["low"] < 29.0 < own["high"]
    assert (own["profile"], own["images"], own["runs"], own["reason"]) == ("fast", 4, "seed 0", "")
    assert (absent["psnr_db"], absent["images"], absent["runs"], absent["reason"]) == ("", 0, "", "too slow")
    assert (other["sigma"], other["found_on"], other["psnr_db"]) == ("", "denoise", pytest.approx(26.2))
