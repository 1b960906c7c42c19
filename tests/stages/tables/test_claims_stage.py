"""What the paper claims in its text, measured: parameters, seconds, and the memory of a search in processes of its own."""

import dataclasses
from pathlib import Path

import little_run
import pytest
import torch
import yaml

from nasir.config.evaluate import EvaluateConfig
from nasir.config.reading import flat
from nasir.files import read_json, write_json, write_text
from nasir.inference import model
from nasir.networks import dncnn
from nasir.networks.baseline import Baseline
from stages.tables import claims

CONFIG = EvaluateConfig(protocols=("whole",), batch=3, tv_factors=(0.8,), nlm_factors=(0.8,), device="cpu")
PARAMS = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50, "space": "irnas"}
PARAMS |= {"seed": 0, "profile": "demo"}


class Small(torch.nn.Conv2d):
    """One convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, Path]:
    """Pictures, the found network, what the search wrote, and its receipt."""
    little_run.write_pictures(tmp_path, tests=1)
    model.save_baseline(tmp_path / "model", "dncnn", 1, "denoise", 50.0, {"best": Small(1).state_dict()})
    write_json(tmp_path / "search" / "search.json", {"steps": 200})
    bill = {"seconds": 72.0, "peak_memory_mib": 900.0, "device": "CPU x", "is_resumed": False}
    write_json(tmp_path / "cost.json", bill)
    return {name: tmp_path / name for name in ("pictures", "split", "model", "search")} | {
        "cost": tmp_path / "cost.json"
    }


def run(paths: dict[str, Path], out: Path, cell: dict, settings_file: Path = Path("unread")) -> dict:
    claims.run(
        **paths,
        settings_file=settings_file,
        out=out,
        cell=cell,
        task="denoise",
        seed=0,
        config=CONFIG,
        log=little_run.ignore,
    )
    return read_json(out)


@pytest.fixture(autouse=True)
def _small_baseline(monkeypatch):
    small = Baseline(task="denoise", build=Small, lr_max=0.1)
    monkeypatch.setattr(dncnn, "BASELINES", {"dncnn": small})


def test_claims_time_every_method_and_count_its_parameters(measured, tmp_path, monkeypatch):
    peaks = {"true": 100.0, "false": 250.0}  # by share_cells
    monkeypatch.setattr(claims, "_measure", lambda _, shared: {"peak_mib": peaks[shared], "what": "one iteration"})

    found = run(measured, tmp_path / "out" / "denoise.json", {"networks": ["dncnn"], "has_memory": True})

    assert found["parameters"] == {"irnas": 10, "dncnn": 10}  # 9 weights and a bias
    assert found["search"] == read_json(measured["cost"]) | {"steps": 200}
    assert found["memory"] == {"shared_mib": 100.0, "unshared_mib": 250.0, "what": "one iteration"}
    assert set(found["inference"]["seconds"]) == {"irnas", "tv", "nlm", "dncnn"}
    assert found["inference"]["image"] == "24x20"
    assert all(seconds > 0 for seconds in found["inference"]["seconds"].values())


@pytest.mark.slow
def test_memory_is_measured_in_processes_of_their_own_with_and_without_shared_cells(measured, tmp_path, monkeypatch):
    monkeypatch.setenv("NASIR_TRACKING", str(tmp_path / "tracking"))
    monkeypatch.setenv("NASIR_SEND", "later")
    larger = dataclasses.replace(little_run.SEARCH, batch=4, patch=64)  # than what the imports have taken before
    cells = dataclasses.replace(little_run.CELLS, nodes=2, width=8)
    settings = {"params": PARAMS, "search": flat(larger), "space": flat(cells)}
    write_text(tmp_path / "settings.yaml", yaml.safe_dump(settings))

    found = run(measured, tmp_path / "denoise.json", {"networks": [], "has_memory": True}, tmp_path / "settings.yaml")

    assert found["memory"]["what"] == "supernet and one update of its weights on 4 patches of 64x64, cpu"
    assert 10 < found["memory"]["shared_mib"] < found["memory"]["unshared_mib"]


def test_a_measurement_that_fails_is_told_with_what_it_said(measured, tmp_path):
    write_text(tmp_path / "settings.yaml", "space: {}\n")

    with pytest.raises(
        ValueError, match=r"memory of a search must be measured, got: error: .*settings.yaml must be what"
    ):
        run(measured, tmp_path / "denoise.json", {"networks": [], "has_memory": True}, tmp_path / "settings.yaml")
    assert not (tmp_path / "denoise.json").exists()
