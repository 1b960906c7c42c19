import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from finished_run import NAMES, PARAMS, render, write_checks, write_curves, write_image_scores, write_run
from picture_folder import list_pictures
from PIL import Image

from nasir.files import read_csv, read_json, sha256_file, write_csv, write_json, write_text
from nasir.reporting.html import library


@pytest.fixture(scope="module", autouse=True)
def _without_a_bundle():
    """Bundling the library of charts takes seconds, and no test here looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "script", lambda: "")
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original") / "runs"
    write_run(root)
    return root


@pytest.fixture
def runs(original: Path, tmp_path: Path) -> Path:
    """A copy of the results that a test may change."""
    return shutil.copytree(original, tmp_path / "runs")


@pytest.fixture(scope="module")
def out(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the unchanged results."""
    folder = tmp_path_factory.mktemp("rendered") / "reports"
    render(original, folder)
    return folder


@pytest.fixture
def page(out: Path) -> str:
    return (out / "report.md").read_text()


def row(page: str, *starts: str) -> list[str]:
    """The cells of the one table row whose first cells are `starts`."""
    [line] = [line for line in page.splitlines() if line.startswith("| " + " | ".join(starts) + " |")]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_page_says_first_which_profile_made_it(page):
    lines = page.splitlines()

    assert lines[0] == "# `demo` run: denoise, data set `sample`, sigma 50"
    assert "Made by profile `demo`" in lines[2] and "seed 0" in lines[2]
    assert "not a reproduction of the result of IR-NAS" in lines[4] and "`demo` run" in lines[4]


COLLAPSE = (
    "The search has collapsed: 100% of the found network's operations compute nothing; try search.strategy one_shot."
)


def test_a_collapse_stands_in_bold_at_the_top(page, runs, tmp_path):
    facts = read_json(runs / "search/search.json")
    write_json(runs / "search/search.json", facts | {"idle_share": 1.0, "collapse": COLLAPSE})
    told = render(runs, tmp_path / "collapsed")
    write_json(runs / "search/search.json", facts | {"idle_share": 0.25, "collapse": ""})
    untold = render(runs, tmp_path / "sound")

    top, _, _ = told.partition("## ")
    assert f"\n\n**{COLLAPSE}**\n\n" in top
    assert "Mean PSNR" in top.partition(COLLAPSE)[2]  # before any number
    for other in (page, untold):
        assert "collapse" not in other


def test_simulated_blur_is_marked_as_synthetic_at_the_top_and_that_of_a_data_set_is_not(runs, tmp_path):
    names, params = [name for part in NAMES.values() for name in part], replace(PARAMS, task="deblur")
    list_pictures(runs / "pictures", names, degraded="blurred")
    simulated = render(runs, tmp_path / "simulated", params)
    list_pictures(runs / "pictures", names, degraded="files")
    of_a_data_set = render(runs, tmp_path / "files", params)

    top, _, _ = simulated.partition("## ")
    assert "**The blur is SYNTHETIC; none was measured.**" in top.partition("Mean PSNR")[0]  # before any number
    assert "the blurred input 14.90 dB" in top
    assert "SYNTHETIC" not in of_a_data_set


def test_a_one_shot_search_says_where_training_ends_and_has_no_figure_of_choices(page, runs, tmp_path):
    facts = read_json(runs / "search/search.json")
    write_json(runs / "search/search.json", facts | {"strategy": "one_shot", "steps": 1100})
    write_curves(
        runs / "search/history.csv",
        {"train_loss": {step: 0.1 for step in range(1, 1101)}, "psnr_db": {1100: 20.0, 1101: 21.0, 1102: 22.0}},
    )
    of_one_shot = render(runs, tmp_path / "reports")

    sentence = "Up to step 1,100 the shared weights are trained, and a few random paths scored; each step behind is a candidate"
    assert sentence in of_one_shot and sentence not in page
    assert "figures/choices.png" in page and "figures/choices.png" not in of_one_shot
    assert not (tmp_path / "reports/figures/choices.png").exists()
    assert (tmp_path / "reports/figures/search.png").is_file()


def test_a_search_by_rewards_has_a_figure_of_them(page, runs, tmp_path):
    curves = {"reward": {n: n / 10 for n in range(3, 20)}, "entropy": {n: 9 - n / 10 for n in range(3, 20)}}
    write_curves(runs / "search/history.csv", curves | {"psnr_db": {n: 22.0 for n in range(1, 20)}})
    of_rl = render(runs, tmp_path / "reports")
    assert "figures/rewards.png" in of_rl and "figures/rewards.png" not in page
    with Image.open(tmp_path / "reports/figures/rewards.png") as picture:
        assert picture.width > 500
    assert "Share: of candidates" not in of_rl and "figures/candidates.png" not in of_rl


