"""A study: which cells it has, as DVC reads them, and what each is made with."""

from pathlib import Path

import pytest
import yaml

from nasir.code import Code
from nasir.config.retrain import RetrainConfig
from nasir.config.tables import load
from nasir.files import write_text
from nasir.settings import read
from nasir.spaces.resolutions.section import ColumnsSection, ColumnsSizes
from stages.tables import study

ROOT = Path(__file__).parents[3]
PROFILES = ROOT / "profiles"
PLAN = ROOT / "tables/params.yaml"

TINY = """studies:
  - {profile: demo, denoise: sample, derain: sample, camera: sample}
  - {profile: small, denoise: bsd500, derain: rain800, camera: sim1800}
seeds: [0, 1]
matrix_sigma: 50
matrix_protocols: [whole]
searches:
  - {task: denoise, strategy: profile, space: irnas, studies: [demo, small]}
  - {task: derain, strategy: random, space: irnas, studies: [demo]}
runs:
  - {task: denoise, methods: [irnas], search: profile of denoise, modify: none, draws: [0], changes: [], sigmas: [50],
     protocols: [whole], studies: [demo, small]}
scores: []
claims: []
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of two studies."""
    write_text(tmp_path / "params.yaml", TINY)
    return tmp_path / "params.yaml"


def test_choosing_writes_the_cells_of_one_study(plan, tmp_path):
    study.choose(plan, "demo", tmp_path / "study.yaml")
    study.choose(plan, "small", tmp_path / "study.yaml")

    runs = {
        f"small-denoise-irnas-50-seed{seed}": {
            "task": "denoise",
            "name": f"irnas-50-seed{seed}",
            "source": "runs/small/search/denoise-profile/genotype.json",
        }
        for seed in (0, 1)
    }
    assert plan.read_text() == TINY
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["study"] == {
        "profile": "small",
        "data": {"small-denoise": {"task": "denoise"}},
        "searches": {"small-denoise-profile": {"task": "denoise", "name": "denoise-profile"}},
        "runs": runs,
        "scores": {},
        "claims": {},
    }


def test_choosing_the_same_study_again_leaves_the_file_alone(plan, tmp_path):
    study.choose(plan, "demo", tmp_path / "study.yaml")
    before = (tmp_path / "study.yaml").stat().st_mtime_ns
    study.choose(plan, "demo", tmp_path / "study.yaml")

    assert (tmp_path / "study.yaml").stat().st_mtime_ns == before


def test_an_unknown_study_is_refused_and_nothing_is_written(plan, tmp_path):
    with pytest.raises(ValueError, match=r"PROFILE must be one of \['demo', 'small'\], got 'huge'"):
        study.choose(plan, "huge", tmp_path / "study.yaml")
    with pytest.raises(ValueError, match=r"PROFILE must be one of \['demo', 'small'\], got 'huge'"):
        study.write_settings(plan, "huge", PROFILES, tmp_path / "settings")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]


MORE_RUNS = """  - {task: derain, methods: [clearer], search: random of derain in clearer, modify: none, draws: [0], changes: [],
     sigmas: [0], protocols: [whole], studies: [demo]}
  - {task: denoise, methods: [dncnn], search: "", modify: none, draws: [0], changes: [], sigmas: [50], protocols: [whole],
     studies: [demo]}
scores: []
"""
IN_CLEARER = TINY.replace("random, space: irnas", "random, space: clearer").replace("scores: []\n", MORE_RUNS)
"""`TINY` with a search of another space, its run and a baseline."""


def test_a_run_has_the_space_of_its_search_and_waits_for_that(plan, tmp_path):
    write_text(plan, IN_CLEARER)
    found = study.cells(load(plan), "demo")
    study.write_settings(plan, "demo", PROFILES, tmp_path)

    assert found["searches"]["demo-derain-random-clearer"] == {"task": "derain", "name": "derain-random-clearer"}
    assert found["runs"]["demo-derain-clearer-0-seed1"] == {
        "task": "derain",
        "name": "clearer-0-seed1",
        "source": "runs/demo/search/derain-random-clearer/genotype.json",
    }
    spaces = {path.stem: read(path).params.space for path in tmp_path.glob("*-de*.yaml")}
    assert {name for name, space in spaces.items() if space == "clearer"} == {
        "search-derain-random-clearer",
        "train-derain-clearer-0-seed0",
        "train-derain-clearer-0-seed1",
    }
    assert set(spaces.values()) == {"clearer", "irnas"}
    search, run = (
        read(tmp_path / f"{name}.yaml") for name in ("search-derain-random-clearer", "train-derain-clearer-0-seed1")
    )
    assert (search.search.strategy, type(search.of_space)) == ("random", ColumnsSection)
    assert type(run.of_network) is ColumnsSizes
    own = ["stages.around.binding", "stages.tables.train", "nasir.spaces.clearer"]
    assert run.values["code"] == {"train": Code().digest(own)}


