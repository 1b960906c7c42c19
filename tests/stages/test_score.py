"""The cells of the paper's tables: what one holds, what it refuses, what it says when it cannot run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folder import list_pictures
from scipy.ndimage import gaussian_filter

from nasir.config import EvaluateConfig
from nasir.data.collection import load_grey, to_clean
from nasir.data.images import save_png
from nasir.evaluation import classical, protocols
from nasir.files import read_csv, read_json, write_json
from nasir.networks import catalogue
from nasir.training import model
from stages import claims, reasons, score

PARTS = {"w": ["train/w"], "a": ["train/a"], "v": ["train/v"], "test": ["test/1", "test/2", "test/3"]}
CONFIG = EvaluateConfig(protocols=("whole",), batch=3, tv_factors=(0.01, 0.8), nlm_factors=(0.01, 0.8), device="cpu")


def ignore(step: int, values: dict[str, float]) -> None:
    """Take news and drop it."""


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Six smooth images and a split."""
    images = tmp_path / "images"
    names = [name for part in PARTS.values() for name in part]
    for number, name in enumerate(names):
        texture = gaussian_filter(np.random.default_rng(number).random((70 + number, 80)), 1 + number)
        stretched = (texture - texture.min()) / (texture.max() - texture.min())
        save_png(images / f"{name}.png", np.rint(255 * stretched).astype(np.uint8))
    list_pictures(images, names)
    write_json(tmp_path / "split" / "split.json", {"seed": 0, **PARTS})
    return {"images": images, "split": tmp_path / "split"}


@pytest.fixture(autouse=True)
def _leave_determinism_as_it_was():
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def run(folders: dict[str, Path], out: Path, method: str, plan: list[str], **further: Path | None) -> None:
    paths = {"model": None, "extras": None} | further
    score.run(
        **folders,
        **paths,
        method=method,
        plan=plan,
        out=out,
        task="denoise",
        sigma=50,
        seed=0,
        config=CONFIG,
        log=ignore,
    )


def test_a_cell_holds_the_scores_of_every_protocol_and_image(folders, tmp_path):
    run(folders, tmp_path / "out", "noisy", ["whole", "half"])

    rows, cell = read_csv(tmp_path / "out" / "scores.csv"), read_json(tmp_path / "out" / "cell.json")
    assert [(row["protocol"], row["name"]) for row in rows] == [
        (p, n) for p in ("whole", "half") for n in PARTS["test"]
    ]
    clean = {name: to_clean(image) for name, image in load_grey(folders["images"], PARTS["test"]).items()}
    expected = protocols.score(classical.identity, clean, 50, "half", 0)
    assert [float(row["psnr_db"]) for row in rows[3:]] == [one.psnr_db for one in expected]
    assert (cell["method"], cell["images"], cell["reason"]) == ("noisy", 3, None)
    assert set(cell["seconds_per_image"]) == {"whole", "half"}


def test_a_number_after_a_protocol_draws_the_same_images_for_every_method(folders, tmp_path):
    for method in ("noisy", "tv"):
        run(folders, tmp_path / method, method, ["whole", "half:2"])

    drawn = {
        method: [row["name"] for row in read_csv(tmp_path / method / "scores.csv") if row["protocol"] == "half"]
        for method in ("noisy", "tv")
    }
    assert len(drawn["noisy"]) == 2 and drawn["noisy"] == drawn["tv"]
    assert set(drawn["noisy"]) < set(PARTS["test"])
    assert score.count(folders["split"], ["whole", "half:2"]) == 5


def test_classical_rows_are_tuned_on_v(folders, tmp_path):
    run(folders, tmp_path / "out", "tv", ["whole"])

    # 0.01 leaves the noise in the image: 0.8 wins on V, which is 0.8 * 50 / 255
    assert read_json(tmp_path / "out" / "cell.json")["settings"] == {"weight": pytest.approx(0.8 * 50 / 255)}


