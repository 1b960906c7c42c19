"""One job of each kind, on little pictures."""

import dataclasses
from pathlib import Path
from typing import Any

import little_run
import pytest

from nasir.files import read_json, write_json
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search.sampling.tokens import Window
from nasir.spaces import contract
from nasir.training import checkpoints
from stages.searches import jobs, kept
from stages.searches import plan as plans
from stages.searches.kept import Kept
from stages.searches.plan import Plan
from tests.stages.searches.little_study import VALUES, read

IRNAS = contract.find("irnas")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    little_run.write_pictures(tmp_path, tests=5)
    return tmp_path


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return read(tmp_path)


@pytest.fixture
def _steps(monkeypatch):
    """A step takes 2 ms, so that a training of 10 ms has five."""
    monkeypatch.setattr(jobs, "seconds_per_step", lambda network, **others: 0.002)


def do(plan: Plan, name: str, data: Path) -> dict[str, Any]:
    """Do a job; what was written."""
    [job] = [job for job in plan.jobs() if job.name == name]
    jobs.work(plan, job, data, data / "results")
    found = plans.result(data / "results", plan, job)
    assert found == read_json(data / f"results/{name}.json")
    return found


def test_random_networks_are_distinct_and_in_the_window_and_more_of_them_begin_alike(plan, tmp_path):
    settings = plan.settings(None)
    drawn = jobs.randoms(plan)
    assert len(set(drawn)) == len(drawn) == 3
    window = Window(of="parameters", lowest=1200, highest=2100)
    section = settings.of_space
    assert all(window.holds(IRNAS, section, 1, IRNAS.from_tokens(section, tokens)) for tokens in drawn)
    assert jobs.randoms(plan) == drawn
    assert jobs.randoms(read(tmp_path, random=5))[:3] == drawn


def test_a_random_network_is_trained_for_the_plans_seconds_and_scored(plan, data, _steps):
    found = do(plan, "random-01", data)
    tokens = jobs.randoms(plan)[1]
    genotype = IRNAS.from_tokens(plan.settings(None).of_space, tokens)
    assert found["genotype"] == IRNAS.to_json(genotype) and found["tokens"] == list(tokens)
    network = IRNAS.build(genotype, plan.settings(None).of_network, 1)
    assert found["sizes"]["width"] == 4  # the profile's, which is that of the draw
    assert found["parameters"] == parameters(network) and found["flops_per_pixel"] == flops_per_pixel(network, 1)
    assert found["steps"] == 5
    assert list(found["psnr_db"]) == ["test/0", "test/2"]  # two of five, evenly spaced
    assert all(5 < value < 60 for value in found["psnr_db"].values())
    assert found["precision"] == "32-true" and found["seconds"] > 0 and found["commit"]
    assert do(plan, "random-01", data)["psnr_db"] == found["psnr_db"]
    assert do(plan, "random-02", data)["psnr_db"] != found["psnr_db"]


def test_a_second_training_is_of_the_same_network_from_another_seed(data, _steps):
    plan = read(data, again=1)
    first, second = do(plan, "random-00", data), do(plan, "again-00", data)
    assert second["genotype"] == first["genotype"] and second["steps"] == first["steps"]
    assert second["psnr_db"] != first["psnr_db"]


@pytest.mark.parametrize(("seconds", "steps"), [(1e-9, 1), (0.003, 2), (0.02, 10)])
def test_a_training_has_as_many_steps_as_fit_and_one_at_least(data, _steps, seconds, steps):
    assert do(read(data, seconds=seconds), "random-00", data)["steps"] == steps


def test_a_machine_of_another_pace_gives_as_many_steps_as_the_one_on_which_the_study_began(plan, data, _steps):
    do(plan, "random-00", data)
    path = data / "results/random-00.json"
    write_json(path, read_json(path) | {"steps": 2})  # of 5 ms each, where one of this machine takes 2
    assert do(plan, "random-01", data)["steps"] == 2


