"""Rows of the paper's tables without training, and how any cell is scored: what one holds, refuses, says when it cannot run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folder import list_pictures
from scipy.ndimage import gaussian_filter

from nasir.config.evaluate import EvaluateConfig
from nasir.data.pictures.collection import load_grey, to_clean
from nasir.data.pictures.images import save_png
from nasir.evaluation import classical, protocols
from nasir.files import read_csv, read_json, write_json
from nasir.inference import model
from nasir.networks import catalogue
from stages.tables import score

PARTS = {"w": ["train/w"], "a": ["train/a"], "v": ["train/v"], "test": ["test/1", "test/2", "test/3"]}
CONFIG = EvaluateConfig(protocols=("whole",), batch=3, tv_factors=(0.01, 0.8), nlm_factors=(0.01, 0.8), device="cpu")


def ignore(step: int, values: dict[str, float]) -> None:
    """Take news and drop it."""


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Six smooth images and a split."""
    pictures = tmp_path / "pictures"
    names = [name for part in PARTS.values() for name in part]
    for number, name in enumerate(names):
        texture = gaussian_filter(np.random.default_rng(number).random((70 + number, 80)), 1 + number)
        stretched = (texture - texture.min()) / (texture.max() - texture.min())
        save_png(pictures / f"{name}.png", np.rint(255 * stretched).astype(np.uint8))
    list_pictures(pictures, names)
    write_json(tmp_path / "split" / "split.json", {"seed": 0, **PARTS})
    return {"pictures": pictures, "split": tmp_path / "split"}


def cell_of(*methods: str, protocols: list[str], sigmas: tuple[float, ...] = (50,), package: str = "") -> dict:
    """What a cell's settings say of it."""
    return {"methods": list(methods), "sigmas": list(sigmas), "protocols": protocols, "package": package}


def run(folders: dict[str, Path], out: Path, cell: dict, extras: Path = Path("unread"), log=ignore) -> None:
    score.run(**folders, extras=extras, out=out, cell=cell, task="denoise", seed=0, config=CONFIG, log=log)


def test_a_cell_holds_the_scores_of_every_protocol_and_image(folders, tmp_path):
    run(folders, tmp_path / "out", cell_of("noisy", protocols=["whole", "half"]))

    made = tmp_path / "out" / "noisy-50-seed0"
    rows, cell = read_csv(made / "scores.csv"), read_json(made / "cell.json")
    assert [(row["protocol"], row["name"]) for row in rows] == [
        (p, n) for p in ("whole", "half") for n in PARTS["test"]
    ]
    clean = {name: to_clean(image) for name, image in load_grey(folders["pictures"], PARTS["test"]).items()}
    expected = protocols.score(classical.identity, clean, 50, "half", 0)
    assert [float(row["psnr_db"]) for row in rows[3:]] == [one.psnr_db for one in expected]
    assert (cell["method"], cell["sigma"], cell["seed"], cell["draw"]) == ("noisy", 50.0, 0, 0)
    assert (cell["images"], cell["reason"], cell["genotype_sha256"], cell["parameters"]) == (3, None, None, None)
    assert set(cell["seconds_per_image"]) == {"whole", "half"}


def test_every_method_and_noise_level_has_a_folder_and_news_count_through(folders, tmp_path):
    cell, steps = cell_of("noisy", "tv", protocols=["whole"], sigmas=(30, 50)), []
    run(folders, tmp_path / "out", cell, log=lambda step, news: steps.append(step))

    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["noisy-30-seed0", "noisy-50-seed0", "tv-30-seed0", "tv-50-seed0"]
    assert steps == list(range(1, 13))  # 2 methods, 2 levels, 3 images
    assert score.count(folders["split"], cell) == 12


def test_a_number_after_a_protocol_draws_the_same_images_for_every_method(folders, tmp_path):
    cell = cell_of("noisy", "tv", protocols=["whole", "half:2"])
    run(folders, tmp_path, cell)

    drawn = {
        method: [
            row["name"] for row in read_csv(tmp_path / f"{method}-50-seed0/scores.csv") if row["protocol"] == "half"
        ]
        for method in ("noisy", "tv")
    }
    assert len(drawn["noisy"]) == 2 and drawn["noisy"] == drawn["tv"]
    assert set(drawn["noisy"]) < set(PARTS["test"])
    assert score.count(folders["split"], cell) == 2 * 5


def test_of_a_protocol_that_is_named_twice_the_larger_draw_is_scored(folders, tmp_path):
    run(folders, tmp_path, cell_of("noisy", protocols=["whole:1", "whole", "half:2", "half:1"]))

    scored = [row["protocol"] for row in read_csv(tmp_path / "noisy-50-seed0/scores.csv")]
    assert (scored.count("whole"), scored.count("half")) == (3, 2)


def test_classical_rows_are_tuned_on_v(folders, tmp_path):
    run(folders, tmp_path, cell_of("tv", protocols=["whole"]))

    # 0.01 leaves the noise in the image: 0.8 wins on V, which is 0.8 * 50 / 255
    assert read_json(tmp_path / "tv-50-seed0/cell.json")["settings"] == {"weight": pytest.approx(0.8 * 50 / 255)}


def test_a_method_whose_package_is_missing_says_so_and_has_no_scores(folders, tmp_path):
    write_json(tmp_path / "extras.json", {"version": None})

    cell = cell_of("bm3d", protocols=["half"], package="bm3d")
    run(folders, tmp_path / "out", cell, extras=tmp_path / "extras.json")

    made = read_json(tmp_path / "out/bm3d-50-seed0/cell.json")
    assert made["reason"] == "the package bm3d is not installed (make tables BM3D=1)"
    assert (made["method"], made["sigma"], made["seed"], made["images"]) == ("bm3d", 50, 0, 3)
    assert not (tmp_path / "out/bm3d-50-seed0/scores.csv").exists()


def test_a_baseline_is_scored_from_its_model_folder(folders, tmp_path):
    torch.manual_seed(0)
    network = catalogue.build("dncnn", 1)
    model.save_baseline(tmp_path / "model", "dncnn", 1, "denoise", 50.0, {"best": network.state_dict()})

    facts = {"method": "dncnn", "sigma": 50.0, "seed": 0, "draw": 0, "genotype_sha256": None}
    score.score(
        model.load(tmp_path / "model"),
        facts,
        **folders,
        out=tmp_path / "out",
        protocols=["half:1"],
        task="denoise",
        sigma=50,
        seed=0,
        config=CONFIG,
        log=ignore,
    )

    [row], cell = read_csv(tmp_path / "out" / "scores.csv"), read_json(tmp_path / "out" / "cell.json")
    clean = to_clean(load_grey(folders["pictures"], [row["name"]])[row["name"]])
    expected = protocols.score_image(lambda noisy, sigma: network.eval()(noisy), clean, row["name"], 50, "half", 0)
    assert float(row["psnr_db"]) == pytest.approx(expected.psnr_db, abs=1e-4)
    assert cell["parameters"] == 555_137  # batch normalisation merged
    assert {name: cell[name] for name in facts} == facts


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
        run(folders, tmp_path / "out", cell_of(method, protocols=plan))
    assert not (tmp_path / "out").exists()