def test_a_search_in_an_unknown_space_is_refused_by_its_name_and_nothing_is_written(plan, tmp_path):
    write_text(plan, TINY.replace("random, space: irnas", "random, space: cleaner"))
    message = (
        r"params.yaml: the search 'random of derain in cleaner': space must be one of \['clearer', .*\], got 'cleaner'"
    )

    with pytest.raises(ValueError, match=message):
        study.choose(plan, "small", tmp_path / "study.yaml")
    with pytest.raises(ValueError, match=message):
        study.write_settings(plan, "small", PROFILES, tmp_path / "settings")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]


def test_a_modification_that_the_space_of_the_search_does_not_have_is_refused(plan, tmp_path):
    write_text(plan, IN_CLEARER.replace("in clearer, modify: none", "in clearer, modify: r1"))

    with pytest.raises(ValueError, match=r"modify must be none in the space clearer, got 'r1' for \['clearer'\]"):
        study.choose(plan, "demo", tmp_path / "study.yaml")


def names(found: dict, kind: str) -> list[str]:
    """The cells of one kind, without the profile before each."""
    return [name.removeprefix(f"{found['profile']}-") for name in found[kind]]


def test_the_demo_has_the_cells_that_the_plan_says():
    found = study.cells(load(PLAN), "demo")

    levels = (30, 50, 70)
    assert names(found, "data") == ["denoise", "derain", "camera"]
    assert names(found, "searches") == [
        *("denoise-profile", "denoise-random", "derain-profile"),
        *("denoise-profile-clearer", "denoise-random-clearer", "derain-profile-clearer"),
    ]
    assert names(found, "runs") == [
        *(f"denoise-{method}-{sigma}-seed0" for method in ("irnas", "random") for sigma in levels),
        "denoise-irnas-r1-30-seed0",
        "denoise-irnas-r2-30-seed0",
        "denoise-irnas-r2-30-draw1-seed0",
        "denoise-irnas-r2-30-draw2-seed0",
        "denoise-irnas-of-derain-30-seed0",
        *(f"denoise-{method}-{sigma}-seed0" for method in ("clearer", "clearer-random") for sigma in levels),
        "derain-irnas-0-seed0",
        "derain-irnas-r1-0-seed0",
        "derain-irnas-r2-0-seed0",
        "derain-irnas-r2-0-draw1-seed0",
        "derain-irnas-r2-0-draw2-seed0",
        "derain-irnas-of-denoise-0-seed0",
        "derain-clearer-0-seed0",
        "derain-ddn-0-seed0",
        "derain-scan-0-seed0",
        "camera-irnas-of-denoise-0-seed0",
        "camera-irnas-of-derain-0-seed0",
    ]
    assert names(found, "scores") == ["denoise-classical-0", "denoise-bm3d-0", "derain-input-0", "camera-input-0"]
    assert names(found, "claims") == ["denoise", "derain"]


def test_the_small_study_has_no_more_than_the_denoising_networks_and_their_opponents():
    found = study.cells(load(PLAN), "small")

    assert names(found, "data") == ["denoise"]
    assert names(found, "searches") == ["denoise-profile", "denoise-profile-clearer"]
    assert names(found, "runs") == [
        f"denoise-{method}-{sigma}-seed0" for method in ("irnas", "clearer") for sigma in (30, 50, 70)
    ]
    assert names(found, "scores") == ["denoise-classical-0", "denoise-bm3d-0"]
    assert names(found, "claims") == ["denoise"]


