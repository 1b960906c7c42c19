"""The plan of the study: what it refuses, its settings, its jobs and what their results depend on."""

import re
from typing import Any

import pytest
import yaml

from nasir.config.retrain import RetrainConfig
from nasir.files import read_json, write_json, write_text
from nasir.settings import SECTIONS
from stages.searches import plan as plans
from stages.searches.plan import Job, slug
from tests.stages.searches.little_study import ROOT, VALUES, read


@pytest.mark.parametrize("name", ["bsd500", "clearer"])
def test_a_shipped_plan_is_read_and_every_search_is_allowed(name):
    plan = plans.read(ROOT / f"study/{name}.yaml", ROOT / "profiles")
    assert len({job.name for job in plan.jobs()}) == len([*plan.jobs()])
    for search in (None, *plan.values["searches"]):
        settings = plan.settings(search)
        for name, cls in SECTIONS.items():
            settings.section(name, cls)
        assert settings.of_space and settings.of_network and settings.of_strategy
        assert settings.search.sigmas == (plan.values["sigma"],)


@pytest.mark.parametrize("key", VALUES)
def test_a_missing_key_is_refused(tmp_path, key):
    write_text(tmp_path / "plan.yaml", yaml.safe_dump({name: v for name, v in VALUES.items() if name != key}))
    with pytest.raises(ValueError, match=rf"plan\.yaml must have exactly the keys \[.*'{key}'.*\], got"):
        plans.read(tmp_path / "plan.yaml", ROOT / "profiles")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 3}, r"must have exactly the keys .*, got \[.*'budget'"),
        ({"random": 1}, r"plan\.yaml: random must be 2 or more, got 1"),
        (
            {"searches": {"x": {"strategy": "annealing", "changes": []}}},
            r"search\.strategy must be one of .* 'annealing'",
        ),
        ({"searches": {"x": {"strategy": "darts", "changes": ["strategy.speed=1"]}}}, r"got 'strategy\.speed=1'"),
        (
            {"searches": {"x": {"strategy": "darts", "changes": [], "seeds": [2]}}},
            r"searches\.x\.seeds must be a list of some of \[0, 1\], got \[2\]",
        ),
        ({"changes": ["search.stepz=1"]}, r"got 'search\.stepz=1'; keys are"),
        ({"profile": "huge"}, r"huge"),
    ],
)
def test_what_is_unknown_is_refused_and_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **changes)


def test_settings_are_the_profiles_with_the_changes_for_all_for_the_strategy_and_its_own(tmp_path):
    plan = read(tmp_path)
    fair, darts, alone = (plan.settings(name) for name in ("one_shot, fair", "darts", None))
    assert [one.search.strategy for one in (fair, darts)] == ["one_shot", "darts"]
    assert fair.of_strategy.sampling == "fair" and fair.of_strategy.candidates == 3
    assert fair.of_strategy.window == (1200, 2100)
    assert (fair.search.patch, darts.search.patch, alone.search.patch) == (12, 14, 12)
    assert all(one.search.steps == 2 and one.of_space.layers == 1 for one in (fair, darts, alone))
    demo = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    assert alone.section("retrain", RetrainConfig).lr_max == demo["retrain"]["lr_max"]
    assert (alone.params.dataset, alone.params.sigma, alone.params.task) == ("sample", 50, "denoise")


def test_jobs_come_seed_by_seed_the_random_networks_first_and_each_training_behind_its_search(tmp_path):
    jobs = [*read(tmp_path).jobs()]
    assert [job.name for job in jobs] == [
        "random-00", "random-01", "random-02",
        "search-one-shot-fair-0", "found-one-shot-fair-0", "search-darts-0", "found-darts-0",
        "search-one-shot-fair-1", "found-one-shot-fair-1", "search-darts-1", "found-darts-1",
    ]  # fmt: skip
    assert jobs[2] == Job(name="random-02", search=None, seed=2, is_training=True)
    assert jobs[7] == Job(name="search-one-shot-fair-1", search="one_shot, fair", seed=1, is_training=False)
    assert jobs[8] == Job(name="found-one-shot-fair-1", search="one_shot, fair", seed=1, is_training=True)


def test_a_search_may_have_fewer_seeds_than_the_others(tmp_path):
    fair = {"strategy": "one_shot", "changes": ["strategy.sampling=fair"], "seeds": [1]}
    plan = read(tmp_path, searches={"fair": fair, "darts": {"strategy": "darts", "changes": []}})
    assert [job.name for job in plan.jobs()][3:] == [
        "search-darts-0", "found-darts-0", "search-fair-1", "found-fair-1", "search-darts-1", "found-darts-1",
    ]  # fmt: skip


def test_random_networks_may_be_trained_a_second_time(tmp_path):
    plan, without = read(tmp_path, again=2), read(tmp_path)
    jobs = [*plan.jobs()]
    assert [job.name for job in jobs][2:6] == ["random-02", "again-00", "again-01", "search-one-shot-fair-0"]
    assert jobs[4] == Job(name="again-01", search=None, seed=1, is_training=True, is_second=True)
    assert all(plan.made_with(jobs[place]) == without.made_with(jobs[0]) for place in (0, 3))  # nothing is made again
    for wrong in (4, -1, "two"):
        with pytest.raises(ValueError, match="again must be a number from 0 to random"):
            read(tmp_path, again=wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one_shot", "one-shot"),
        ("darts, beta decay", "darts-beta-decay"),
        ("random, trained briefly", "random-trained-briefly"),
    ],
)
def test_a_name_becomes_part_of_a_files_name(text, expected):
    assert slug(text) == expected
    assert re.fullmatch(r"[a-z-]+", slug(text))