def test_a_result_of_another_plan_says_nothing_of_the_pace(plan, data, _steps):
    do(plan, "random-00", data)
    path = data / "results/random-00.json"
    write_json(path, read_json(path) | {"steps": 2, "made_with": {}})
    assert do(plan, "random-01", data)["steps"] == 5


def test_a_training_may_have_a_number_of_steps_in_place_of_seconds(data, monkeypatch):
    monkeypatch.setattr(jobs, "seconds_per_step", None)  # nothing is measured
    plan = read(data, seconds=None, steps=3)
    assert do(plan, "random-00", data)["steps"] == 3


def test_a_study_of_columns_keeps_its_widths(data):
    changes = [text for text in VALUES["changes"] if not text.startswith(("space.", "network."))]
    own = [
        "space.widths=[2,3]",
        "space.columns=[1,1]",
        "network.widths=[2,3]",
        "space.stem_blocks=1",
        "network.stem_blocks=1",
    ]
    plan = read(data, space="clearer", seconds=None, steps=2, window=[0, 1e9], changes=[*changes, *own])
    found = do(plan, "random-01", data)
    assert found["genotype"]["space"] == "clearer" and found["sizes"]["widths"] == [2, 3]


def test_a_network_given_by_hand_is_trained_at_its_own_sizes(data):
    changes = [text for text in VALUES["changes"] if not text.startswith(("space.", "network."))]
    own = ["space.widths=[2,3]", "space.columns=[1,2]", "space.stem_blocks=1", "network.stem_blocks=1"]
    networks = {"wide": {"genotype": "P FP", "changes": ["network.widths=[4,5]"]}}
    plan = read(
        data, space="clearer", seconds=None, steps=2, window=[0, 1e9], changes=[*changes, *own], searches={},
        changes_of={}, networks=networks,
    )  # fmt: skip
    found = do(plan, "given-wide", data)
    assert found["genotype"]["cells"] == ["P", "FP"] and found["sizes"]["widths"] == [4, 5]


def test_a_one_shot_search_ranks_the_random_networks_and_what_it_finds_is_trained(plan, data, _steps):
    searched = do(plan, "search-one-shot-fair-1", data)
    assert len(searched["ranking"]) == 3 and len(set(searched["ranking"])) > 1
    assert searched["facts"]["candidates"] == 3 and searched["facts"]["paths_per_step"] == 3
    assert searched["seconds"] > 0 and searched["peak_memory_mib"] > 0 and searched["spent_flops"] > 0

    found = do(plan, "found-one-shot-fair-1", data)
    assert found["genotype"] == searched["genotype"]
    assert 1200 <= found["parameters"] <= 2100


def test_a_differentiable_search_ranks_nothing(plan, data):
    searched = do(plan, "search-darts-0", data)
    assert searched["ranking"] is None
    metrics = {metric: step for step, metric, _ in searched["history"]}
    assert set(metrics.values()) == {2} and {"score", "discretisation_gap"} <= set(metrics)
    assert searched["scores"]["psnr_db"] > 5
    assert IRNAS.from_json(searched["genotype"]).layers == 1


def test_the_seed_is_the_jobs(plan, data):
    scores = [do(plan, f"search-darts-{seed}", data)["scores"]["psnr_db"] for seed in (0, 1)]
    assert scores[0] != scores[1]


def fitted(plan: Plan, operation: str, window: tuple[float, float]) -> tuple[int, int]:
    """Width and parameters of a network of one operation in a window."""
    settings = plan.settings(None)
    genotype = IRNAS.from_tokens(settings.of_space, jobs.randoms(plan)[0])
    cells = tuple(
        tuple(tuple(dataclasses.replace(edge, operation=operation) for edge in edges) for edges in cell)
        for cell in genotype.cells
    )
    genotype = dataclasses.replace(genotype, cells=cells)
    sizes = jobs._fit(genotype, settings, window)
    assert dataclasses.replace(settings.of_network, width=sizes.width) == sizes
    return sizes.width, parameters(IRNAS.build(genotype, sizes, 1))


