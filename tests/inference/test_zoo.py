"""Shipped networks: what is on the shelf is what its card says, and the one that fits is chosen."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import nasir
from nasir.files import read_json, write_json
from nasir.inference import model, zoo

CARDS = {
    "weak-30": ("denoise", 30, 27.0),
    "grey-30": ("denoise", 30, 28.0),
    "grey-50": ("denoise", 50, 26.0),
    "rain": ("derain", 0, 24.0),
}


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """Of four cards and a folder that is none."""
    for name, (task, sigma, psnr_db) in CARDS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(name)
        write_json(
            tmp_path / name / zoo.CARD,
            {"name": name, "task": task, "sigma": sigma, "scores": {"whole": {"psnr_db": psnr_db}}}
            | {"sha256": {"model.json": sha256(name.encode()).hexdigest()}},
        )
    (tmp_path / "in-progress").mkdir()
    monkeypatch.setattr(zoo, "SHELF", tmp_path)
    return tmp_path


def test_what_has_a_card_is_on_the_shelf(shelf):
    assert zoo.names() == sorted(CARDS)
    assert zoo.folder("rain") == shelf / "rain" and zoo.card("rain")["task"] == "derain"


@pytest.mark.parametrize(
    ("task", "sigma", "name"),
    [
        ("denoise", 0, "grey-30"),  # the better of two
        ("denoise", 39, "grey-30"),
        ("denoise", 41, "grey-50"),
        ("denoise", 90, "grey-50"),
        ("derain", 0, "rain"),
    ],
)
def test_the_network_of_the_nearest_level_is_chosen(shelf, task, sigma, name):
    assert zoo.choose(task, sigma) == name


@pytest.mark.parametrize(
    ("whole", "clipped", "name"),
    [
        (25.0, {"grey-50": 25.1, "bits-50": 25.9}, "bits-50"),
        (25.0, {"bits-50": 25.9}, "grey-50"),
        (26.5, {}, "bits-50"),
    ],
)
def test_of_several_the_best_one_on_pictures_of_8_bits_is_chosen_if_all_were_scored_on_them(
    shelf, whole, clipped, name
):
    card = read_json(shelf / "grey-50" / zoo.CARD) | {"name": "bits-50", "scores": {"whole": {"psnr_db": whole}}}
    write_json(shelf / "bits-50" / zoo.CARD, card)
    for one, psnr_db in clipped.items():
        path = shelf / one / zoo.CARD
        write_json(path, read_json(path) | {"scores": read_json(path)["scores"] | {"clipped8": {"psnr_db": psnr_db}}})
    assert zoo.choose("denoise", 50) == name


def test_a_task_without_a_network_is_refused(shelf):
    with pytest.raises(ValueError, match=r"must be one of \['denoise', 'derain'\], got 'camera'"):
        zoo.choose("camera", 0)


@pytest.mark.parametrize("change", ["damaged", "missing"])
def test_a_file_that_is_not_the_cards_is_refused(shelf, change):
    path = shelf / "rain/model.json"
    path.write_text("other") if change == "damaged" else path.unlink()
    with pytest.raises(ValueError, match=r"rain/model.json must have the SHA-256 .*git checkout"):
        zoo.folder("rain")


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{}", '{"name": "other"}', '{"name": "rain", "task": "derain", "sigma": "much"}',
        f'{{"name": "rain", "task": "x", "sigma": {10**400}, "sha256": {{"a": ""}}, "scores": {{"whole": {{"psnr_db": 9}}}}}}',
        '{"name": "rain", "task": "derain", "sigma": 0, "sha256": {"a": ""}, "scores": {"whole": {"psnr_db": 9}, "clipped8": 9}}',
    ],
    ids=["list", "empty", "another", "text", "endless", "a score that is none"],
)  # fmt: skip
def test_a_card_that_is_damaged_is_refused(shelf, text):
    (shelf / "rain" / zoo.CARD).write_text(text)
    with pytest.raises(ValueError, match=r"card\.json must have name 'rain', task, sigma, .*git checkout"):
        zoo.card("rain")


def test_a_name_that_is_none_is_refused_and_the_others_named(shelf):
    with pytest.raises(ValueError, match=r"one of the shipped networks: grey-30, grey-50, rain, weak-30"):
        model.load("nosuch")
    with pytest.raises(ValueError, match=r"must be one of \['grey-30', .*\], got 'nosuch'; they lie in models/"):
        zoo.card("nosuch")


def test_without_a_shelf_a_network_must_be_given(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "none")
    assert zoo.names() == []
    with pytest.raises(
        ValueError, match=r"shipped in the folder models/ of the repository, got none in .*; give one with --model"
    ):
        zoo.choose("denoise", 50)


@pytest.mark.parametrize("name", zoo.names())
def test_every_shipped_network_restores_an_image(name):
    card = zoo.card(name)
    network = nasir.load(name)
    channels = read_json(zoo.SHELF / name / "model.json")["channels"]
    clean = np.full((24, 32, 3)[: 2 + (channels > 1)], 128.0)
    clean[8:16] = 60
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, card["sigma"], clean.shape), 0, 255).astype(np.uint8)
    restored = network(noisy, card["sigma"])
    assert restored.shape == noisy.shape
    if card["task"] == "denoise":
        assert np.abs(restored - clean).mean() < 0.4 * np.abs(noisy - clean).mean()
    assert card["name"] == name and card["data"]["images"]["test"] == card["scores"]["whole"]["images"]


@pytest.mark.parametrize("sigma", [5, 25, 50])
@pytest.mark.parametrize("shape", [(200, 201), (201, 200, 3)], ids=str)
def test_noise_is_estimated_within_a_twentieth_on_a_smooth_image(shape, sigma):
    ramp = np.linspace(100, 156, shape[1])[None, :, None] * np.ones((shape[0], 1, 3))
    clean = ramp if len(shape) == 3 else ramp[..., 0]
    noisy = np.clip(np.round(clean + np.random.default_rng(0).normal(0, sigma, shape)), 0, 255).astype(np.uint8)
    assert zoo.estimate(noisy) == pytest.approx(sigma, rel=0.05)


def test_of_an_image_of_one_row_no_noise_is_estimated():
    with pytest.raises(ValueError, match=r"2 or more pixels a side to estimate its noise, got \(1, 9\)"):
        zoo.estimate(np.zeros((1, 9), np.uint8))
