"""A network for de-raining is trained behind an estimate of each picture's tone."""

import dataclasses

import numpy as np
import pytest
import torch
from little_run import CODE, NO_TONE, RETRAIN, SIZES, Killed, files, ignore, killed_at
from picture_folder import list_pictures
from rainy_pairs import GENOTYPE, rainy

from nasir.config.split import SplitConfig
from nasir.config.training import OFF
from nasir.data.pictures.images import save_png
from nasir.files import read_csv, read_json, write_json
from nasir.inference import model
from nasir.spaces import irnas
from stages import retrain, split

TONE = dataclasses.replace(NO_TONE, kinds=3, components=20)
SHORT = dataclasses.replace(RETRAIN, steps=4, val_period=2, checkpoint_period=1)


@pytest.fixture(scope="module")
def rain(tmp_path_factory):
    """Ninety pairs in three kinds of rain, their split and a genotype."""
    folder = tmp_path_factory.mktemp("rain")
    names = [f"train/{number}" for number in range(90)]
    for number, name in enumerate(names):
        pair = rainy(number, number % 3)
        save_png(folder / f"pictures/{name}.png", pair[..., :3])
        save_png(folder / f"pictures/rainy/{name}.png", pair[..., 3:])
    list_pictures(folder / "pictures", names, degraded="rainy")
    parts = SplitConfig(w=0.45, a=0.45, v=0.1, exclude_leaks=True, exclude_elsewhere=True)
    split.run(pictures=folder / "pictures", out=folder / "split", seed=0, config=parts, log=ignore)
    write_json(folder / "genotype.json", irnas.SPACE.to_json(GENOTYPE))
    return folder


def train(rain, out, tone=TONE, task="derain", network=None, log=ignore):
    retrain.run(
        pictures=rain / "pictures", split=rain / "split", genotype=None if network else rain / "genotype.json",
        network=network, checkpoint=rain / f"{out}.pt", out=rain / out, task=task, sigma=0.0 if task == "derain" else 50.0,
        space=irnas.SPACE, of_network=SIZES, seed=0, config=SHORT, tone=tone, safety=OFF, code=CODE, log=log,
    )  # fmt: skip


def scores(folder) -> list[float]:
    return [float(row["value"]) for row in read_csv(folder / "history.csv") if row["metric"] == "psnr_db"]


def test_what_is_trained_behind_it_begins_nearer_to_the_clean_pictures(rain):
    train(rain, "with")
    train(rain, "without", tone=NO_TONE)

    assert read_json(rain / "with/model/model.json")["tone"] == {"kinds": 3}
    assert "tone" not in read_json(rain / "without/model/model.json")
    assert scores(rain / "with")[-1] > scores(rain / "without")[-1] + 1  # dB
    pair = rainy(1000, 0)
    clean, degraded = (
        torch.from_numpy(part / np.float32(255)).permute(2, 0, 1) for part in (pair[..., :3], pair[..., 3:])
    )
    errors = [
        float(((model.load(rain / f"{n}/model")(degraded[None]) - clean) ** 2).mean()) for n in ("with", "without")
    ]
    assert errors[0] < 0.8 * errors[1]


def test_a_training_behind_it_that_was_killed_carries_on_to_the_same_bytes(rain):
    train(rain, "once")
    with pytest.raises(Killed):
        train(rain, "killed", log=killed_at(3))
    train(rain, "killed")

    assert files(rain / "killed") == files(rain / "once")


def test_a_checkpoint_of_another_tone_is_refused(rain):
    with pytest.raises(Killed):
        train(rain, "changed", log=killed_at(3))

    with pytest.raises(ValueError, match=r"tone\.kinds"):
        train(rain, "changed", tone=dataclasses.replace(TONE, kinds=2))


def test_a_network_designed_by_hand_is_trained_behind_it_too(rain):
    train(rain, "ddn", network="ddn")

    assert read_json(rain / "ddn/model/model.json")["tone"] == {"kinds": 3}
    assert model.load(rain / "ddn/model").tone is not None


def test_too_few_pairs_are_said_and_the_network_is_trained_without(rain, capsys):
    parts = read_json(rain / "split/split.json")
    try:
        write_json(rain / "split/split.json", parts | {"w": parts["w"][:20], "a": parts["a"][:20]})
        train(rain, "few")
    finally:
        write_json(rain / "split/split.json", parts)

    assert "no tone is estimated of 40 training pairs: it needs 80, and two tones at least" in "".join(
        capsys.readouterr()
    )
    assert "tone" not in read_json(rain / "few/model/model.json")


def test_it_is_refused_where_there_are_no_pairs_in_colour(rain):
    with pytest.raises(
        ValueError, match=r"tone\.kinds must be 0 for the task denoise, got 3: .*pairs of colour images"
    ):
        train(rain, "grey", task="denoise")
