"""The page of a study: which cells it has, which profile is shown, what is written."""

from dataclasses import replace
from pathlib import Path

import pytest
import small_study

from nasir.config.tables import load
from nasir.files import read_csv, write_csv, write_json, write_text
from nasir.reporting import figures
from nasir.reporting.paper import patch_form
from nasir.reporting.paper.study import Method, Part
from stages.tables import page

HEAD = """studies:
  - {profile: demo, denoise: sample, derain: sample, camera: sample}
  - {profile: small, denoise: bsd500, derain: rain800, camera: sim1800}
  - {profile: paper, denoise: bsd500, derain: rain800, camera: sim1800}
seeds: [0]
matrix_sigma: 50
matrix_protocols: [whole, overlap, "overlap-shared:100", half]
"""
PLAN = (
    HEAD
    + """
searches:
  - {task: denoise, strategy: darts, space: irnas, studies: &all [demo, small, paper]}
  - {task: denoise, strategy: random, space: irnas, studies: &more [demo, paper]}
  - {task: derain, strategy: darts, space: irnas, studies: *all}
runs:
  - &found {task: denoise, methods: [irnas], search: darts of denoise, modify: none, draws: [0], changes: [], sigmas: [50],
            protocols: [whole], studies: *all}
  - {<<: *found, methods: [random], search: random of denoise, studies: *more}
  - {<<: *found, methods: [dncnn], search: "", studies: [paper]}
  - {<<: *found, methods: [irnas-r2], modify: r2, draws: [0, 4], studies: *more}
  - &rain {<<: *found, task: derain, search: darts of derain, sigmas: [0]}
  - {<<: *rain, methods: [ddn], search: "", studies: *more}
  - {<<: *rain, methods: [rescan-gru], search: "", studies: [paper]}
scores:
  - &noisy {name: classical, task: denoise, methods: [noisy], package: "", sigmas: [50], protocols: [whole], studies: *all}
  - {<<: *noisy, name: bm3d, methods: [bm3d], package: bm3d}
  - {<<: *noisy, name: input, task: derain, sigmas: [0], studies: *more}
  - {<<: *noisy, name: input, task: camera, sigmas: [0], studies: *more}
claims: []
"""
)

ALONE = (
    HEAD
    + """
searches: [{task: denoise, strategy: profile, space: irnas, studies: [small]}]
runs:
  - {task: denoise, methods: [irnas], search: profile of denoise, modify: none, draws: [0], changes: [], sigmas: [50],
     protocols: [whole], studies: [small]}
scores:
  - &noisy {name: classical, task: denoise, methods: [noisy], package: "", sigmas: [50], protocols: [whole], studies: [small]}
  - {<<: *noisy, name: bm3d, methods: [bm3d], package: bm3d}
  - {<<: *noisy, name: input, task: derain, sigmas: [0], studies: [demo, paper]}
claims: []
"""
)
"""What `small_study` has cells of."""


def write_plan(folder: Path, text: str) -> Path:
    write_text(folder / "params.yaml", text)
    return folder / "params.yaml"


def test_a_plan_runs_what_its_profile_can_and_says_why_not_the_rest(tmp_path):
    config = load(write_plan(tmp_path, PLAN))

    plan = page.plan_of(config, "small")

    slow, slower = (
        "left out of the profile small: runs with demo, paper",
        "left out of the profile small: runs with paper",
    )
    runs = Method(reason=None, sigmas=(50.0,))
    pairs = Method(reason=None, sigmas=(0.0,))
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
                "noisy": replace(pairs, reason=slow),
                "irnas": pairs,
                "ddn": replace(pairs, reason=slow),
                "rescan-gru": replace(pairs, reason=slower),
            },
        ),
        "camera": Part(dataset="sim1800", methods={"noisy": replace(pairs, reason=slow)}),
    }
    assert (plan.profile, plan.sigmas, plan.seeds, plan.matrix_sigma) == ("small", (50.0,), (0,), 50.0)
    assert plan.protocols == ("whole", "overlap", "overlap-shared", "half")  # without their numbers of images
    at_full_size = page.plan_of(config, "paper")
    assert {method.reason for part in at_full_size.parts.values() for method in part.methods.values()} == {None}


def test_an_unknown_profile_is_refused(tmp_path):
    config = load(write_plan(tmp_path, PLAN))

    with pytest.raises(ValueError, match=r"PROFILE must be one of \['demo', 'small', 'paper'\], got 'huge'"):
        page.plan_of(config, "huge")


def test_the_page_its_numbers_and_its_curves_are_written(tmp_path):
    small_study.write_study(tmp_path)
    columns = ("step", "metric", "value")
    rows = [(1, "best_score", 0.8), (1, "spent_flops", 1e12), (2, "best_score", 0.9), (2, "spent_flops", 2e12)]
    write_csv(
        tmp_path / "study/search/denoise-profile/history.csv",
        [dict(zip(columns, row, strict=True)) for row in rows],
        columns,
    )
    write_json(tmp_path / "study/search/denoise-profile/search.json", {"strategy": "one_shot"})
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("3,rainy input,noisy,\n")

    page.run(
        study=tmp_path / "study",
        published=tmp_path / "published.csv",
        rows=tmp_path / "rows.csv",
        plan=write_plan(tmp_path, ALONE),
        profile="small",
        out=tmp_path / "out",
        log=lambda step, values: None,
    )

    text = (tmp_path / "out/tables.md").read_text()
    assert "Table 1" in text and "tables/best_so_far.png" in text
    assert "left out of the profile small: runs with demo, paper" in text
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
    patches = (tmp_path / "out/tables/patches.csv").read_text()
    assert patches.splitlines() == [",".join(patch_form.COLUMNS)]  # nothing of CLEARER is printed or scored there


def test_searches_of_two_spaces_have_a_curve_each(tmp_path, monkeypatch):
    small_study.write_study(tmp_path)
    columns = ("step", "metric", "value")
    for cell, score in (("denoise-profile", 0.8), ("denoise-profile-clearer", 0.9)):
        rows = [dict(zip(columns, row, strict=True)) for row in ((1, "best_score", score), (1, "spent_flops", 1e12))]
        write_csv(tmp_path / "study/search" / cell / "history.csv", rows, columns)
        write_json(tmp_path / "study/search" / cell / "search.json", {"strategy": "one_shot"})
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("3,rainy input,noisy,\n")
    own = "{task: denoise, strategy: profile, space: irnas, studies: [small]}"
    drawn: dict[str, float] = {}

    def draw(curves):
        drawn.update({label: history["best_score"].values[0] for label, history in curves.items()})
        return b""

    monkeypatch.setattr(figures, "best_so_far_curves", draw)
    page.run(
        study=tmp_path / "study",
        published=tmp_path / "published.csv",
        rows=tmp_path / "rows.csv",
        plan=write_plan(tmp_path, ALONE.replace(own, f"{own}, {own.replace('irnas', 'clearer')}")),
        profile="small",
        out=tmp_path / "out",
        log=lambda step, values: None,
    )

    assert drawn == {"one_shot": 0.8, "one_shot in clearer": 0.9}
