from dataclasses import replace
from pathlib import Path

import pytest
from small_study import (
    DEMO,
    PLAN,
    WITH_CLEARER,
    WITH_TRIALS,
    methods,
    read,
    shifted,
    without,
    write_cell,
    write_clearer,
    write_reason,
    write_study,
    write_trials,
)

from nasir.reporting.paper.study import Method, Part
from nasir.reporting.paper.verdicts import Line, judge, lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(tmp_path)
    return tmp_path


def find(root: Path, row: str, plan=PLAN, table: str = "1") -> Line:
    [line] = [line for line in lines(read(root, plan), table) if line.row.label == row]
    return line


@pytest.mark.parametrize(
    ("printed", "ours", "measure", "verdict"),
    [
        (26.77, 26.67, "psnr_db", "reproduced"),  # exactly 0.1 dB below, in floats a little more
        (26.77, 26.87, "psnr_db", "reproduced"),
        (26.77, 26.35, "psnr_db", "short by 0.42"),
        (26.77, 26.92, "psnr_db", "above by 0.15"),
        (0.7635, 0.7585, "ssim_zero_padded", "reproduced"),
        (0.7635, 0.7584, "ssim_zero_padded", "short by 0.0051"),
        (0.7635, 0.7735, "ssim_zero_padded", "above by 0.0100"),
    ],
)
def test_a_difference_above_the_tolerance_is_named_with_its_size(printed, ours, measure, verdict):
    assert judge(printed, ours, measure) == verdict


def test_ours_is_held_against_the_printed_value_under_its_protocol(root):
    line = find(root, "IR-NAS")

    # Printed 26.77 under `overlap`; ours 26.5 + 0.25 = 26.75 there and 26.5 under `whole`. SSIM 0.76 against 0.7635.
    assert line.there["psnr_db"].mean == pytest.approx(26.75)
    assert line.whole["psnr_db"].mean == pytest.approx(26.5)
    assert line.difference == pytest.approx({"psnr_db": -0.02, "ssim_zero_padded": -0.0035})
    assert line.verdict["psnr_db"] == line.verdict["ssim_zero_padded"] == "reproduced"
    assert line.verdict["ssim_valid"] == "no verdict: other definition"
    assert line.protocol_change["psnr_db"].difference.mean == pytest.approx(-0.25)  # `whole` minus `overlap`


def test_on_other_images_there_is_no_verdict_and_no_difference(root):
    line = find(root, "IR-NAS", DEMO)

    assert line.verdict["psnr_db"] == "no verdict: other images"
    assert line.there["psnr_db"].mean == pytest.approx(26.75)
    assert line.difference == {}


def test_on_some_of_the_images_there_is_no_verdict_but_the_paired_change_of_the_protocol(root):
    some = {name: value for name, value in shifted(-1.2).items() if name in "ab"}
    write_cell(root / "study", "bm3d", {"whole": shifted(-0.5), "half": some})

    line = find(root, "BM3D")

    # Under `half` a and b only: (23.8 + 24.8) / 2 = 24.3; under `whole` they are 0.7 dB higher, all four 26.0.
    assert line.verdict["psnr_db"] == "no verdict: 2 of 4 images" and line.difference == {}
    assert line.there["psnr_db"].mean == pytest.approx(24.3)
    assert line.whole["psnr_db"].mean == pytest.approx(26.0)
    assert line.protocol_change["psnr_db"].images == 2
    assert line.protocol_change["psnr_db"].difference.mean == pytest.approx(0.7)


def test_a_protocol_that_was_not_scored_gives_no_verdict(root):
    write_cell(root / "study", "bm3d", {"whole": shifted(-0.5)})

    line = find(root, "BM3D")

    assert line.verdict["psnr_db"] == "no verdict: `half` not scored"
    assert line.there == {} and line.whole["psnr_db"].mean == pytest.approx(26.0)


def test_a_row_that_is_never_run_differs_from_one_that_was_not_run(root):
    never, later = find(root, "WNNM"), find(root, "IR-NAS", table="3")

    assert (never.verdict["psnr_db"], never.reason) == ("printed value only", "MATLAB code, not reimplemented")
    assert (later.verdict["psnr_db"], later.reason) == ("not run", "Rain800 is not run yet")
    assert never.whole == later.whole == {}


