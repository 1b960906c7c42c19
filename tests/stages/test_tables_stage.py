"""The page of a study: which cells it has, which profile is shown, what is written."""

from dataclasses import replace

import pytest
import small_study

from nasir.config import TablesConfig, load_tables
from nasir.files import read_csv, write_csv, write_text
from stages import tables

CONFIG = TablesConfig(
    profile="small",
    sigmas=(50.0,),
    seeds=(0,),
    all=("demo", "small", "paper"),
    classical=("noisy",),
    controls=("random",),
    with_controls=("demo", "paper"),
    baselines=("dncnn",),
    with_baselines=("paper",),
    matrix_sigma=50.0,
)
PARAMS = """# a comment that stays
profile: demo   # so does this
sigmas: [50]
seeds: [0]
all: [demo, small]
classical: [noisy]
controls: [random]
with_controls: [demo]
baselines: [dncnn]
with_baselines: []
matrix_sigma: 50
"""


def test_a_plan_runs_what_its_profile_can_and_says_why_not_the_rest():
    plan = tables.plan_of(CONFIG, "bsd500")

    assert plan.methods == {
        "noisy": None,
        "bm3d": None,
        "irnas": None,
        "random": "too slow for the profile small: runs with demo, paper",
        "dncnn": "too slow for the profile small: runs with paper",
    }
    assert tables.plan_of(replace(CONFIG, profile="paper"), "bsd500").methods["dncnn"] is None


def test_choosing_a_study_changes_one_word_of_the_file(tmp_path):
    path = tmp_path / "params.yaml"
    write_text(path, PARAMS)

    tables.choose(path, "small")

    assert path.read_text() == PARAMS.replace("profile: demo", "profile: small")
    assert load_tables(path).profile == "small"


def test_an_unknown_study_is_refused_and_the_file_stays(tmp_path):
    path = tmp_path / "params.yaml"
    write_text(path, PARAMS)

    with pytest.raises(ValueError, match=r"profile must be one of \['demo', 'small'\], got 'huge'"):
        tables.choose(path, "huge")
    assert path.read_text() == PARAMS


def test_the_page_its_numbers_and_its_curves_are_written(tmp_path):
    small_study.write_study(tmp_path)
    columns = ("step", "metric", "value")
    rows = [(1, "best_score", 0.8), (1, "spent_flops", 1e12), (2, "best_score", 0.9), (2, "spent_flops", 2e12)]
    write_csv(
        tmp_path / "study/search/darts/history.csv", [dict(zip(columns, row, strict=True)) for row in rows], columns
    )
    config = replace(CONFIG, controls=(), baselines=())

    tables.run(
        study=tmp_path / "study",
        published=tmp_path / "published.csv",
        rows=tmp_path / "rows.csv",
        dataset="bsd500",
        out=tmp_path / "out",
        config=config,
        log=lambda step, values: None,
    )

    page = (tmp_path / "out/tables.md").read_text()
    assert "Table 1" in page and "tables/best_so_far.png" in page
    assert (tmp_path / "out/tables/best_so_far.png").read_bytes().startswith(b"\x89PNG")
    [row] = [
        row
        for row in read_csv(tmp_path / "out/tables/cells.csv")
        if (row["table"], row["row"], row["measure"]) == ("1", "IR-NAS", "psnr")
    ]
    # printed 26.77; ours under overlap is the mean of 25, 26, 27, 28 plus 0.25
    assert float(row["printed"]) == 26.77 and float(row["ours_inferred"]) == pytest.approx(26.75)
    assert {row["protocol"] for row in read_csv(tmp_path / "out/tables/protocols.csv")} >= {"whole", "overlap", "half"}
    assert read_csv(tmp_path / "out/tables/claims.csv")