def test_a_search_by_rewards_shows_who_ended_early_and_draws_its_best_candidates(runs, tmp_path):
    numbers = range(1, 20)
    curves = {"reward": {n: n / 10 for n in numbers}, "stopped": {n: float(n % 4 == 0) for n in numbers if n > 3}}
    write_curves(runs / "search/history.csv", curves | {"psnr_db": {n: 22.0 for n in numbers}})
    facts = read_json(runs / "search/search.json")
    write_json(runs / "search/search.json", facts | {"strategy": "rl"})
    genotype = read_json(runs / "derive/genotype.json")
    tried = [
        {"genotype": genotype, "tokens": [n], "parameters": 1234, "reward": n / 10, "psnr_db": 22.0 + n}
        for n in numbers
    ]
    failed = {"genotype": genotype, "tokens": [0], "parameters": 9, "reward": 0.0, "failure": "the loss must be finite"}
    write_json(runs / "search/candidates.json", [*tried, failed])
    page = render(runs, tmp_path / "reports")

    assert "Share: of candidates" in page and "![the best candidates, drawn](figures/candidates.png)" in page
    with (
        Image.open(tmp_path / "reports/figures/candidates.png") as three,
        Image.open(runs / "derive/architecture.png") as one,
    ):
        assert three.height > 3 * one.height and three.width > one.width

    del tried[4]["psnr_db"]
    write_json(runs / "search/candidates.json", tried)
    with pytest.raises(ValueError, match=r"candidates\.json must have psnr_db or failure, got .*run search again"):
        render(runs, tmp_path / "again")


def test_the_receipt_has_the_precision_behind_the_device(page, runs, tmp_path):
    path = runs / "receipts/search.json"
    write_json(path, read_json(path) | {"precision": "bf16-mixed"})

    assert row(render(runs, tmp_path / "reports"), "search")[-1] == "cpu, bf16-mixed"
    assert row(page, "search")[-1] == "cpu"


def test_the_paper_profile_is_not_called_a_demo(runs, tmp_path):
    page = render(runs, tmp_path / "reports", replace(PARAMS, profile="paper", dataset="bsd500"))

    assert "not a reproduction" not in page and "`demo` run" not in page


def test_every_link_inside_the_report_leads_to_a_file(page, out):
    targets = re.findall(r"\]\(([^)]+)\)", page)

    inside = [target for target in targets if not target.startswith(("#", "../"))]
    assert len(inside) == 8  # four figures, the drawing as SVG, three strips of pictures
    for target in inside:
        assert (out / target).is_file(), target
    assert [target for target in targets if target not in inside] == ["../DATASETS.md"]


def test_every_png_is_small_and_opens(out):
    for path in sorted((out / "figures").glob("*.png")):
        assert path.stat().st_size < 300_000, path
        with Image.open(path) as image:
            image.verify()


def test_the_score_table_has_every_method_under_every_protocol(page):
    noisy = "noisy input, clipped to [0, 1]"
    # Two images 1 dB below and above the mean: the bootstrap draws one of them alone every second time.
    assert row(page, "`whole`", noisy)[2:] == ["14.90", "[13.90, 15.90]", "0.6124", "0.6181", "0.012"]
    assert row(page, "`overlap`", noisy)[2:] == ["15.40", "[14.40, 16.40]", "0.7000", "0.7100", "0.500"]
    assert row(page, "`whole`", "total variation, weight 0.21")[2] == "23.80"
    assert row(page, "`whole`", "non-local means, h 0.175")[2] == "23.10"
    ours = row(page, "`whole`", "found network (this run)")
    assert ours[2:] == ["**24.57**", "[23.57, 25.57]", "0.6124", "0.6181", "0.012"]
    assert "54,321 parameters" in page and "108,000 floating-point operations per pixel" in page


def test_a_value_is_bold_only_where_every_paired_interval_excludes_zero(page, runs, tmp_path):
    # Against total variation, 0.767 dB below: 0.767 on both images; then -0.633 and 2.167.
    means = {"noisy": 14.901, "tv": 23.8, "nlm": 23.1, "nasir": 24.567}
    write_image_scores(runs, means, ours=(-2.4, 2.4))
    unclear = render(runs, tmp_path / "reports")

    assert (
        "- `whole`: the found network is above the best of the others (total variation, weight 0.21): difference 0.77 dB "
        "(95 % interval 0.77 to 0.77, Wilcoxon p 0.500, 2 images)." in page
    )
    assert row(unclear, "`whole`", "found network (this run)")[2] == "24.57"
    assert (
        "- `whole`: the found network cannot be told apart from the best of the others (total variation, weight 0.21): "
        "difference 0.77 dB (95 % interval -0.63 to 2.17, Wilcoxon p 1.000, 2 images)." in unclear
    )


