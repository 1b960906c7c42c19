"""Configuration files are complete, typed, and refused with the key's name when they are not."""

from pathlib import Path

import pytest
import yaml

from nasir import config

ROOT = Path(__file__).parents[1]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def changed(tmp_path: Path, section: str, **changes: object) -> Path:
    """demo.yaml with some keys of one section set, or removed where the value is None."""
    profile = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    for key, value in changes.items():
        if value is None:
            del profile[section][key]
        else:
            profile[section][key] = value
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(profile))
    return path


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_every_section_of_every_shipped_profile_loads(profile):
    for section, cls in config.SECTIONS.items():
        assert isinstance(config.load(profile, section, cls), cls)


def test_the_shipped_params_are_the_demo_at_sigma_50():
    params = config.load_params(ROOT / "params.yaml")
    assert (params.profile, params.dataset, params.sigma) == ("demo", "sample", 50.0)


def test_the_paper_profile_has_the_printed_numbers():
    search = config.load(ROOT / "profiles/paper.yaml", "search", config.SearchConfig)
    assert (search.layers, search.nodes, search.width, search.width_factors) == (4, 5, 10, (1.0, 2.0, 4.0))
    assert (search.batch, search.patch, search.residual, search.ssim_weight) == (12, 64, False, 0.5)
    assert search.steps == 100 * round(147 * 35 / 12)  # 429 steps an epoch
    assert search.warmup_steps == search.steps * 20 // 100
    retrain = config.load(ROOT / "profiles/paper.yaml", "retrain", config.RetrainConfig)
    assert (retrain.steps, retrain.batch) == (600_000, 12)


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"changed.yaml: search must have exactly the keys .*; missing \['steps'\]"):
        config.load(changed(tmp_path, "search", steps=None), "search", config.SearchConfig)


def test_an_unknown_key_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"unknown \['stepps'\]"):
        config.load(changed(tmp_path, "search", stepps=3), "search", config.SearchConfig)


def test_an_unknown_section_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("serach: {}\n")
    with pytest.raises(ValueError, match=r"unknown \['serach'\]"):
        config.load(path, "search", config.SearchConfig)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("steps", 1.5, "steps must be a int, got 1.5"),
        ("steps", True, "steps must be a int, got True"),
        ("lr_max", "1e-3", "write 0.001"),
        ("width_factors", 1, "width_factors must be a list of float"),
        ("width_factors", [2, 1], "must be positive and ascending"),
        ("width_factors", [1, 1.1], "must be whole channels"),
        ("warmup_steps", 200, "warmup_steps must lie in 0 to steps - 1"),
        ("keep_from", 10, "keep_from must lie between"),
        ("device", "tpu", "device must be auto, cpu or cuda"),
        ("strategy", "evolution", r"strategy must be one of \['darts', 'random'\], got 'evolution'"),
        ("random_candidates", 0, "random_candidates must be 1 or more"),
        ("random_budget", 0, "random_budget must be above 0"),
    ],
)
def test_a_bad_value_is_named(tmp_path, key, value, message):
    with pytest.raises(ValueError, match=message):
        config.load(changed(tmp_path, "search", **{key: value}), "search", config.SearchConfig)


def test_a_missing_profile_names_its_neighbours():
    with pytest.raises(ValueError, match=r"nothing there; files beside it: \['demo', 'fast', 'paper', 'small'\]"):
        config.load(ROOT / "profiles/nosuch.yaml", "search", config.SearchConfig)


def test_params_refuse_a_negative_sigma(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("sigma: 50", "sigma: -5"))
    with pytest.raises(ValueError, match="sigma must be above 0"):
        config.load_params(path)


def test_changes_replace_params_and_the_keys_of_their_section_alone():
    changes = config.read_changes(["sigma=70", "search.strategy=random", "retrain.ssim_weight=0"])

    assert config.load_params(ROOT / "params.yaml", changes).sigma == 70.0
    search = config.load(ROOT / "profiles/demo.yaml", "search", config.SearchConfig, changes)
    assert (search.strategy, search.ssim_weight) == ("random", 0.5)
    assert config.load(ROOT / "profiles/demo.yaml", "retrain", config.RetrainConfig, changes).ssim_weight == 0.0


@pytest.mark.parametrize("text", ["sigma", "sgima=70", "search.stepps=3", "retrain=3"])
def test_a_change_of_what_no_file_has_is_refused_with_the_known_keys(text):
    with pytest.raises(ValueError, match=f"KEY=VALUE .* got '{text}'; keys are dataset, task, .*search.steps"):
        config.read_changes([text])


def test_a_change_to_another_type_is_named():
    with pytest.raises(ValueError, match="sigma must be a float, got 'loud'"):
        config.load_params(ROOT / "params.yaml", config.read_changes(["sigma=loud"]))


TRIAL = {
    "task": "derain", "method": "irnas", "draw": 0, "search": "derain", "modify": "none", "options": "", "protocols": "whole",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "demo"}, r"must leave the profile to study.yaml, got 'demo'"),
        ({"matrix_sigma": 40}, "matrix_sigma must be one of"),
        ({"with_controls": ["huge"]}, "with_controls must be some of"),
        ({"seeds": []}, "seeds must be 0 or more"),
        ({"trial_sigma": 40}, "trial_sigma must be one of"),
        ({"paired": ["denoise"]}, r"paired must be some of \['derain', 'camera'\], got \['denoise'\]"),
        ({"searched": ["derain"]}, r"a trial's search must be one of \['derain'\], got 'denoise'"),
        ({"trials": [TRIAL, TRIAL]}, r"trials must differ in task, method or draw, got \[\('derain', 'irnas', 0\)\]"),
        ({"trials": [TRIAL | {"modify": "r3"}]}, r"trials\[0\]: modify must be one of"),
        ({"trials": [{"task": "derain"}]}, r"trials\[0\] must have exactly the keys"),
    ],
)
def test_a_plan_of_the_tables_that_cannot_be_is_refused(tmp_path, change, message):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((ROOT / "tables/params.yaml").read_text()) | change))

    with pytest.raises(ValueError, match=message):
        config.load_tables(path, "demo")


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("study: {profile: huge}", r"profile must be one of \['demo', 'small', 'fast', 'paper'\], got 'huge'"),
        ("profile: demo", "profile must be a str, got None"),
        ("study: {profile: demo, all: [small]}", "got {'profile': 'demo', 'all': .* run make tables PROFILE=demo"),
    ],
)
def test_a_study_that_its_plan_does_not_have_is_refused(tmp_path, study, message):
    (tmp_path / "params.yaml").write_text((ROOT / "tables/params.yaml").read_text())
    (tmp_path / "study.yaml").write_text(study)

    with pytest.raises(ValueError, match=message):
        config.load_tables(tmp_path / "params.yaml")