HAND = {"all fusions": {"genotype": "FF F F", "changes": ["network.widths=[2,3]"]}}
COLUMNS = {"space": "clearer", "searches": {}, "changes_of": {}, "changes": ["space.columns=[2,1,1]"]}


def test_networks_given_by_hand_are_jobs_behind_the_random_ones_with_changes_of_their_own(tmp_path):
    plan = read(tmp_path, **COLUMNS, networks=HAND)
    jobs = [*plan.jobs()]
    assert [job.name for job in jobs] == ["random-00", "random-01", "random-02", "given-all-fusions"]
    assert jobs[3] == Job(name="given-all-fusions", search=None, seed=0, is_training=True, network="all fusions")
    assert plan.settings(None, "all fusions").of_network.widths == (2, 3)
    assert plan.settings(None).of_network.widths != (2, 3)
    other = read(tmp_path, **COLUMNS, networks={"all fusions": HAND["all fusions"] | {"genotype": "FF F P"}})
    assert plan.made_with(jobs[3]) != other.made_with(jobs[3]) and plan.made_with(jobs[0]) == other.made_with(jobs[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"genotype": "FF F F"}, r"networks\.all fusions must have exactly the keys .*, got {'genotype'"),
        ({"genotype": 3, "changes": []}, r"networks\.all fusions must have .* the genotype as text, got .*3"),
        ({"genotype": "FF F", "changes": []}, r"a genotype of these settings has 4 columns, got 3"),
        ({"genotype": "FF F X", "changes": []}, r"must have a word of the letters P .* and F .*'FF F X'"),
        ({"genotype": "FF F F", "changes": ["network.speed=1"]}, r"got 'network\.speed=1'"),
    ],
)
def test_a_network_that_its_space_does_not_have_is_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **COLUMNS, networks={"all fusions": given})


def changed(*texts: str) -> dict[str, Any]:
    return {"changes": [*VALUES["changes"], *texts]}


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, ()),
        ({"seeds": [0, 1, 2]}, ()),  # more jobs, the others are as they were
        ({"seconds": 0.02}, ("random-00", "search-darts-0", "found-darts-0", "found-one-shot-fair-0")),
        ({"images": 3}, ("random-00", "found-darts-0")),
        ({"window": [1200, 2200]}, ("random-00", "search-one-shot-fair-0", "found-darts-0")),
        ({"sigma": 30}, ("random-00", "search-darts-0", "found-darts-0")),
        (changed("retrain.lr_max=0.5"), ("random-00", "found-darts-0", "found-one-shot-fair-0")),
        (changed("space.layers=2"), ("random-00", "search-darts-0", "found-darts-0")),
        (changed("search.batch=4"), ("search-darts-0", "found-darts-0", "search-one-shot-fair-0")),
        (
            {"changes_of": VALUES["changes_of"] | {"darts": ["strategy.keep_from=1"]}},
            ("search-darts-0", "found-darts-0"),
        ),
    ],
)
def test_a_result_is_made_again_where_a_setting_has_changed_that_it_depends_on(tmp_path, changes, again):
    before, after = read(tmp_path), read(tmp_path, **changes)
    jobs = {job.name: job for job in before.jobs()}
    for name, job in jobs.items():
        write_json(tmp_path / f"{name}.json", {"made_with": before.made_with(job)})
        assert plans.result(tmp_path, before, job) == read_json(tmp_path / f"{name}.json")
    stale = {name for name, job in jobs.items() if plans.result(tmp_path, after, job) is None}
    assert set(again) <= stale
    if not again:
        assert stale == set()


def test_a_found_network_is_trained_again_where_its_search_now_finds_another(tmp_path):
    plan = read(tmp_path)
    jobs = {job.name: job for job in plan.jobs()}
    for name in ("search-darts-0", "found-darts-0"):
        write_json(tmp_path / f"{name}.json", {"made_with": plan.made_with(jobs[name]), "genotype": {"path": [1]}})
    assert plans.result(tmp_path, plan, jobs["found-darts-0"]) is not None
    search = read_json(tmp_path / "search-darts-0.json")
    write_json(tmp_path / "search-darts-0.json", search | {"genotype": {"path": [2]}})
    assert plans.result(tmp_path, plan, jobs["search-darts-0"]) is not None
    assert plans.result(tmp_path, plan, jobs["found-darts-0"]) is None


def test_what_one_strategy_alone_depends_on_leaves_the_others_and_the_random_networks(tmp_path):
    before = read(tmp_path)
    after = read(tmp_path, changes_of=VALUES["changes_of"] | {"darts": ["strategy.keep_from=1"]})
    kept = {job.name for job in before.jobs() if before.made_with(job) == after.made_with(job)}
    assert kept == {job.name for job in before.jobs() if "darts" not in job.name}


def test_a_random_network_does_not_depend_on_the_searches(tmp_path):
    before, after = read(tmp_path), read(tmp_path, **changed("search.batch=4"))
    [job, *_] = before.jobs()
    assert before.made_with(job) == after.made_with(job)
    assert set(before.made_with(job)) == {
        "params",
        "network",
        "retrain",
        "space",
        "images",
        "seconds",
        "window",
        "random",
    }


def test_there_is_no_result_without_a_file(tmp_path):
    plan = read(tmp_path)
    assert [plans.result(tmp_path / "nowhere", plan, job) for job in plan.jobs()] == [None] * 11