def test_a_method_that_the_profile_leaves_out_or_that_could_not_run_says_why(root):
    write_reason(root / "study", "bm3d", "the package bm3d is not installed")

    missing = find(root, "BM3D")
    slow = find(root, "noisy input", without(noisy="too slow for this profile"))

    assert (missing.verdict["psnr_db"], missing.reason) == ("not run", "the package bm3d is not installed")
    assert (slow.verdict["psnr_db"], slow.reason) == ("not run", "too slow for this profile")


def test_a_printed_noise_level_that_the_plan_leaves_out_is_not_run(root):
    with (root / "published.csv").open("a") as file:
        file.write("1,IR-NAS,bsd500,70,25.48,0.7129,,,,overlap,IR-NAS Table 1,\n")

    [line] = [line for line in lines(read(root), "1") if line.row.label == "IR-NAS" and line.sigma == 70]

    assert (line.verdict["psnr_db"], line.reason) == ("not run", "this profile runs sigma 50 only")


def test_a_noise_level_without_printed_values_is_shown_all_the_same(root):
    both = {name: Method(reason=None, sigmas=(50.0, 25.0)) for name in methods()}
    plan = replace(PLAN, sigmas=(50.0, 25.0), parts={**PLAN.parts, "denoise": Part(dataset="bsd500", methods=both)})
    for method in both:
        write_cell(root / "study", method, {"whole": shifted(2)}, sigma=25)

    found = {line.row.label: line for line in lines(read(root, plan), "1") if line.sigma == 25}

    assert list(found) == ["noisy input", "BM3D", "IR-NAS"]  # no WNNM: neither printed nor ours
    assert found["IR-NAS"].verdict["psnr_db"] == "no printed value"
    assert found["IR-NAS"].whole["psnr_db"].mean == pytest.approx(28.5)


@pytest.fixture
def with_rain(root: Path) -> Path:
    write_trials(root)
    return root


def test_a_printed_value_of_unknown_protocol_gets_no_verdict_though_ours_is_there(with_rain):
    line = find(with_rain, "IR-NAS", WITH_TRIALS, table="3")

    assert (line.task, line.dataset, line.sigma) == ("derain", "rain800", None)
    assert line.verdict["psnr_db"] == line.verdict["ssim_zero_padded"] == "no verdict: protocol unknown"
    assert line.there == {} and line.difference == {}
    assert line.whole["psnr_db"].mean == pytest.approx(26.5)
    assert line.luma["psnr_db"].mean == pytest.approx(28.0)  # 1.5 dB above


def test_a_table_of_two_tasks_takes_each_tasks_own_result(with_rain):
    content = lines(read(with_rain, WITH_TRIALS), "4")

    # At sigma 30 the trials alone run with the found network: no lines at 50, where it runs without them.
    found = {(line.row.label, line.task, line.sigma): line for line in content}
    assert list(found) == [
        ("IR-NAS", "denoise", 30.0),
        ("IR-NAS, R1", "denoise", 30.0),
        ("IR-NAS", "derain", None),
        ("IR-NAS, R1", "derain", None),
    ]
    assert [line.whole["psnr_db"].mean for line in content] == pytest.approx([29.0, 28.8, 26.5, 24.5])
    # Under `overlap` 29.1 of 29.14 printed and 28.9 of 29.06.
    assert [line.verdict["psnr_db"] for line in content] == ["reproduced", "short by 0.16"] + [
        "no verdict: protocol unknown"
    ] * 2


def test_a_table_shows_only_noise_levels_at_which_all_of_its_methods_run(with_rain):
    # Of table 1 the found network runs at 30, too, the input and BM3D do not.
    assert {line.sigma for line in lines(read(with_rain, WITH_TRIALS), "1")} == {50.0}


def test_one_network_fills_two_rows_each_under_its_own_protocol(root):
    write_clearer(root)

    image, patches = (find(root, row, WITH_CLEARER, "clearer-1") for row in ("CLEARER", "CLEARER-P"))

    # 26.5 - 0.12 = 26.38 of 26.40 printed; 26.5 + 0.95 = 27.45 of 27.49; SSIM 0.76 of 0.7600 and 0.7768.
    assert image.there["psnr_db"].mean == pytest.approx(26.38)
    assert patches.there["psnr_db"].mean == pytest.approx(27.45)
    assert (image.verdict["psnr_db"], image.verdict["ssim_zero_padded"]) == ("reproduced", "reproduced")
    assert (patches.verdict["psnr_db"], patches.verdict["ssim_zero_padded"]) == ("reproduced", "short by 0.0168")
    assert image.whole == patches.whole
