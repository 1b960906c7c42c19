"""Params, a profile and what space and strategy bring come to one mapping; what does not fit is refused and named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nasir import settings
from nasir.config import reading
from nasir.config.evaluate import EvaluateConfig
from nasir.config.retrain import RetrainConfig
from nasir.search import darts, one_shot, random, rl
from nasir.settings import SECTIONS as ALL
from nasir.settings import Settings, change, merge, read, resolve
from nasir.spaces import irnas
from nasir.spaces.cells.section import CellsSection, CellsSizes

ROOT = Path(__file__).parents[1]
PARAMS = reading.read(ROOT / "params.yaml")
SHIPPED = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml") if path.stem != settings.BASE)


def resolved(profiles: Path = ROOT / "profiles", strategy: str | None = None, **params: Any) -> Settings:
    return Settings(resolve(PARAMS | params, profiles, strategy), "settings.yaml")


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """The shipped base alone."""
    (tmp_path / "base.yaml").write_text((ROOT / "profiles/base.yaml").read_text())
    return tmp_path


def own(profiles: Path, text: str, base: str | None = None) -> Path:
    """A profile `own` of this text; with `base`, that base."""
    (profiles / "own.yaml").write_text(text)
    if base is not None:
        (profiles / "base.yaml").write_text(base)
    return profiles


def test_the_shipped_profiles_are_the_seven():
    assert SHIPPED == ["clearer", "clearer-released", "demo", "fast", "overnight", "paper", "small"]


SECTIONS = {
    "darts": darts.DartsSection,
    "one_shot": one_shot.OneShotSection,
    "random": random.RandomSection,
    "rl": rl.RlSection,
}


@pytest.mark.parametrize("strategy", SECTIONS)
@pytest.mark.parametrize("task", ["denoise", "derain", "camera", "deblur"])
@pytest.mark.parametrize("space", ["irnas", "hinas"])
@pytest.mark.parametrize("profile", SHIPPED)
def test_every_profile_resolves_for_every_space_task_and_strategy(profile, space, task, strategy):
    found = resolved(profile=profile, space=space, task=task, strategy=strategy)

    for name, cls in ALL.items():
        assert isinstance(found.section(name, cls), cls)
    assert isinstance(found.of_space, CellsSection) and isinstance(found.of_network, CellsSizes)
    assert isinstance(found.of_strategy, SECTIONS[strategy])
    assert (found.space.name, found.strategy.name, found.search.strategy) == (space, strategy, strategy)
    assert list(found.values) == ["params", *ALL, "space", "network", "strategy"]


def test_the_paper_profile_has_the_printed_numbers():
    found = resolved(profile="paper")
    search, space = found.search, found.of_space
    assert (space.layers, space.nodes, space.width, space.width_factors) == (4, 5, 10, (1.0, 2.0, 4.0))
    assert (search.batch, search.patch, space.residual, search.ssim_weight) == (12, 64, False, 0.5)
    assert search.steps == 100 * round(147 * 35 / 12)  # 429 steps an epoch
    assert search.warmup_steps == search.steps * 20 // 100
    assert (found.of_strategy.architecture_lr, found.of_strategy.keep_from) == (0.001, search.steps * 60 // 100)
    retrain = found.section("retrain", RetrainConfig)
    assert (retrain.steps, retrain.batch) == (600_000, 12)


def test_the_profiles_of_clearer_differ_where_its_code_contradicts_the_paper():
    paper, code = (resolved(profile=name, space="clearer") for name in ("clearer", "clearer-released"))
    differing = {
        f"{part}.{key}"
        for part, values in paper.values.items()
        for key, value in values.items()
        if code.values[part][key] != value
    }
    assert differing == {
        "params.profile", "search.noise", "retrain.noise", "space.aliasing", "strategy.architecture_weight_decay",
        "strategy.complexity",
    }  # fmt: skip
    search, retrain = paper.search, paper.section("retrain", RetrainConfig)
    assert (search.steps, search.warmup_steps, search.epoch) == (200 * 50, 10 * 50, 50)
    assert (retrain.steps, retrain.epoch, retrain.lr_max) == (1000 * 100, 100, 0.01)
    rain = resolved(profile="clearer", space="clearer", task="derain").section("retrain", RetrainConfig)
    assert (rain.steps, rain.epoch, rain.lr_max) == (2000 * 100, 100, 0.002)
    assert (paper.of_space.widths, paper.of_space.columns) == ((32, 64, 128, 256), (4, 4, 4))


def test_rain_has_three_cells_of_four_nodes_as_the_paper_has():
    space = resolved(profile="paper", task="derain").of_space
    assert (space.layers, space.nodes) == (3, 4)


def test_differences_are_merged_mapping_by_mapping_and_lists_are_replaced():
    base = {"a": {"b": {"c": 1, "d": 2}, "e": [1, 2]}, "f": 3}

    assert merge(base, {"a": {"b": {"d": 4}, "e": [5]}, "g": 6}) == {
        "a": {"b": {"c": 1, "d": 4}, "e": [5]},
        "f": 3,
        "g": 6,
    }
    assert base == {"a": {"b": {"c": 1, "d": 2}, "e": [1, 2]}, "f": 3}  # is left as it was


def test_a_profile_is_a_difference_to_the_base(profiles):
    found = resolved(own(profiles, "search: {batch: 6}\nevaluate: {tv_factors: [0.5]}\n"), profile="own")

    assert (found.search.batch, found.search.patch) == (6, 64)  # its own, the base's
    assert found.section("evaluate", EvaluateConfig).tv_factors == (0.5,)


def test_a_profile_may_differ_from_another_one(profiles):
    (profiles / "other.yaml").write_text("search: {batch: 6, patch: 32}\ntasks: {derain: {search: {steps: 9000}}}\n")
    own(profiles, "from: other\nsearch: {patch: 48}\n")

    found = resolved(profiles, profile="own", task="derain")

    assert (found.search.batch, found.search.patch, found.search.steps) == (6, 48, 9000)
    assert "from" not in found.values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from: own", r"from must name a profile that this one differs from, other than own, got 'own'"),
        ("from: third", r"from must name a profile .*, other than own, third, got 'own'"),
        ("from: 3", r"from must name a profile .*, got 3"),
        ("from: nowhere", r"nowhere.yaml"),
    ],
)
def test_a_circle_of_profiles_is_refused(profiles, text, message):
    (profiles / "third.yaml").write_text("from: own")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        resolved(own(profiles, text), profile="own")


def test_what_a_task_has_otherwise_stands_above_the_profile(profiles):
    text = "search: {batch: 6}\ntasks: {derain: {search: {batch: 4}, strategy: {darts: {patience: 3}}}}\n"
    own(profiles, text)

    rain, noise = resolved(profiles, profile="own", task="derain"), resolved(profiles, profile="own")

    assert (rain.search.batch, rain.of_strategy.patience, rain.search.sigmas) == (
        4,
        3,
        (0.0,),
    )  # the last from the base
    assert (noise.search.batch, noise.of_strategy.patience, noise.search.sigmas) == (6, 10, (30.0, 50.0, 70.0))


def test_what_a_space_has_otherwise_stands_above_the_profile_and_below_the_task(profiles):
    text = (
        "search: {batch: 6}\ntasks: {derain: {search: {batch: 4, patch: 32}}}\n"
        "spaces: {clearer: {search: {batch: 3, val_crop: 64}, strategy: {darts: {patience: 3}}}}\n"
    )
    own(profiles, text)

    columns = resolved(profiles, profile="own", task="derain", space="clearer")
    cells = resolved(profiles, profile="own", task="derain")

    assert (columns.search.batch, columns.search.patch, columns.search.val_crop) == (4, 32, 64)
    assert columns.of_strategy.patience == 3
    assert (cells.search.batch, cells.search.patch, cells.of_strategy.patience) == (4, 32, 10)
    assert "spaces" not in columns.values


def test_of_spaces_and_strategies_only_the_chosen_ones_sections_are_kept():
    values = resolved(strategy="random").values

    base, demo = (reading.read(ROOT / f"profiles/{name}.yaml")["strategy"]["random"] for name in ("base", "demo"))
    assert values["strategy"] == base | demo
    assert "cells" not in values["space"] and values["space"]["layers"] == 3
    assert values["search"]["strategy"] == "random"


class Elsewhere:
    """A space that stands in no profile."""

    name = "irnas"
    settings = "elsewhere"
    Section = CellsSection
    Sizes = CellsSizes
    presets = {  # noqa: RUF012 -- stands in for a ClassVar
        "base": {"space": resolved(profile="fast").values["space"] | {"layers": 7}, "network": {"width": 9}},
        "demo": {
            "space": {"nodes": 1},
            "network": {"stem_channels": 5, "aspp_channels": 0, "aspp_rates": [2]},
        },
    }


def test_presets_are_used_where_no_profile_has_a_section_by_profile_over_base(monkeypatch):
    monkeypatch.setattr(irnas, "SPACE", Elsewhere())

    found = resolved(profile="demo")

    assert (found.of_space.layers, found.of_space.nodes, found.of_space.width) == (7, 1, 10)
    assert found.of_network == CellsSizes(width=9, stem_channels=5, aspp_channels=0, aspp_rates=(2,))


def test_a_profile_that_names_the_space_stands_above_its_presets(monkeypatch, profiles):
    class Named(Elsewhere):
        settings = "cells"  # which the base has

    monkeypatch.setattr(irnas, "SPACE", Named())

    found = resolved(own(profiles, "space: {cells: {layers: 3}}"), profile="own")

    base = yaml.safe_load((profiles / "base.yaml").read_text())
    assert found.of_space.layers == 3  # own.yaml's
    assert found.of_network.width == base["network"]["cells"]["width"] != 9  # not the preset's


def test_presets_of_a_strategy_are_used_by_profile_over_base(monkeypatch, profiles):
    base = yaml.safe_load((profiles / "base.yaml").read_text())
    others = {name: section for name, section in base["strategy"].items() if name != "random"}
    own(profiles, "{}", yaml.safe_dump(base | {"strategy": others}))

    class Brought(random.Random):
        presets = {  # noqa: RUF012
            "base": {"strategy": base["strategy"]["random"] | {"candidates": 5, "budget": 2}},
            "own": {"strategy": {"budget": 0.5}},
        }

    monkeypatch.setattr(random, "STRATEGY", Brought())

    section = resolved(profiles, "random", profile="own").of_strategy

    assert (section.candidates, section.budget) == (5, 0.5)


def test_a_space_without_section_and_presets_is_refused_by_its_missing_keys(monkeypatch):
    class Silent(Elsewhere):
        presets = {}  # noqa: RUF012

    monkeypatch.setattr(irnas, "SPACE", Silent())

    with pytest.raises(ValueError, match=r"space must have exactly the keys .*; missing \['layers', 'nodes'"):
        resolved()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "serach: {}",
            r"own.yaml may have the sections \['download', .*'tasks', 'spaces', 'from'\], got the unknown \['serach'\]; remove",
        ),
        ("search: {stepps: 3}", r"own.yaml: search must have exactly the keys .*; unknown \['stepps'\]"),
        ("search: {steps: 1.5}", r"own.yaml: search: steps must be a int, got 1.5"),
        ("search: {lr_max: 1e-3}", r"search: lr_max must be a float, got '1e-3' \(YAML reads 1e-3 as text"),
        ("split: 3", r"own.yaml: split must be a mapping of keys to values, got 3"),
        ("space: 3", r"a profile's space must hold a mapping of keys for each name, got 3; correct it"),
        ("network: {cells: 3}", r"network must hold a mapping of keys for each name, got {'cells': 3, .*}"),
        (
            "tasks: {denoise: {strategy: [darts]}}",
            r"strategy must hold a mapping of keys for each name, got \['darts'\]",
        ),
        ("space: {cells: {layers: x}}", r"own.yaml: space: layers must be a int, got 'x'"),
        ("space: {cells: {layerss: 3}}", r"space must have exactly the keys .*; unknown \['layerss'\]"),
        ("network: {cells: {width: 0}}", r"network: network.width must be 1 or more and at most 16384, got 0"),
        ("strategy: {darts: {order: 5}}", r"strategy: strategy.order must be 1 or 2, got 5"),
        ("strategy: {darts: {optimiser: adam}}", r"strategy.optimiser must be one of .*'sgd', 'adamw'.*, got 'adam'"),
        (
            "strategy: {darts: {order: 2, optimiser: adamw}}",
            r"strategy.optimiser must be sgd where strategy.order is 2",
        ),
        ("strategy: {darts: {optimiser: adamw, lr_max: 0}}", r"strategy.lr_max must be above 0 and at most 100, got 0"),
        ("strategy: {random: {order: 5}}", None),  # of another strategy: not looked at
        ("strategy: {darts: {keep_from: 10}}", r"strategy.keep_from must lie between search.warmup_steps .*got 10"),
        (
            "space: {spheres: {}}",
            r"space and network may have the sections \['cells', 'columns', 'contextual'\], got 'spheres'; remove it",
        ),
        ("network: {spheres: {}}", r"may have the sections \['cells', 'columns', 'contextual'\], got 'spheres'"),
        (
            "strategy: {evolution: {}}",
            r"search.strategy must be one of \['darts', 'one_shot', 'random', 'rl'\], got 'evolution'",
        ),
        (
            "search: {strategy: evolution}",
            r"search.strategy must be one of \['darts', 'one_shot', 'random', 'rl'\], got 'evolution'",
        ),
        (
            "tasks: {dehaze: {}}",
            r"must have a section 'tasks' with the keys \['denoise', 'derain', 'camera', 'deblur'\]",
        ),
        ("tasks: 3", r"must have a section 'tasks' with the keys .*got 3"),
        (
            "tasks: {denoise: {serach: {}}}",
            r"tasks.denoise must hold some of the sections .*got {'serach': {}}; correct",
        ),
        ("spaces: 3", r"own.yaml: spaces must hold sections for each space, got 3; correct it"),
        ("spaces: {spheres: {}}", r"space must be one of .*'clearer', 'hinas', 'irnas'.*, got 'spheres'"),
        ("spaces: {irnas: {serach: {}}}", r"spaces.irnas must hold some of the sections .*got {'serach': {}}; correct"),
        ("tasks: {denoise: {search: {stepps: 3}}}", r"search must have exactly the keys .*; unknown \['stepps'\]"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused_and_named(profiles, text, message):
    own(profiles, text)
    if message is None:
        assert resolved(profiles, profile="own").search.strategy == "darts"
        return
    with pytest.raises(ValueError, match=message):
        resolved(profiles, profile="own")


def test_a_missing_key_and_a_missing_section_are_named(profiles):
    base = yaml.safe_load((profiles / "base.yaml").read_text())
    del base["search"]["steps"]
    with pytest.raises(ValueError, match=r"own.yaml: search must have exactly the keys .*; missing \['steps'\]"):
        resolved(own(profiles, "{}", yaml.safe_dump(base)), profile="own")

    base = yaml.safe_load((ROOT / "profiles/base.yaml").read_text())
    del base["audit"]
    with pytest.raises(ValueError, match=r"own.yaml must have a section 'audit', got .*; add it"):
        resolved(own(profiles, "{}", yaml.safe_dump(base)), profile="own")


def test_a_missing_profile_names_its_neighbours():
    near = r"\['base', 'clearer', 'clearer-released', 'demo', 'fast', 'overnight', 'paper', 'small'\]"
    with pytest.raises(ValueError, match=rf"profiles/nosuch.yaml, got nothing there; files beside it: {near}"):
        resolved(profile="nosuch")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"space": "spheres"},
            r"space must be one of \['clearer', 'hinas', 'irnas', 'nekrasov'\], got 'spheres'; correct it, or add the file",
        ),
        ({"sigma": -5}, "params.yaml: sigma must be above 0"),
        ({"sigma": 256}, "params.yaml: sigma must be above 0 and at most 255 .*, got 256.0"),
        ({"sigma": 10**400}, "params.yaml: sigma must be a number of at most 9223372036854775807, got a larger one"),
        ({"seed": 2**64}, "params.yaml: seed must be a number of at most 9223372036854775807, got a larger one"),
        ({"sgima": 5}, r"params.yaml must have exactly the keys .*; unknown \['sgima'\]"),
        ({"sigma": "loud"}, "params.yaml: sigma must be a float, got 'loud'"),
    ],
)
def test_params_that_do_not_fit_are_refused_and_named(params, message):
    with pytest.raises(ValueError, match=message):
        resolved(**params)


def test_an_unknown_strategy_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"search.strategy must be one of \['darts', 'one_shot', 'random', 'rl'\], got 'evolution'"
    ):
        resolved(strategy="evolution")


def test_changes_replace_params_and_the_keys_of_their_section_alone():
    values = resolved().values

    found = change(
        values, ["sigma=70", "search.batch=4", "retrain.ssim_weight=0.25", "space.width_factors=[1, 3]"], "here"
    )

    assert (found.params.sigma, found.search.batch, found.search.ssim_weight) == (70.0, 4, 0.0)
    assert found.section("retrain", RetrainConfig).ssim_weight == 0.25
    assert found.of_space.width_factors == (1.0, 3.0)
    assert (values["params"]["sigma"], values["search"]["batch"]) == (50, 8)  # what was changed is a copy


@pytest.mark.parametrize(
    "text", ["sigma", "sgima=70", "search.stepps=3", "retrain=3", "code.search=0", "params.sigma=3", "cell.method=x"]
)
def test_a_change_of_what_no_file_has_is_refused_with_the_known_keys(text):
    values = resolved(strategy="darts").values | {"code": {"search": "0" * 64}, "cell": {"method": "irnas"}}
    known = "keys are dataset, task, .*search.steps.*space.layers.*strategy.order"

    with pytest.raises(ValueError, match=f"KEY=VALUE .* got '{text}'; {known}") as refused:
        change(values, [text], "here")
    assert "code." not in str(refused.value).partition("; keys")[2]


def test_a_change_to_another_type_is_named_when_it_is_read():
    with pytest.raises(ValueError, match="here: params: sigma must be a float, got 'loud'"):
        _ = change(resolved().values, ["sigma=loud"], "here").params


@pytest.mark.parametrize("text", ["search.sigmas=[30", "sigma='5", "search.noise={a: 1, a: 2}", "seed=" + "9" * 5000])
def test_a_change_whose_value_is_no_yaml_is_named(text):
    with pytest.raises(ValueError, match=r"the value of --set .* must ") as refused:
        change(resolved().values, [text], "here")
    assert "\n" not in str(refused.value) and text[:20] in str(refused.value)


@pytest.mark.parametrize("params", ["null", "5", "[1]"])
def test_a_settings_file_whose_params_are_no_mapping_is_refused(tmp_path, params):
    (tmp_path / "settings.yaml").write_text(f"params: {params}\n1: x\n")

    with pytest.raises(ValueError, match=r"settings.yaml must be what `python -m stages settings` wrote, got the keys"):
        read(tmp_path / "settings.yaml", ["seed=3"])


def test_keys_that_are_no_text_are_named_as_they_are():
    with pytest.raises(ValueError, match=r"--set takes KEY=VALUE .*, got 'seed=3'; keys are 5, True\."):
        change({"params": {5: 1, True: 2}, "search": None}, ["seed=3"], "here")


def test_a_settings_file_is_read_back_with_its_changes(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(resolved().values))

    assert read(path).values == resolved().values
    assert read(path, ["seed=3"]).params.seed == 3


def test_a_file_that_is_no_settings_file_is_refused(tmp_path):
    (tmp_path / "demo.yaml").write_text("search: {}")

    with pytest.raises(
        ValueError, match=r"demo.yaml must be what `python -m stages settings` wrote, got the keys \['se"
    ):
        read(tmp_path / "demo.yaml")
