"""A space and a strategy are one file each: two that stand in toys/ run through every stage, with nothing else changed."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import checkout
import numpy as np
import pytest
import torch
import yaml
from checkout import TINY
from picture_folder import list_pictures

import nasir.search
import nasir.spaces
from nasir import plugins
from nasir.code import Code
from nasir.config import reading
from nasir.config.split import SplitConfig
from nasir.data.pictures.images import save_png
from nasir.files import read_csv, read_json
from nasir.inference import model
from nasir.settings import Settings, resolve
from nasir.spaces import contract
from stages import derive, retrain, search, split
from stages.around import entries, runner

ROOT = Path(__file__).parents[1]
TOYS = Path(__file__).parent / "toys"
PAIRS = [("toy_space", "toy_strategy"), ("irnas", "toy_strategy"), ("toy_space", "random")]


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both folders of plug-ins hold a toy, too."""
    for package, name in ((nasir.spaces, "toy_space"), (nasir.search, "toy_strategy")):
        folder = tmp_path / "plugins" / name
        folder.mkdir(parents=True)
        shutil.copy(TOYS / f"{name}.py", folder)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    for package, name in ((nasir.spaces, "toy_space"), (nasir.search, "toy_strategy")):
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Five little pictures, their split, and the tiny profile."""
    rng = np.random.default_rng(0)
    for i in range(5):
        low = rng.integers(0, 256, (5, 6))
        save_png(tmp_path / f"pictures/train/{i}.png", np.kron(low, np.ones((4, 4))).astype(np.uint8))
    list_pictures(tmp_path / "pictures", [f"train/{i}" for i in range(5)])
    shares = SplitConfig(w=0.49, a=0.49, v=0.02, exclude_leaks=True, exclude_elsewhere=True)
    split.run(pictures=tmp_path / "pictures", out=tmp_path / "split", seed=0, config=shares, log=ignore)
    write_profiles(tmp_path / "profiles")
    return tmp_path


def write_profiles(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "base.yaml").write_text((ROOT / "profiles/base.yaml").read_text())
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))


def ignore(step: int, news: dict[str, float]) -> None:
    pass


def settings(place: Path, space: str, strategy: str, **params: Any) -> Settings:
    chosen = reading.read(ROOT / "params.yaml") | {"profile": "tiny", "space": space} | params
    return Settings(resolve(chosen, place / "profiles", strategy), "settings.yaml")


def run(
    step: str, place: Path, chosen: Settings, monkeypatch: pytest.MonkeyPatch, log=ignore, **options: Path | None
) -> None:
    """A stage as the command line runs it, with another log; where the toys lie no digest is taken."""
    module = {"search": search, "derive": derive, "retrain": retrain}[step]
    monkeypatch.setattr(entries, "digest", lambda *given: "0" * 64)
    module.run(**runner.bind(step, module, chosen, options) | {"log": log})


def run_search(place: Path, chosen: Settings, out: str, monkeypatch: pytest.MonkeyPatch, log=ignore) -> None:
    common = {"pictures": place / "pictures", "split": place / "split"}
    run("search", place, chosen, monkeypatch, log, **common, checkpoint=place / f"{out}.pt", out=place / out)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("space", "strategy"), PAIRS)
def test_a_toy_goes_the_whole_way(toys, place, monkeypatch, space, strategy):
    chosen = settings(place, space, strategy)
    run_search(place, chosen, "search", monkeypatch)
    run("derive", place, chosen, monkeypatch, search=place / "search", out=place / "derive")
    run(
        "retrain", place, chosen, monkeypatch, pictures=place / "pictures", split=place / "split", network=None, start=None,
        genotype=place / "derive/genotype.json", checkpoint=place / "retrain.pt", out=place / "retrain",
    )  # fmt: skip

    found = read_json(place / "search/search.json")
    assert (found["space"], found["strategy"]) == (space, strategy)
    genotype = read_json(place / "derive/genotype.json")
    assert genotype == read_json(place / "search/genotype.json") and genotype["space"] == space
    assert {"architecture.svg", "architecture.png"} <= set(files(place / "derive"))
    denoise = model.load(place / "retrain/model")
    assert denoise(torch.rand(1, 1, 20, 24), 50).shape == (1, 1, 20, 24)
    described = model.describe(place / "retrain/model")
    assert described["genotype"] == genotype
    sizes = reading.build(described["sizes"], chosen.space.Sizes, "sizes")
    assert sizes == chosen.of_network
    assert chosen.space.describe(chosen.space.from_json(genotype), sizes).endswith(".")


def test_the_best_of_the_candidates_is_what_was_found(toys, place, monkeypatch):
    run_search(place, settings(place, "toy_space", "toy_strategy"), "search", monkeypatch)

    candidates = read_json(place / "search/candidates.json")
    best = max(candidates, key=lambda one: one["score"])
    assert len(candidates) == 3  # `walk` of the strategy's own preset for the profile tiny
    assert read_json(place / "search/genotype.json") == best["genotype"]
    assert {row["metric"] for row in read_csv(place / "search/history.csv")} >= {"train_loss", "score", "psnr_db"}


@pytest.mark.parametrize("space", ["toy_space", "irnas"])
def test_a_search_of_the_toy_that_was_killed_carries_on_to_the_same_bytes(toys, place, monkeypatch, space):
    class Killed(Exception):
        """What stands in for SIGKILL."""

    def killed(step: int, news: dict[str, float]) -> None:
        if step == 2:  # before this try is kept
            raise Killed("at step 2")

    chosen = settings(place, space, "toy_strategy")
    run_search(place, chosen, "whole", monkeypatch)
    with pytest.raises(Killed, match="at step 2"):
        run_search(place, chosen, "killed", monkeypatch, killed)
    assert (place / "killed.pt").exists()
    run_search(place, chosen, "killed", monkeypatch)

    assert files(place / "killed") == files(place / "whole")


def test_presets_of_the_toys_are_their_settings_and_a_profile_stands_above_them(toys, place):
    chosen = settings(place, "toy_space", "toy_strategy")
    assert (chosen.of_space.layers, chosen.of_space.width, chosen.of_network.width) == (3, 2, 6)
    assert chosen.of_strategy.walk == 3

    named = TINY | {"space": {"toy_space": {"layers": 5}}, "strategy": {"toy_strategy": {"walk": 2}}}
    (place / "profiles/tiny.yaml").write_text(yaml.safe_dump(named))
    chosen = settings(place, "toy_space", "toy_strategy")
    assert (chosen.of_space.layers, chosen.of_space.width, chosen.of_strategy.walk) == (5, 2, 2)


def test_the_differentiable_search_says_that_the_toy_has_no_supernet(toys, place, monkeypatch):
    with pytest.raises(ValueError, match="strategy darts needs a space with a supernet, got toy_space, which has none"):
        run_search(place, settings(place, "toy_space", "darts"), "search", monkeypatch)


def test_the_toy_has_nothing_to_modify(toys, place, monkeypatch):
    chosen = settings(place, "toy_space", "random")
    run_search(place, chosen, "search", monkeypatch)
    chosen.values["derive"]["modify"] = "r1"
    with pytest.raises(ValueError, match=r"derive\.modify must be none with the space toy_space, got 'r1'"):
        run("derive", place, chosen, monkeypatch, search=place / "search", out=place / "derive")


def test_a_space_is_known_by_its_file(toys):
    assert contract.names() == ["clearer", "hinas", "irnas", "nekrasov", "toy_space"]
    assert contract.find("toy_space").name == "toy_space"
    with pytest.raises(
        ValueError, match=r"must be one of \['clearer', 'hinas', 'irnas', 'nekrasov', 'toy_space'\], got 'toys'"
    ):
        contract.find("toys")


def copy_code(root: Path) -> None:
    """This project's code, and the two files in their folders."""
    for package in ("nasir", "stages"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    drop(root)


def drop(root: Path) -> None:
    shutil.copy(TOYS / "toy_space.py", root / "nasir/spaces")
    shutil.copy(TOYS / "toy_strategy.py", root / "nasir/search")


def test_every_module_that_a_run_names_by_text_is_among_its_entries(toys, place, monkeypatch, tmp_path):
    """What `nasir.code` cannot see: modules that are imported by a name that is no import."""
    copy_code(tmp_path / "copy")
    code = Code(tmp_path / "copy")
    named: list[str] = []
    for module in (plugins, contract):
        real = module.import_module
        monkeypatch.setattr(module, "import_module", lambda name, real=real: (named.append(name), real(name))[1])
    for space, strategy in [*PAIRS, ("hinas", "darts")]:
        chosen = settings(place, space, strategy)
        options = {"pictures": place / "pictures", "split": place / "split"}
        for step, more in {
            "search": options | {"checkpoint": place / "s.pt", "out": place / "search"},
            "derive": {"search": place / "search", "out": place / "derive"},
            "retrain": options
            | {"genotype": place / "derive/genotype.json", "network": None, "start": None}
            | {"checkpoint": place / "r.pt", "out": place / "retrain"},
        }.items():
            allowed = set(code.reached(entries.entries(step, chosen)))
            named.clear()
            with monkeypatch.context() as within:
                run(step, place, chosen, within, **more)
            assert set(named) <= allowed and f"nasir.spaces.{space}" in named, f"{step} of {space} by {strategy}"
        allowed = set(code.reached(entries.entries("evaluate", chosen)))
        named.clear()
        model.load(place / "retrain/model")
        assert set(named) <= allowed


def test_a_toy_changes_the_digests_of_its_own_runs_alone(toys, place, tmp_path):
    root = tmp_path / "copy"
    copy_code(root)
    toy, other = settings(place, "toy_space", "toy_strategy"), settings(place, "irnas", "darts")

    def made() -> tuple[dict[str, str], dict[str, str]]:
        code = Code(root)
        own, others = ({s: entries.digest(s, run, code=code) for s in entries.STEPS} for run in (toy, other))
        return own, others

    before, others = made()
    path = root / "nasir/search/toy_strategy.py"
    path.write_text(path.read_text() + "\nONE_MORE = None\n")
    after, others_after = made()
    assert {step for step in before if before[step] != after[step]} == {"search"}

    path = root / "nasir/spaces/toy_space.py"
    path.write_text(path.read_text() + "\nONE_MORE = None\n")
    last, others_last = made()
    changed = {step for step in after if after[step] != last[step]}
    assert changed == {"search", "derive", "retrain", "evaluate", "report"}
    assert others == others_after == others_last


@pytest.mark.slow
def test_the_two_files_are_all_that_the_pipeline_needs(tmp_path):
    place = tmp_path / "checkout"
    profile = TINY | {"search": TINY["search"] | {"strategy": "toy_strategy"}}
    environment = checkout.make(place, profile, space="toy_space")
    drop(place)
    checkout.call(place, environment, "dvc", "repro")

    report = (place / "reports/report.md").read_text()
    assert "search space `toy_space`" in report and "A toy_space chain of 3 convolutions" in report
    assert read_json(place / "runs/search/search.json")["strategy"] == "toy_strategy"
    assert (place / "reports/figures/architecture.png").is_file()

    for path in (place / "nasir/spaces/toy_space.py", place / "nasir/search/random.py"):
        path.write_text(path.read_text().replace("\n", "  # why\n", 1) + "\n# sources\n")
    (place / "nasir/networks/another.py").write_text("BASELINES = {}\n")
    again = checkout.call(place, environment, "dvc", "repro")
    ran = [line for line in again.splitlines() if line.startswith("Running stage")]
    assert ran == ["Running stage 'settings':"]