def test_a_network_that_loses_is_not_bold(runs, tmp_path):
    write_image_scores(runs, {"noisy": 14.901, "tv": 23.8, "nlm": 23.1, "nasir": 23.0})

    page = render(runs, tmp_path / "reports")

    assert "is below the best of the others (total variation, weight 0.21): difference -0.80 dB" in page
    assert row(page, "`whole`", "total variation, weight 0.21")[2] == "**23.80**"
    assert "**" not in row(page, "`whole`", "found network (this run)")[2]


def test_the_summary_compares_with_the_input_and_the_best_classical_denoiser(page):
    assert (
        "Mean PSNR over 2 test images under protocol `whole`: the found network 24.57 dB, the noisy input 14.90 "
        "dB, the best classical denoiser (total variation, weight 0.21) 23.80 dB." in page
    )


def test_protocols_and_measures_are_defined(page):
    assert "- `whole`: one noise field per image" in page
    assert "- `overlap`: 64x64 patches at stride 48" in page
    assert "no border cut off" in page and "zeros outside the image" in page
    assert "- `half`" not in page  # neither scored nor published for this data set


def test_published_rows_are_those_of_table_1_for_this_data_set_and_sigma(runs, tmp_path):
    page = render(runs, tmp_path / "reports", replace(PARAMS, dataset="bsd500"))

    assert row(page, "`half`", "BM3D") == ["`half`", "BM3D", "25.06", "0.6831", "", "IR-NAS Table 1", ""]
    assert row(page, "`overlap`", "IR-NAS")[2:] == ["26.77", "0.7635", "0.63", "IR-NAS Table 1", "a note"]
    assert "27.31" not in page and "IR-NAS*" not in page and "26.31" not in page
    assert "- `half`: as whole, on images first reduced to half their size" in page


def test_a_page_without_published_values_says_so(page, runs, tmp_path):
    between = render(runs, tmp_path / "between", replace(PARAMS, dataset="bsd500", sigma=40.0))

    assert "There are no published values for data set `sample` at sigma 50." in page
    assert "no published values for data set `bsd500` at sigma 40 (there are some for sigma 30, 50)." in between


def test_the_data_card_counts_images_and_bytes(page, original):
    size = sum(path.stat().st_size for part in ("train", "test") for path in (original / "pictures" / part).iterdir())
    assert f"Data set `sample`: 7 files of mode L, {size / 1e6:.2f} MB." in page
    assert row(page, "test")[1:3] == ["2", "96x80"]
    assert row(page, "W")[1] == "2" and row(page, "V")[1] == "1"
    # (49.5 + 50.25) / 2 = 49.875 and (14.5 + 15) / 2 = 14.75; the training images (9) do not count.
    assert "asked sigma 50, measured 49.88 on average (49.50 to 50.25, 8-bit grey levels)" in page
    assert "has 14.75 dB" in page


def test_search_and_training_facts_are_on_the_page(page):
    assert row(page, "best step") == ["best step", "75"]
    assert row(page, "parameters") == ["parameters", "123,456"]
    assert row(page, "width factors") == ["width factors", "1, 2, 4"]
    assert "2 cells of 2 nodes, a global residual" in page
    assert "retrained with W = 12, which gives cells of 24, 48 channels" in page
    assert (
        "200 steps on W and A; highest PSNR on V 24.99 dB at step 150, after the last step 24.50 dB with SSIM 0.6432"
        in page
    )


def test_the_audit_says_what_it_found_and_what_of_the_planted_leaks(page):
    assert "Leak audit over 1,234 images: 2 pairs of images in different lists show one picture." in page
    assert "Of 8 leaks planted among the training images it found 7 (copy 4 of 4, quarter 3 of 4), with 1 false" in page
    assert "recall 0.875, precision 0.875." in page


def test_passed_checks_are_counted(page):
    assert row(page, "split", "passed") == ["split", "passed", "1", "0"]
    assert "Checks failed" not in page and "Failed expectations" not in page