def test_a_method_whose_package_is_missing_says_so_and_has_no_scores(folders, tmp_path):
    write_json(tmp_path / "extras.json", {"bm3d": None})

    run(folders, tmp_path / "out", "bm3d", ["half"], extras=tmp_path / "extras.json")

    assert (
        read_json(tmp_path / "out" / "cell.json")["reason"] == "the package bm3d is not installed (make tables BM3D=1)"
    )
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_a_network_that_was_not_made_passes_its_reason_on(folders, tmp_path):
    reasons.write(tmp_path / "trained", "there is nothing to replace")

    run(folders, tmp_path / "out", "irnas-r1", ["whole"], model=tmp_path / "trained" / "model")

    cell = read_json(tmp_path / "out" / "cell.json")
    assert (cell["method"], cell["sigma"], cell["seed"], cell["images"]) == ("irnas-r1", 50, 0, 3)
    assert cell["reason"] == "there is nothing to replace"
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_a_baseline_is_scored_from_its_model_folder(folders, tmp_path):
    torch.manual_seed(0)
    network = catalogue.build("dncnn", 1)
    model.save_baseline(tmp_path / "model", "dncnn", 1, "denoise", 50.0, {"best": network.state_dict()})

    run(folders, tmp_path / "out", "dncnn", ["half:1"], model=tmp_path / "model")

    [row], cell = read_csv(tmp_path / "out" / "scores.csv"), read_json(tmp_path / "out" / "cell.json")
    clean = to_clean(load_grey(folders["images"], [row["name"]])[row["name"]])
    expected = protocols.score_image(lambda noisy, sigma: network.eval()(noisy), clean, row["name"], 50, "half", 0)
    assert float(row["psnr_db"]) == pytest.approx(expected.psnr_db, abs=1e-4)
    assert cell["parameters"] == 555_137  # batch normalisation merged


@pytest.mark.parametrize(
    ("method", "plan", "message"),
    [
        ("wnnm", ["whole"], r"must be one of \['noisy', 'tv', 'nlm', 'bm3d'\], got 'wnnm'"),
        ("noisy", ["quarter"], "protocol must be one of .* got 'quarter'"),
        ("noisy", ["whole:many"], "NAME:NUMBER, as in whole:50, got 'whole:many'"),
    ],
)
def test_what_no_cell_can_be_is_refused_before_anything_is_written(folders, tmp_path, method, plan, message):
    with pytest.raises(ValueError, match=message):
        run(folders, tmp_path / "out", method, plan)
    assert not (tmp_path / "out").exists()


def test_claims_time_every_method_and_count_its_parameters(folders, tmp_path, monkeypatch):
    class Small(torch.nn.Conv2d):
        def __init__(self, channels: int) -> None:
            super().__init__(channels, channels, 3, padding=1)

    small = catalogue.Baseline(task="denoise", build=Small, lr_max=0.1, finish=lambda network: network.eval())
    monkeypatch.setattr(catalogue, "NETWORKS", {"dncnn": small})
    model.save_baseline(tmp_path / "model", "dncnn", 1, "denoise", 50.0, {"best": Small(1).state_dict()})
    write_json(tmp_path / "search" / "search.json", {"steps": 200})
    bill = {"seconds": 72.0, "peak_memory_mib": 900.0, "device": "CPU x", "is_resumed": False}
    write_json(tmp_path / "bill.json", bill)
    for name, peak in (("shared", 100.0), ("unshared", 250.0)):
        write_json(tmp_path / "memory" / f"{name}.json", {"peak_mib": peak, "what": "one iteration"})

    claims.run(
        **folders,
        model=tmp_path / "model",
        search=tmp_path / "search",
        receipt=tmp_path / "bill.json",
        memory=tmp_path / "memory",
        out=tmp_path / "out" / "denoise.json",
        task="denoise",
        seed=0,
        config=CONFIG,
        log=ignore,
    )

    found = read_json(tmp_path / "out" / "denoise.json")
    assert found["parameters"] == {"irnas": 10, "dncnn": 10}  # 9 weights and a bias
    assert found["search"] == bill | {"steps": 200}
    assert found["memory"] == {"shared_mib": 100.0, "unshared_mib": 250.0, "what": "one iteration"}
    assert set(found["inference"]["seconds"]) == {"irnas", "tv", "nlm", "dncnn"}
    assert found["inference"]["image"] == "80x73"
    assert all(seconds > 0 for seconds in found["inference"]["seconds"].values())
