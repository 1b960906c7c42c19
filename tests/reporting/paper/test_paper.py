import csv
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from small_study import (
    DEMO,
    GENOTYPE,
    IMAGES,
    PLAN,
    SCORES,
    WHOLE,
    WITH_CLEARER,
    WITH_TRIALS,
    read,
    shifted,
    without,
    write_cell,
    write_clearer,
    write_reason,
    write_study,
    write_trials,
)

from nasir.files import read_csv, write_csv, write_json, write_text
from nasir.reporting.paper import claims, printed_csv, protocol_matrix
from nasir.reporting.paper import page as whole_page
from nasir.reporting.paper.study import LEVEL, TASK_OF, TITLES, Method, Part, Plan, heading

TABLES = Path(__file__).parents[3] / "tables"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the unchanged study."""
    root = tmp_path_factory.mktemp("unchanged")
    write_study(root)
    return render(root)


def render(root: Path, plan: Plan = PLAN) -> str:
    return whole_page.render(read(root, plan))


def row(page: str, *starts: str) -> list[str]:
    """The cells of the one table row whose first cells are `starts`."""
    [line] = [line for line in page.splitlines() if line.startswith("| " + " | ".join(starts) + " |")]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def cell(rows: list[dict[str, object]], **wanted: object) -> dict[str, object]:
    [found] = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_a_row_shows_printed_ours_there_ours_whole_difference_and_verdict(page):
    shown = row(page, "50", "IR-NAS", "26.77 / 0.7635")

    assert shown[3] == "`overlap`"
    assert re.fullmatch(r"26\.75 \[2\d\.\d\d, 2\d\.\d\d\] / 0\.7600", shown[4])
    assert shown[5].startswith("**26.50** [")  # above BM3D and the input on every image
    assert shown[6:] == ["-0.02 / -0.0035", "reproduced"]


def test_two_different_verdicts_name_their_measures(page):
    # BM3D under `half`: 26.5 - 1.2 = 25.3 against 25.06 printed; SSIM 0.76 against 0.6831.
    assert row(page, "50", "BM3D")[6:] == ["+0.24 / +0.0769", "PSNR above by 0.24, SSIM above by 0.0769"]


def test_what_was_not_run_has_no_value_and_says_why(page):
    assert row(page, "50", "WNNM", "25.26 / 0.3460 [1]")[4:] == ["-", "-", "-", "printed value only [2]"]
    assert row(page, "IR-NAS", "26.31 / 0.8685")[-1] == "not run [1]"
    for remark in ("- [1] probably a slip.", "- [2] MATLAB code, not reimplemented.", "- [1] Rain800 is not run yet."):
        assert remark in page.splitlines()


def test_a_subset_is_marked_and_its_protocol_change_stands_in_a_remark(root):
    some = {name: value for name, value in shifted(-1.2).items() if name in "ab"}
    write_cell(root / "study", "bm3d", {"whole": shifted(-0.5), "half": some})

    page = render(root)

    shown = row(page, "50", "BM3D")
    assert shown[4].startswith("24.30 [") and shown[4].endswith("(2 images)")
    assert shown[6:] == ["-", "no verdict: 2 of 4 images [1]"]
    assert (
        "`half` was scored on 2 of 4 images; on the images of both `whole` - `half` is 0.70 dB (95 % interval 0.70 to"
        in page
    )


def test_a_subset_under_whole_is_marked_too_and_takes_nothing_from_the_verdict(root):
    some = {name: value for name, value in shifted(-0.5).items() if name in "ab"}
    write_cell(root / "study", "bm3d", {"whole": some, "half": shifted(-1.2)})

    page = render(root)

    shown = row(page, "50", "BM3D")
    assert shown[5].startswith("25.00 [") and shown[5].endswith("(2 images)")  # (25 + 26) / 2 - 0.5
    assert "(2 images)" not in shown[4] and "PSNR above by 0.24" in shown[7]  # 26.5 - 1.2 = 25.30, printed 25.06
    assert "`whole` was scored on 2 of 4 images; on the images of both `whole` - `half` is 0.70 dB" in page


def test_a_table_of_pairs_shows_luma_and_no_column_of_a_protocol_that_nobody_knows(root):
    write_trials(root)

    page = render(root, WITH_TRIALS)

    [table] = re.findall(r"^## Table 3: .*?\n(\|.*?)\n\n", page, flags=re.DOTALL | re.MULTILINE)
    columns, _, shown = (line.strip("| ").split(" | ") for line in table.splitlines())
    assert columns == ["method", "printed", "its protocol, inferred", "ours, `whole`", "ours, `whole+y`", "verdict"]
    assert shown[:3] == ["IR-NAS", "26.31 / 0.8685", "unknown"]
    assert shown[3].startswith("26.50 [") and shown[4].startswith("28.00 [")
    assert shown[5] == "no verdict: protocol unknown"


def test_a_table_of_two_tasks_names_the_data_set_of_every_row_and_of_every_contest(root):
    write_trials(root)

    page = render(root, WITH_TRIALS)

    assert row(page, "bsd500", "30", "IR-NAS", "29.14 / 0.7635")[-2:] == ["-0.04 / -0.0035", "reproduced"]
    assert row(page, "rain800", "", "IR-NAS, R1", "21.48 / 0.6754")[-1] == "no verdict: protocol unknown"
    # 29.0 against 28.8, 26.5 against 24.5, on every image.
    assert row(page, "bsd500", "30", "PSNR, dB")[3:6] == ["IR-NAS", "IR-NAS, R1", "+0.20 [0.20, 0.20]"]
    assert row(page, "rain800", "", "PSNR, dB")[3:6] == ["IR-NAS", "IR-NAS, R1", "+2.00 [2.00, 2.00]"]


def two_draws() -> Plan:
    """`WITH_TRIALS` with a second draw of R1 on rain."""
    rain = WITH_TRIALS.parts["derain"]
    methods = {**rain.methods, "irnas-r1": replace(rain.methods["irnas-r1"], draws=(0, 1))}
    return replace(WITH_TRIALS, parts={**WITH_TRIALS.parts, "derain": replace(rain, methods=methods)})


def test_several_draws_are_named_beneath_their_row(root):
    write_trials(root)
    write_cell(
        root / "study", "irnas-r1", {"whole": shifted(-1), "whole+y": shifted(0.5)}, task="derain", sigma=0, draw=1
    )

    page = render(root, two_draws())

    # Means of the draws 24.5 and 25.5: mean 25.0, standard deviation 1 / sqrt(2).
    assert row(page, "rain800", "", "IR-NAS, R1")[6].startswith("25.00 ± 0.71 [")
    assert "mean ± standard deviation of 2 runs: draw 0, seed 0; draw 1, seed 0." in page


def test_a_single_draw_that_ran_has_no_standard_deviation(root):
    write_trials(root)
    write_reason(root / "study", "irnas-r1", "out of memory", task="derain", sigma=0, draw=1)

    page = render(root, two_draws())

    assert row(page, "rain800", "", "IR-NAS, R1")[6].startswith("24.50 [")
    assert "draw 1, seed 0: out of memory." in page and "standard deviation of" not in page


def test_the_best_is_not_bold_where_its_interval_does_not_exclude_zero(root):
    write_cell(root / "study", "bm3d", {"whole": shifted(-0.1, spread=0.5), "half": shifted(-1.2)})

    page = render(root)

    assert "**26.50**" not in page
    # Differences -0.4, -0.4, 0.6, 0.6: one bootstrap draw in sixteen is the first throughout.
    assert row(page, "50", "PSNR, dB")[2:5] == ["IR-NAS", "BM3D", "+0.10 [-0.40, 0.60]"]
    assert row(page, "50", "PSNR, dB")[-1] == "cannot be told"


def test_a_network_in_two_rows_competes_once_and_is_bold_in_both(root):
    write_clearer(root)

    page = render(root, WITH_CLEARER)

    # Under `whole` 27.0 of CLEARER, 26.5 of IR-NAS, 26.0 of BM3D, on every image.
    image, patches = (
        row(page, "50", *names) for names in (("CLEARER", "26.40 / 0.7600"), ("CLEARER-P", "27.49 / 0.7768 [2]"))
    )
    assert image[5].startswith("**27.00** [") and patches[5].startswith("**27.00** [")
    assert image[4].startswith("26.38 [") and patches[4].startswith("27.45 [")
    assert "- [2] of the same network." in page.splitlines()
    table = page.partition("## CLEARER's Table 1: ")[2]
    assert "**CLEARER's Table 1, the best of ours under `whole`. " in table
    assert row(table, "50", "PSNR, dB")[2:5] == ["CLEARER", "IR-NAS", "+0.50 [0.50, 0.50]"]


def test_the_page_names_the_papers_that_printed_values_are_from(page):
    assert (
        "Printed: IR-NAS (Zhang et al., arXiv:1909.08228v1), CLEARER (Gou et al., NeurIPS 2020). Ours: profile" in page
    )
    assert page.startswith("# The papers' tables, beside what this run measured\n")


def test_printed_values_are_never_bold(root):
    write_cell(root / "study", "irnas", {protocol: shifted(-9) for protocol in SCORES["irnas"]})

    assert not re.search(r"\*\*(25\.06|26\.77|26\.50) ?/", render(root))


def test_every_caption_of_a_demo_calls_it_a_demo(root):
    page = render(root, DEMO)

    captions = [line for line in page.splitlines() if line.startswith(("**", "> **"))]
    assert (
        len(captions) == 2 + len(TITLES) + 1 + 2 + 3 + 1
    )  # top, counts, tables, one contest, T and P, three of C, figure
    for caption in captions:
        assert "DEMO (shipped sample images, minutes of training): shows that the pipeline works, no result." in caption
    assert row(page, "50", "IR-NAS", "26.77 / 0.7635")[-1] == "no verdict: other images"


def test_only_a_demo_is_called_a_demo(page):
    assert "DEMO" not in page


def test_several_seeds_show_their_standard_deviation(root):
    for method, scores in SCORES.items():
        higher = {protocol: {name: v + 0.2 for name, v in values.items()} for protocol, values in scores.items()}
        write_cell(root / "study", method, higher, seed=1)

    page = render(root, replace(PLAN, seeds=(0, 1)))

    # Seeds' means 26.75 and 26.95: mean 26.85, standard deviation 0.2 / sqrt(2) = 0.14.
    assert row(page, "50", "IR-NAS", "26.77 / 0.7635")[4].startswith("26.85 ± 0.14 [")
    assert "± standard deviation over 2 seeds" in page


def test_verdicts_are_counted_by_table(page):
    # Of 4 printed rows of table 1: IR-NAS reproduced, BM3D above by 0.24, WNNM and N3Net printed only.
    assert row(page, f"Table 1: {TITLES['1']}")[1:] == ["4", "1", "0", "1", "0", "0", "2"]
    assert row(page, f"Table 3: {TITLES['3']}")[1:] == ["1", "0", "0", "0", "0", "1", "0"]
    assert row(page, f"CLEARER's Table 1: {TITLES['clearer-1']}")[1] == "0"


def test_settings_chosen_on_v_are_told(root):
    path = root / "study" / "scored" / "denoise-bm3d-0" / "bm3d-50-seed0" / "cell.json"
    write_json(path, json.loads(path.read_text()) | {"settings": {"weight": 0.19}})

    assert "- Settings of BM3D: weight 0.19 at 50." in render(root).splitlines()


def test_asterisks_in_a_row_stay_asterisks(root):
    for name in ("published.csv", "rows.csv"):
        write_text(root / name, (root / name).read_text().replace("BM3D", "B* (x)"))

    assert row(render(root), "50", r"B\* (x)")


def test_the_csv_file_has_every_line_under_every_measure(root, tmp_path):
    rows = whole_page.csv_rows(read(root))
    write_csv(tmp_path / "cells.csv", rows, printed_csv.COLUMNS)

    assert len(rows) == 3 * 6
    ours = cell(rows, table="1", row="IR-NAS", measure="psnr")
    assert ours["printed"] == 26.77 and ours["verdict"] == "reproduced" and ours["protocol_inferred"] == "overlap"
    assert ours["ours_inferred"] == pytest.approx(26.75) and ours["ours_whole"] == pytest.approx(26.5)
    assert ours["low"] < 26.75 < ours["high"] and ours["whole_low"] < 26.5 < ours["whole_high"]
    assert ours["difference"] == pytest.approx(-0.02) and ours["whole_minus_inferred"] == pytest.approx(-0.25)
    assert (ours["images"], ours["runs"], ours["profile"], ours["our_dataset"]) == (4, "seed 0", "fast", "bsd500")
    assert cell(rows, table="1", row="IR-NAS", measure="ssim_valid")["ours_whole"] == pytest.approx(0.75)
    assert printed_csv.COLUMNS[-1] == "genotypes" and ours["genotypes"] == GENOTYPE
    assert cell(rows, table="1", row="BM3D", measure="psnr")["genotypes"] == ""
    unrun = cell(rows, table="1", row="WNNM", measure="ssim")
    assert (unrun["printed"], unrun["ours_whole"], unrun["verdict"]) == (0.346, "", "printed value only")
    with (tmp_path / "cells.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 18


def test_the_protocol_matrix_shows_the_paired_change_against_whole(page):
    assert row(page, "`whole`")[2] == ""
    assert row(page, "`overlap`")[2] == "+0.25 [0.25, 0.25]"
    assert row(page, "`overlap-shared`")[2] == "-0.05 [-0.25, 0.15]"  # -0.05 + 0.2 twice, -0.05 - 0.2 twice
    assert row(page, "`patch-mean`")[2] == "+1.00 [1.00, 1.00]"
    assert "mean over its patches in dB, not the PSNR of the joined image" in page


def test_the_protocol_matrix_has_the_images_of_all_of_its_protocols(root):
    some = {name: value for name, value in shifted(1).items() if name in "abc"}
    write_cell(root / "study", "irnas", {**SCORES["irnas"], "patch-mean": some})

    page = render(root)

    # a, b and c: (25 + 26 + 27) / 3, a dB more of `patch-mean`; the printed tables keep all four.
    assert row(page, "`whole`")[1].startswith("26.00 [") and row(page, "`whole`")[5] == "3"
    assert row(page, "`patch-mean`")[2] == "+1.00 [1.00, 1.00]"
    assert row(page, "50", "IR-NAS", "26.77 / 0.7635")[5].startswith("**26.50** [")


def test_the_matrix_credits_the_repeated_draws_only_where_the_images_show_it(root):
    clear = render(root)
    write_cell(root / "study", "irnas", {**SCORES["irnas"], "overlap": shifted(-0.02, spread=0.2)})
    unclear = render(root)
    write_cell(root / "study", "irnas", {**SCORES["irnas"], "overlap-shared": shifted(0.1)})
    partly = render(root)

    assert "`overlap` is above `whole`: difference 0.25 dB" in clear
    assert "one noise field, cannot be told apart from `whole`: difference -0.05 dB" in clear
    assert "That much is due to the repeated draws of the noise. Averaging" in clear
    # 0.03 dB on every image: clear, though neither is clear against `whole`.
    assert "`overlap` cannot be told apart from `whole`" in unclear
    assert "repeated draws of the noise, the rest to averaging patches." in partly
    write_cell(root / "study", "irnas", {**SCORES["irnas"], "overlap": shifted(-0.3)})
    assert "do not show that repeated draws of the noise raise the score." in render(root)


def test_the_matrix_says_what_clearers_protocols_leave_out(root):
    write_clearer(root)

    page = render(root, WITH_CLEARER)

    assert row(page, "`clearer`")[2] == "+0.10 [0.10, 0.10]"
    assert row(page, "`clearer-patches`")[2] == "+1.10 [1.10, 1.10]"
    assert "- `clearer-patches`: an image's PSNR is the mean over its patches in dB" in page
    assert "- `clearer`, `clearer-patches`: the middle of each image alone" in page


def test_a_network_that_was_not_run_has_no_matrix(root):
    plan = without(irnas="not trained here")

    page = render(root, plan)

    assert "Not run: not trained here." in page and "\n| `overlap` |" not in page
    assert protocol_matrix.csv_rows(read(root, plan)) == []


def test_a_protocol_that_was_not_scored_says_so(root):
    page = render(root, replace(PLAN, protocols=("whole", "adjacent")))

    assert row(page, "`adjacent`")[1:6] == ["not run", "", "", "", "0"]


def test_the_matrix_as_rows(root):
    rows = protocol_matrix.csv_rows(read(root))

    assert len(rows) == 4 * 3 and tuple(rows[0]) == protocol_matrix.COLUMNS
    overlap = cell(rows, protocol="overlap", measure="psnr_db")
    assert (overlap["mean"], overlap["change"]) == (pytest.approx(26.75), pytest.approx(0.25))
    assert cell(rows, protocol="whole", measure="psnr_db")["change"] == ""


def test_claims_stand_beside_what_was_measured(page):
    assert row(page, "search on one GPU")[1:4] == [
        "6 h", "2.000 h", "7,200.0 s, 2,000 steps on CPU; the GPU is not named",
    ]  # fmt: skip
    assert row(page, "peak memory")[1:3] == ["-", "902 MiB"]
    assert row(page, "shared against unshared")[1:4] == [
        "0.333 times", "0.500 times", "300 of 600 MiB, one step, batch 4",
    ]  # fmt: skip
    assert row(page, "speed against FALSR")[1:4] == [
        "96 times", "-", "printed value only: FALSR is not reimplemented",
    ]  # fmt: skip
    assert row(page, "IR-NAS", "0.63")[2:] == ["1,048,576", "1.049", "1.000", "-"]  # 2^20
    assert row(page, "N3Net", "0.68")[2] == "printed value only"
    assert row(page, "IR-NAS", "83.25 (GTX 980)")[2:] == ["1.00", "0.500", "1.00"]
    assert row(page, "N3Net", "121.11 (GTX 980)")[2:] == ["1.45", "printed value only", "-"]  # 121.11 / 83.25
    assert row(page, "BM3D", "-", "-")[3:] == ["2.000", "4.00"]


def test_a_search_that_was_carried_on_has_no_time(root):
    path = root / "study" / "claims" / "denoise.json"
    measured = json.loads(path.read_text())
    measured["search"]["is_resumed"] = True
    write_json(path, measured | {"memory": None, "inference": None})

    page = render(root)

    assert row(page, "search on one GPU")[2] == "-"
    assert "carried on from a checkpoint, so its whole time was not measured" in page
    assert row(page, "shared against unshared")[2:4] == ["-", "not run"]
    assert row(page, "IR-NAS", "83.25 (GTX 980)")[3:] == ["not run", "-"]


def test_the_time_of_clearers_search_is_that_of_its_receipt(root):
    path = root / "study" / "receipts" / "denoise-profile-clearer.json"
    text = (root / "claims.csv").read_text()
    write_text(root / "claims.csv", text + "clearer_search_time,search of CLEARER,2,h,abstract,,\n")
    before = row(render(root), "search of CLEARER")
    write_json(path, {"seconds": 1800.0, "device": "CPU", "is_resumed": False})
    measured = row(render(root), "search of CLEARER")
    [claimed] = [line for line in claims.csv_rows(read(root)) if line["claim"] == "clearer_search_time"]
    write_json(path, {"seconds": 1800.0, "device": "CPU", "is_resumed": True})

    assert before[1:4] == ["2 h", "-", "not run"]
    assert measured[1:4] == ["2 h", "0.500 h", "1,800.0 s, on CPU"]
    assert (claimed["subject"], claimed["ours"]) == ("clearer", pytest.approx(0.5))
    assert row(render(root), "search of CLEARER")[2:4] == [
        "-", "on CPU: carried on from a checkpoint, so its whole time was not measured",
    ]  # fmt: skip


def test_the_speed_against_rescan_is_that_of_deraining_and_of_one_run(root):
    assert row(render(root), "speed against RESCAN")[2:4] == ["-", "not run"]  # no de-raining network in this plan
    write_trials(root)

    shown = row(render(root, WITH_TRIALS), "speed against RESCAN")
    [claimed] = [line for line in claims.csv_rows(read(root, WITH_TRIALS)) if line["claim"] == "time_rescan"]

    assert shown[1:3] == ["2.03 times", "2.500 times"]  # 1.0 / 0.4
    assert shown[3].startswith("1.000 s against 0.400 s for one image of 512x384, CPU, 2 threads; ")
    assert claimed["ours"] == pytest.approx(2.5)


def test_the_claims_as_rows(root):
    rows = claims.csv_rows(read(root))

    assert tuple(rows[0]) == claims.COLUMNS
    assert cell(rows, claim="search_time")["ours"] == pytest.approx(2.0)
    assert cell(rows, claim="parameters", subject="N3Net")["ours"] == ""
    assert cell(rows, claim="inference, one image", subject="BM3D")["ours"] == 2.0


@pytest.mark.parametrize("plan", [PLAN, WITH_TRIALS, WITH_CLEARER], ids=["one task", "two tasks", "two papers"])
def test_the_page_is_plain_markdown(root, plan):
    if plan is WITH_TRIALS:
        write_trials(root)
    if plan is WITH_CLEARER:
        write_clearer(root)

    page = render(root, plan)

    assert not re.search(r"<[a-zA-Z/]", page) and not re.search(r"\b(nan|inf|None)\b", page)
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_the_same_study_gives_the_same_page(page, root):
    assert render(root) == page


def test_the_shipped_tables_fit_together(tmp_path):
    used = {
        (TASK_OF[value["dataset"]], line["method"])
        for value, line in product(read_csv(TABLES / "published.csv"), read_csv(TABLES / "rows.csv"))
        if line["table"] == value["table"] and line["method"]
    }
    parts = {
        task: Part(
            dataset=dataset,
            methods={
                name: Method(reason="not run here", sigmas=(LEVEL.get(task, 50.0),)) for of, name in used if of == task
            },
        )
        for dataset, task in TASK_OF.items()
    }
    runs = {**parts["denoise"].methods, "irnas": Method(reason=None, sigmas=(50.0,))}
    plan = replace(PLAN, parts={**parts, "denoise": replace(parts["denoise"], methods=runs)})
    write_cell(tmp_path, "irnas", {"whole": WHOLE})
    write_json(tmp_path / "claims" / "denoise.json", {})

    page = whole_page.render(whole_page.read(tmp_path, TABLES / "published.csv", TABLES / "rows.csv", plan))

    assert row(page, f"Table 1: {TITLES['1']}")[1] == "21"
    assert row(page, f"CLEARER's Table 1: {TITLES['clearer-1']}")[1] == "27"
    for name in TITLES:
        assert f"## {heading(name)}: " in page
    assert row(page, "search on one GPU")[1:4] == ["6 h", "-", "not run; the GPU is not named"]
    assert len(IMAGES) == 4 and "4 test images" in page