def test_a_failed_check_is_shown_as_failed_at_the_top_and_with_its_rows(runs, tmp_path):
    unexpected = [f"test/{number}" for number in range(8)]
    failure = {"expectation": "is_between", "column": "psnr_db", "success": False, "observed": "a|b"}
    write_checks(runs, evaluate=failure | {"unexpected": unexpected})

    page = render(runs, tmp_path / "reports")

    assert page.index("**Checks failed: evaluate.**") < page.index("## Scores")
    assert row(page, "evaluate", "**failed**") == ["evaluate", "**failed**", "2", "1"]
    shown = "test/0, test/1, test/2, test/3, test/4 and 3 more"
    assert row(page, "evaluate", "is_between") == ["evaluate", "is_between", "psnr_db", shown, "a\\|b"]
    assert row(page, "split", "passed")


def test_the_receipt_has_seconds_memory_and_hashes(page, original):
    assert row(page, "search", "1,005.0") == ["search", "1,005.0", "512", "cpu"]
    assert row(page, "all")[1] == "9,036.0"  # 8 * 1000 + (0 + 1 + ... + 7)
    assert row(page, "commit")[1] == "abc1234" and row(page, "seed")[1] == "0"
    assert row(page, "versions")[1] == "python 3.11.2, torch 2.13.0"
    assert f"`{sha256_file(original / 'download' / 'manifest.csv')}`" in page
    assert f"`{sha256_file(original / 'derive' / 'genotype.json')}`" in page


def test_steps_that_ran_at_different_commits_are_told_apart(runs, tmp_path):
    path = runs / "receipts" / "evaluate.json"
    write_json(path, json.loads(path.read_text()) | {"commit": None, "peak_memory_mib": None})

    page = render(runs, tmp_path / "reports")

    assert row(page, "commit")[1] == "abc1234 / unknown"
    assert row(page, "evaluate", "1,008.0")[2] == "not measured"


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("download/manifest.csv", "download"),
        ("pictures/pictures.csv", "pair"),
        ("search/history.csv", "search"),
        ("retrain/model/model.json", "retrain"),
        ("evaluate/scores.csv", "evaluate"),
        ("evaluate/pictures/best/error.png", "evaluate"),
        ("receipts/derive.json", "derive"),
    ],
)
def test_a_missing_input_is_named_with_the_step_that_writes_it(runs, tmp_path, path, step):
    (runs / path).unlink()

    with pytest.raises(ValueError, match=rf"{re.escape(path)} \(run {step}\)"):
        render(runs, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_a_check_that_was_not_run_says_so(runs, tmp_path):
    (runs / "checks/split.json").unlink()
    page = render(runs, tmp_path / "reports")
    assert row(page, "split", "not run") == ["split", "not run", "0", "0"]
    assert "Checks failed" not in page


def test_the_same_inputs_give_the_same_bytes(out, original, tmp_path):
    render(original, tmp_path / "second")

    files = sorted(path.relative_to(out) for path in out.rglob("*.*"))
    assert len(files) == 10
    for file in files:
        assert (out / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_a_number_that_is_not_finite_never_reaches_the_page(runs, tmp_path):
    metrics = json.loads((runs / "evaluate" / "metrics.json").read_text())
    metrics["methods"]["nasir"]["whole"]["psnr_db"] = math.nan
    write_text(runs / "evaluate" / "metrics.json", json.dumps(metrics))

    with pytest.raises(ValueError, match="must hold JSON, got NaN, which JSON does not have"):
        render(runs, tmp_path / "reports")


def test_a_page_is_plain_markdown(page):
    assert not re.search(r"<[a-zA-Z/]", page)
    assert not re.search(r"\b(nan|inf|None)\b", page)
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_images_that_were_cut_into_tiles_are_said_to(runs, tmp_path):
    path = runs / "evaluate" / "timing.json"
    tiling = {"tile": 512, "halo": 26, "largest_offset": 3.25, "tiles": 24, "repeated": 0}
    write_json(path, read_json(path) | {"tiling": tiling})

    page = render(runs, tmp_path / "reports")

    assert (
        "restored large images in 24 tiles of up to 512x512 pixels with a halo of 26, for deformable convolutions that reach "
        "up to 3.2 pixels out of their way."
    ) in page


def test_a_run_with_one_test_image_has_scores_without_an_interval(runs, tmp_path):
    name = NAMES["test"][0]
    rows = [row for row in read_csv(runs / "evaluate/scores.csv") if row["name"] == name]
    write_csv(runs / "evaluate/scores.csv", rows, list(rows[0]))
    metrics = read_json(runs / "evaluate/metrics.json")
    write_json(runs / "evaluate/metrics.json", metrics | {"images": 1})
    split = read_json(runs / "split/split.json")
    write_json(runs / "split/split.json", split | {"test": [name]})
    page = render(runs, tmp_path / "out")
    assert "| one image |" in page
