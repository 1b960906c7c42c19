"""The page of a study: which cells it has, which profile is shown, what is written."""

from dataclasses import replace

import pytest
import small_study
import yaml

from nasir.config import TablesConfig, TrialConfig, load_tables
from nasir.files import read_csv, write_csv, write_text
from nasir.reporting.study import Method, Part
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
    tasks=("denoise", "derain", "camera"),
    paired=("derain", "camera"),
    searched=("denoise", "derain"),
    with_trials=("demo", "paper"),
    derain_baselines=("ddn",),
    derain_slow=("rescan-gru",),
    trial_sigma=50.0,
    trials=(
        TrialConfig(
            task="denoise", method="irnas-r2", draw=0, search="denoise", modify="r2", options="", protocols="whole"
        ),
        TrialConfig(
            task="denoise", method="irnas-r2", draw=4, search="denoise", modify="r2", options="", protocols="whole"
        ),
        TrialConfig(
            task="derain", method="irnas", draw=0, search="derain", modify="none", options="", protocols="whole"
        ),
    ),
)
DATASETS = {"denoise": "bsd500", "derain": "rain800", "camera": "sim1800"}
PARAMS = """sigmas: [50]
seeds: [0]
all: [demo, small]
classical: [noisy]
controls: [random]
with_controls: [demo]
baselines: [dncnn]
with_baselines: []
matrix_sigma: 50
tasks: [denoise]
paired: []
searched: [denoise]
with_trials: []
derain_baselines: []
derain_slow: []
trial_sigma: 50
trials: []
"""


def test_a_plan_runs_what_its_profile_can_and_says_why_not_the_rest():
    plan = tables.plan_of(CONFIG, DATASETS)

    slow, slower = (
        "too slow for the profile small: runs with demo, paper",
        "too slow for the profile small: runs with paper",
    )
    runs = Method(reason=None, sigmas=(50.0,))
    pairs = replace(runs, reason=slow, sigmas=(0.0,))
    assert plan.parts == {
        "denoise": Part(
            dataset="bsd500",
            methods={
                "noisy": runs,
                "bm3d": runs,
                "irnas": runs,
                "random": replace(runs, reason=slow),
                "dncnn": replace(runs, reason=slower),
                "irnas-r2": replace(runs, reason=slow, draws=(0, 4)),
            },
        ),
        "derain": Part(
            dataset="rain800",
            methods={
                "noisy": pairs,
                "ddn": pairs,
                "rescan-gru": replace(pairs, reason=slower),
                "irnas": replace(pairs, draws=(0,)),
            },
        ),
        "camera": Part(dataset="sim1800", methods={"noisy": pairs}),
    }
    at_full_size = tables.plan_of(replace(CONFIG, profile="paper"), DATASETS)
    assert {method.reason for part in at_full_size.parts.values() for method in part.methods.values()} == {None}


def test_choosing_a_study_writes_it_with_the_lists_that_it_is_in(tmp_path):
    path = tmp_path / "params.yaml"
    write_text(path, PARAMS)

    tables.choose(path, "demo")
    tables.choose(path, "small")

    assert path.read_text() == PARAMS
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["study"] == {
        "profile": "small",
        "all": ["small"],
        "with_controls": [],
        "with_baselines": [],
        "with_trials": [],
    }
    assert load_tables(path).profile == "small"
    assert load_tables(path, "demo").study["with_controls"] == ["demo"]


def test_an_unknown_study_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "params.yaml"
    write_text(path, PARAMS)

    with pytest.raises(ValueError, match=r"profile must be one of \['demo', 'small'\], got 'huge'"):
        tables.choose(path, "huge")
    assert not (tmp_path / "study.yaml").exists()


def test_the_page_its_numbers_and_its_curves_are_written(tmp_path):
    small_study.write_study(tmp_path)
    columns = ("step", "metric", "value")
    rows = [(1, "best_score", 0.8), (1, "spent_flops", 1e12), (2, "best_score", 0.9), (2, "spent_flops", 2e12)]
    write_csv(
        tmp_path / "study/denoise/search/darts/history.csv",
        [dict(zip(columns, row, strict=True)) for row in rows],
        columns,
    )
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("3,rainy input,noisy,\n")
    alone = {"controls": (), "baselines": (), "derain_baselines": (), "derain_slow": (), "trials": ()}
    config = replace(CONFIG, paired=("derain",), **alone)

    tables.run(
        study=tmp_path / "study",
        published=tmp_path / "published.csv",
        rows=tmp_path / "rows.csv",
        datasets=DATASETS,
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
