"""Names of runs differ where a table of MLflow still shows them."""

from stages.around.shown import names

PARAMS = {"task": "denoise", "sigma": 50.0, "seed": 1, "space": "irnas", "profile": "demo", "dataset": "sample"}


def test_a_name_begins_with_what_differs():
    assert names.of_pipeline(PARAMS, 0).startswith("sigma=50 seed=1 irnas demo sample 19")
    assert names.of_stage("evaluate", PARAMS | {"sigma": 7.5}) == "evaluate sigma=7.5 seed=1 irnas demo sample"


def test_a_task_without_noise_of_a_level_is_named_in_its_place():
    assert names.of_stage("search", PARAMS | {"task": "derain"}) == "search derain seed=1 irnas demo sample"


def test_what_is_missing_is_left_out():
    assert names.of_stage("page", {}) == "page"
    assert len(names.of_pipeline({}, 0)) == len("1970-01-01 00:00")
