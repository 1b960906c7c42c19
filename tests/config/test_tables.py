"""`tables/params.yaml`: a plan that cannot be is refused, and says what of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nasir.config.tables import TablesConfig, load

ROOT = Path(__file__).parents[2]
STUDY = {"profile": "demo", "denoise": "sample", "derain": "sample", "camera": "sample"}
SEARCH = {"task": "denoise", "strategy": "darts", "space": "irnas", "studies": ["demo"]}
RUN = {
    "task": "denoise", "methods": ["irnas"], "search": "darts of denoise", "modify": "none", "draws": [0], "changes": [],
    "sigmas": [30, 50], "protocols": ["whole"], "studies": ["demo"],
}  # fmt: skip
SCORE = {
    "name": "classical", "task": "denoise", "methods": ["noisy", "tv"], "package": "", "sigmas": [30, 50],
    "protocols": ["whole"], "studies": ["demo"],
}  # fmt: skip
CLAIMS = {
    "task": "denoise", "method": "irnas", "sigma": 50, "search": "darts of denoise", "networks": ["dncnn"],
    "has_memory": True, "studies": ["demo"],
}  # fmt: skip
PLAN = {
    "studies": [STUDY], "seeds": [0], "matrix_sigma": 50, "matrix_protocols": ["whole:100"], "searches": [SEARCH],
    "runs": [RUN], "scores": [SCORE], "claims": [CLAIMS],
}  # fmt: skip


def plan(tmp_path: Path, **changes: Any) -> TablesConfig:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PLAN | changes))
    return load(tmp_path / "params.yaml")


def test_a_plan_lists_every_cell_that_is_scored(tmp_path):
    config = plan(tmp_path, runs=[RUN | {"draws": [0, 2]}])

    assert config.cells == [
        ("denoise", "irnas", 30.0, 0), ("denoise", "irnas", 30.0, 2), ("denoise", "irnas", 50.0, 0),
        ("denoise", "irnas", 50.0, 2), ("denoise", "noisy", 30.0, 0), ("denoise", "noisy", 50.0, 0),
        ("denoise", "tv", 30.0, 0), ("denoise", "tv", 50.0, 0),
    ]  # fmt: skip
    assert config.study("demo").dataset("derain") == "sample"


def test_the_shipped_plan_is_one():
    config = load(ROOT / "tables/params.yaml")

    assert [study.profile for study in config.studies] == ["demo", "small", "fast", "paper", "overnight"]


def test_a_search_of_another_space_than_irnas_says_so_in_its_name_and_in_that_of_its_cell(tmp_path):
    other = {"space": "clearer"}
    config = plan(tmp_path, searches=[SEARCH, SEARCH | other], runs=[RUN | {"search": "darts of denoise in clearer"}])

    assert [(search.name, search.cell) for search in config.searches] == [
        ("darts of denoise", "denoise-darts"),
        ("darts of denoise in clearer", "denoise-darts-clearer"),
    ]
    assert config.search(config.runs[0].search).space == "clearer"


PAIRED = {"task": "derain", "sigmas": [0]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, r"seeds must be 0 or more, got \(\)"),
        ({"seeds": [0, -1]}, r"seeds must be 0 or more, got \(0, -1\)"),
        ({"runs": [RUN | {"task": "deblur"}]}, r"a task must be one of \['denoise', .*\], got 'deblur'"),
        ({"scores": [SCORE | {"task": "deblur"}]}, r"a task must be one of .* got 'deblur'"),
        ({"searches": [SEARCH | {"task": "deblur"}]}, r"a task must be one of .* got 'deblur'"),
        ({"claims": [CLAIMS | {"task": "deblur"}]}, r"a task must be one of .* got 'deblur'"),
        ({"runs": [RUN | {"studies": ["demo", "huge"]}]}, r"studies must be some of \['demo'\], got \['huge'\]"),
        ({"searches": [SEARCH | {"studies": ["huge"]}]}, r"studies must be some of \['demo'\], got \['huge'\]"),
        ({"scores": [SCORE | {"studies": ["huge"]}]}, r"studies must be some of"),
        ({"claims": [CLAIMS | {"studies": ["huge"]}]}, r"studies must be some of"),
        (
            {"runs": [RUN | {"search": "random of denoise"}]},
            r"a search must be one of \['darts of denoise'\], got 'random of denoise'",
        ),
        (
            {"runs": [RUN | {"search": "darts of denoise in clearer"}]},
            r"a search must be one of \['darts of denoise'\], got 'darts of denoise in clearer'",
        ),
        ({"runs": [RUN | {"search": "darts of denoise in irnas"}]}, r"a search must be one of .* in irnas'"),
        (
            {"searches": [SEARCH, SEARCH | {"studies": []}]},
            r"searches must differ in task, strategy or space, got \['darts of denoise'\]",
        ),
        (
            {"searches": [{"task": "denoise", "strategy": "darts", "studies": []}]},
            r"searches\[0\] must have exactly the keys .*missing \['space'\]",
        ),
        (
            {
                "searches": [SEARCH, SEARCH | {"space": "clearer"}],
                "claims": [CLAIMS | {"search": "darts of denoise in clearer"}],
            },
            r"search of a claim must be one of \['darts of denoise'\], got 'darts of denoise in clearer'",
        ),
        ({"claims": [CLAIMS | {"search": ""}]}, r"search of a claim must be one of \['darts of denoise'\], got ''"),
        ({"claims": [CLAIMS | {"search": "darts of rain"}]}, r"a search must be one of .* got 'darts of rain'"),
        ({"runs": [RUN | {"sigmas": []}]}, r"sigmas of the task denoise must be above 0, got \(\)"),
        ({"runs": [RUN | {"sigmas": [30, 0]}]}, r"sigmas of the task denoise must be above 0, got \(30.0, 0.0\)"),
        ({"runs": [RUN | PAIRED | {"sigmas": [50]}]}, r"sigmas of the task derain must be 0, got \(50.0,\)"),
        ({"scores": [SCORE | PAIRED | {"sigmas": [0, 50]}]}, r"sigmas of the task derain must be 0, got \(0.0, 50.0\)"),
        ({"scores": [SCORE | PAIRED | {"sigmas": [-5]}]}, r"sigmas of the task derain must be 0, got \(-5.0,\)"),
        (
            {"runs": [RUN, RUN | {"modify": "r1", "sigmas": [50]}]},
            r"runs and scores must differ in task, method, sigma or draw, got \[\('denoise', 'irnas', 50.0, 0\)\]",
        ),
        (
            {"scores": [SCORE, SCORE | {"name": "again"}]},
            r"must differ in task, method, sigma or draw, got .*'tv', 50.0, 0\)\]",
        ),
        ({"runs": [RUN | {"methods": ["irnas", "irnas"]}]}, r"must differ in task, method, sigma or draw"),
        ({"scores": [SCORE | {"methods": ["irnas"]}]}, r"must differ in task, method, sigma or draw"),
        ({"runs": [RUN | {"methods": []}]}, r"runs\[0\]: methods must be at least one, got \(\)"),
        ({"runs": [RUN | {"modify": "r3"}]}, r"runs\[0\]: modify must be one of \['none', 'r1', 'r2'\], got 'r3'"),
        ({"runs": [RUN | {"draws": []}]}, r"runs\[0\]: draws must be 0 or more"),
        ({"runs": [RUN | {"draws": [-1]}]}, r"runs\[0\]: draws must be 0 or more, got \(-1,\)"),
        ({"runs": [RUN | {"search": "", "modify": "r1"}]}, r"runs\[0\]: a baseline cannot be modified, got 'r1'"),
        ({"runs": [{"task": "denoise"}]}, r"runs\[0\] must have exactly the keys"),
        ({"trials": []}, r"params.yaml must have exactly the keys .*; unknown \['trials'\]"),
        (
            {"studies": [STUDY | {"deblur": "sample"}]},
            r"studies\[0\] must have exactly the keys .*unknown \['deblur'\]",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        plan(tmp_path, **changes)


def test_a_study_that_the_plan_does_not_have_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"PROFILE must be one of \['demo'\], got 'huge'"):
        plan(tmp_path).study("huge")


def test_a_run_of_pictures_in_pairs_has_sigma_0(tmp_path):
    config = plan(tmp_path, runs=[RUN, RUN | PAIRED])

    assert ("derain", "irnas", 0.0, 0) in config.cells