def test_a_network_of_skips_gets_more_channels_for_as_many_parameters(plan):
    wide, size = fitted(plan, "skip", (4000, 4600))
    narrow, other = fitted(plan, "conv_3x3", (4000, 4600))
    assert wide > narrow and wide % 2 == narrow % 2 == 0
    assert abs(size - 4300) < 600 and abs(other - 4300) < 600


def test_the_profiles_width_is_kept_where_it_fits(plan):
    width, size = fitted(plan, "conv_3x3", (0, 1e9))
    assert width == plan.settings(None).of_network.width == 4
    assert fitted(plan, "conv_3x3", (size, size)) == (4, size)


def test_where_no_width_fits_the_nearest_to_the_middle_is_taken(plan):
    _, size = fitted(plan, "conv_3x3", (0, 1e9))
    assert fitted(plan, "conv_3x3", (size + 1, size + 3)) == (4, size)
    width, largest = fitted(plan, "skip", (1e9, 1e9))
    assert width == 128 and largest < 1e9


class Killed(Exception):
    """Stands for SIGKILL."""


RL = ("candidates=4", "first=2", "steps=2", "more_steps=1", "cache=4", "teacher=''", "stem_steps=2", "hidden=5", "layers=1",
      "slots=4", "mini_batch=2", "window=[0, 1.0e+9]")  # fmt: skip


@pytest.mark.parametrize(("strategy", "changes"), [
    ("rl", [f"strategy.{change}" for change in RL]),
    ("one_shot", ["search.checkpoint_period=1", "strategy.candidates=3", "strategy.population=2", "strategy.tournament=1",
                  "strategy.finalists=0"]),
    ("darts", ["search.checkpoint_period=1", "strategy.keep_from=2"]),
])  # fmt: skip
def test_a_search_killed_behind_every_checkpoint_ends_as_one_left_alone(data, monkeypatch, strategy, changes):
    plan = read(data, random=10, searches={"one": {"strategy": strategy, "changes": changes}}, changes_of={})
    [job] = [job for job in plan.jobs() if job.name == "search-one-0"]
    alone, path, kills = do(plan, job.name, data), data / "checkpoints/search.pt", 0

    def save(*given: Any) -> None:
        monkeypatch.undo()
        checkpoints.save(*given)
        raise Killed

    for _ in range(30):
        (data / f"results/{job.name}.json").unlink(missing_ok=True)
        monkeypatch.setattr(kept.checkpoints, "save", save)
        try:
            jobs.work(plan, job, data, data / "results", path)
            break
        except Killed:
            kills += 1
            assert path.is_file()
    monkeypatch.undo()
    found = plans.result(data / "results", plan, job)
    assert kills >= (2 if strategy == "darts" else 4) and not path.exists()
    measured = ("seconds", "peak_memory_mib")
    assert {key: found[key] for key in found if key not in measured} == {
        key: alone[key] for key in alone if key not in measured
    }
    assert len(found["ranking"] or jobs.randoms(plan)) == 10


def test_what_a_search_cost_before_a_kill_is_counted_and_what_is_ranked_is_not(tmp_path, monkeypatch):
    times = iter([0.0, 10.0, 100.0, 105.0, 107.0, 200.0])
    monkeypatch.setattr(kept.time, "process_time", lambda: next(times))
    monkeypatch.setattr(kept.memory, "peak_mib", lambda: 50.0)
    path = tmp_path / "search.pt"
    Kept(path, {}).keep({"step": 1})  # from 0 to 10
    again = Kept(path, {})  # at 100
    assert again.state() == {"step": 1}
    again.keep({"step": 2})  # at 105
    again.end()  # at 107
    assert again.cost() == (17.0, 50.0)
    again.rank([20.0])
    last = Kept(path, {})  # at 200: what it does again is counted already
    assert last.cost() == (17.0, 50.0) and last.ranking == [20.0]


def test_a_training_whose_search_is_not_done_names_its_file(plan, data):
    [job] = [job for job in plan.jobs() if job.name == "found-darts-0"]
    with pytest.raises((FileNotFoundError, ValueError), match=r"search-darts-0\.json"):
        jobs.work(plan, job, data, data / "results")
    assert not (data / "results/found-darts-0.json").exists()