def test_a_cell_names_what_it_waits_for():
    found = study.cells(load(PLAN), "demo")

    sources = {name.removeprefix("demo-"): cell["source"] for name, cell in (found["runs"] | found["scores"]).items()}
    assert sources["denoise-random-70-seed0"] == "runs/demo/search/denoise-random/genotype.json"
    assert sources["denoise-clearer-30-seed0"] == "runs/demo/search/denoise-profile-clearer/genotype.json"
    assert sources["denoise-clearer-random-30-seed0"] == "runs/demo/search/denoise-random-clearer/genotype.json"
    assert sources["derain-clearer-0-seed0"] == "runs/demo/search/derain-profile-clearer/genotype.json"
    assert sources["camera-irnas-of-derain-0-seed0"] == "runs/demo/search/derain-profile/genotype.json"
    assert sources["derain-ddn-0-seed0"] == "runs/demo/data/derain/split/split.json"  # a baseline waits for no search
    assert sources["denoise-bm3d-0"] == "runs/demo/extras/bm3d.json"
    assert sources["denoise-classical-0"] == "runs/demo/data/denoise/split/split.json"
    assert found["claims"]["demo-denoise"]["model"] == "denoise/irnas-50-seed0"
    assert found["claims"]["demo-derain"] == {
        "task": "derain",
        "model": "derain/irnas-0-seed0",
        "search": "derain-profile",
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings of the demo."""
    folder = tmp_path_factory.mktemp("settings")
    study.write_settings(PLAN, "demo", PROFILES, folder)
    return folder


def test_every_cell_has_its_settings(written):
    found = study.cells(load(PLAN), "demo")

    kinds = {"data": "data", "searches": "search", "runs": "train", "scores": "score", "claims": "claims"}
    expected = [f"{kinds[kind]}-{name}.yaml" for kind in kinds for name in names(found, kind)]
    assert sorted(path.name for path in written.iterdir()) == sorted([*expected, "page-all.yaml"])


@pytest.mark.parametrize(
    ("name", "sections", "modules"),
    [
        (
            "search-denoise-profile",
            ["search", "space", "strategy", "safety"],
            ["stages.search", "nasir.spaces.irnas", "nasir.spaces.cells.searching", "nasir.search.one_shot"],
        ),
        (
            "search-denoise-random",
            ["search", "space", "strategy", "safety"],
            ["stages.search", "nasir.spaces.irnas", "nasir.spaces.cells.searching", "nasir.search.random"],
        ),
        (
            "search-denoise-profile-clearer",
            ["search", "space", "strategy", "safety"],
            ["stages.search", "nasir.spaces.clearer", "nasir.spaces.resolutions.searching", "nasir.search.one_shot"],
        ),
        (
            "train-denoise-clearer-random-50-seed0",
            ["derive", "retrain", "tone", "network", "evaluate", "safety"],
            ["stages.tables.train", "nasir.spaces.clearer"],
        ),
        (
            "train-denoise-irnas-50-seed0",
            ["derive", "retrain", "tone", "network", "evaluate", "safety"],
            ["stages.tables.train", "nasir.spaces.irnas"],
        ),
        (
            "train-denoise-irnas-r1-30-seed0",
            ["derive", "retrain", "tone", "network", "evaluate", "safety"],
            ["stages.tables.train", "nasir.spaces.irnas", "nasir.spaces.cells.modify"],
        ),
        (
            "train-derain-ddn-0-seed0",
            ["derive", "retrain", "tone", "network", "evaluate", "safety"],
            ["stages.tables.train", "nasir.networks.ddn"],
        ),
        ("score-denoise-classical-0", ["evaluate"], ["stages.tables.score"]),
        ("page-all", [], ["stages.tables.page"]),
    ],
)
def test_settings_hold_what_the_cell_reads_and_the_digest_of_its_code(written, name, sections, modules):
    values = yaml.safe_load((written / f"{name}.yaml").read_text())

    assert list(values) == ["params", *sections, "cell", "code"]
    assert values["code"] == {name.partition("-")[0]: Code().digest(["stages.around.binding", *modules])}


def test_the_code_of_the_data_is_that_of_its_steps_and_their_checks(written):
    values = yaml.safe_load((written / "data-derain.yaml").read_text())

    assert list(values) == ["params", "download", "pair", "split", "audit", "cell", "code"]
    steps = [f"stages.{step}" for step in ("download", "pair", "split", "audit")]
    own = [*steps, "stages.around.binding", "stages.around.checking", "nasir.data.datasets.sample"]
    assert values["code"] == {"data": Code().digest(own)}


def test_data_set_noise_seed_and_profile_are_the_cells_own(written):
    params = read(written / "train-denoise-irnas-70-seed0.yaml").params
    assert (params.dataset, params.task, params.sigma, params.seed, params.profile) == (
        "sample",
        "denoise",
        70,
        0,
        "demo",
    )
    assert read(written / "train-derain-scan-0-seed0.yaml").params.noise == 0
    assert read(written / "search-denoise-random.yaml").search.strategy == "random"


def test_the_settings_of_a_task_are_its_own(written):
    # profiles/demo.yaml has steps of retraining, and other ones for the tasks derain and camera
    def steps(name: str) -> int:
        return read(written / f"train-{name}-seed0.yaml").section("retrain", RetrainConfig).steps

    demo = yaml.safe_load((PROFILES / "demo.yaml").read_text())
    of_task = [demo["tasks"][task]["retrain"]["steps"] for task in ("derain", "camera")]
    assert demo["retrain"]["steps"] not in of_task
    assert steps("denoise-irnas-50") == demo["retrain"]["steps"]
    assert [steps("derain-irnas-0"), steps("camera-irnas-of-derain-0")] == of_task


def test_a_network_trained_with_mse_alone_has_no_weight_of_ssim(tmp_path):
    study.write_settings(PLAN, "fast", PROFILES, tmp_path)  # the loss of the paper
    weights = {
        path.stem: yaml.safe_load(path.read_text())["retrain"]["ssim_weight"] for path in tmp_path.glob("train-*.yaml")
    }

    assert {name for name, weight in weights.items() if weight == 0} == {
        *(
            f"train-denoise-{method}-{sigma}-seed0"
            for method in ("irnas-mse", "clearer", "clearer-random")
            for sigma in (30, 50, 70)
        ),
        "train-derain-irnas-mse-0-seed0",
        "train-derain-clearer-0-seed0",
    }
    assert set(weights.values()) == {0, 0.5}


def test_a_modified_network_says_how_and_with_which_draw(written):
    derive = {
        path.stem.removeprefix("train-").removesuffix("-seed0"): yaml.safe_load(path.read_text())["derive"]
        for path in written.glob("train-derain-irnas-*.yaml")
    }

    assert derive["derain-irnas-r1-0"] == {"modify": "r1", "modify_seed": 0}
    assert derive["derain-irnas-r2-0-draw2"] == {"modify": "r2", "modify_seed": 2}
    assert derive["derain-irnas-of-denoise-0"] == {"modify": "none", "modify_seed": 0}


def test_the_protocols_of_the_matrix_are_those_of_the_found_network_at_one_level_alone(written):
    cells = {path.stem: yaml.safe_load(path.read_text())["cell"] for path in written.glob("train-*.yaml")}

    assert cells["train-denoise-irnas-50-seed0"] == {
        "method": "irnas",
        "draw": 0,
        "is_baseline": False,
        "protocols": ["whole", "overlap", *load(PLAN).matrix_protocols],
    }
    assert {"adjacent:100", "clearer:100", "clearer-patches:100"} <= set(load(PLAN).matrix_protocols)
    with_matrix = [name for name, cell in cells.items() if "adjacent:100" in cell["protocols"]]
    assert with_matrix == ["train-denoise-irnas-50-seed0"]
    assert {name for name, cell in cells.items() if cell["is_baseline"]} == {
        "train-derain-ddn-0-seed0",
        "train-derain-scan-0-seed0",
    }


def test_what_was_found_in_clearer_is_scored_under_both_protocols_of_its_table(written):
    cells = {path.stem: yaml.safe_load(path.read_text())["cell"] for path in written.glob("train-*-clearer-*.yaml")}

    protocols = {"denoise": ["whole", "clearer", "clearer-patches"], "derain": ["whole", "whole+y"]}
    assert len(cells) == 3 + 3 + 1
    assert all(cell["protocols"] == protocols[name.split("-")[1]] for name, cell in cells.items())


@pytest.mark.parametrize("profile", ["demo", "small", "fast", "paper"])
def test_every_cell_but_those_of_clearer_has_the_space_irnas(profile, tmp_path):
    study.write_settings(PLAN, profile, PROFILES, tmp_path)

    spaces = {path.stem: read(path).params.space for path in tmp_path.iterdir()}
    assert {name for name, space in spaces.items() if space == "clearer"} == {n for n in spaces if "clearer" in n}
    assert set(spaces.values()) == {"clearer", "irnas"}


def test_writing_again_gives_the_same_bytes(written, tmp_path):
    study.write_settings(PLAN, "demo", PROFILES, tmp_path)

    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
