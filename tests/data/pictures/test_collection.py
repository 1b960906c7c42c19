"""Pictures are read as their layout says: a file each, or the halves of one; grey or RGB; alone or as pairs."""

import numpy as np
import pytest
import torch

from nasir.data.pictures import listing
from nasir.data.pictures.collection import (
    Pair,
    channels_of,
    crop_middle,
    load,
    load_grey,
    load_samples,
    pair_of,
    to_array,
)
from nasir.data.pictures.images import save_png
from nasir.data.pictures.listing import Picture
from nasir.task import TASKS

LEFT = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
RIGHT = 200 - LEFT


def listed(folder, layout, clean="side.png", degraded="side.png"):
    picture = Picture(
        name="a",
        split="train",
        group="a",
        also_in="",
        clean=clean,
        degraded=degraded,
        layout=layout,
        width=6,
        height=4,
    )
    listing.write(folder, [picture])


@pytest.mark.parametrize(("layout", "clean", "degraded"), [("clean_left", LEFT, RIGHT), ("clean_right", RIGHT, LEFT)])
def test_the_halves_of_a_file_are_told_apart_by_its_layout(tmp_path, layout, clean, degraded):
    save_png(tmp_path / "side.png", np.concatenate([LEFT, RIGHT], axis=1))
    listed(tmp_path, layout)
    stacked = load(tmp_path, ["a"], TASKS["derain"])["a"]
    assert np.array_equal(stacked, np.concatenate([clean, degraded], axis=2))

    sample = load_samples(tmp_path, ["a"], TASKS["derain"])["a"]
    assert isinstance(sample, Pair)
    assert np.array_equal(np.rint(255 * to_array(sample.degraded)), degraded)
    assert channels_of({"a": sample}) == 3
    assert load_grey(tmp_path, ["a"])["a"].shape == (4, 6)


def test_two_files_make_a_pair_and_a_task_of_noise_takes_the_clean_one_as_grey(tmp_path):
    save_png(tmp_path / "c.png", LEFT)
    save_png(tmp_path / "d.png", RIGHT)
    listed(tmp_path, "files", "c.png", "d.png")
    assert np.array_equal(load(tmp_path, ["a"], TASKS["camera"])["a"], np.concatenate([LEFT, RIGHT], axis=2))

    [sample] = load_samples(tmp_path, ["a"], TASKS["denoise"]).values()
    # ITU-R 601 of the pixel (0, 1, 2): 0.587 + 2 * 0.114 = 0.815 -> 1
    assert torch.equal(sample[0, 0, 0], torch.tensor(1 / 255))
    assert pair_of(sample).degraded is sample


def test_a_grey_file_is_three_equal_channels_of_a_colour_task(tmp_path):
    save_png(tmp_path / "c.png", LEFT[:, :, 0])
    save_png(tmp_path / "d.png", RIGHT[:, :, 0])
    listed(tmp_path, "files", "c.png", "d.png")
    stacked = load(tmp_path, ["a"], TASKS["derain"])["a"]
    assert np.array_equal(stacked[..., 1], LEFT[:, :, 0])
    assert np.array_equal(stacked[..., 5], RIGHT[:, :, 0])


def test_what_makes_no_pair_is_named(tmp_path):
    save_png(tmp_path / "c.png", LEFT)
    save_png(tmp_path / "d.png", RIGHT[:3])
    save_png(tmp_path / "side.png", np.zeros((4, 7, 3), np.uint8))
    listed(tmp_path, "files", "c.png", "d.png")
    with pytest.raises(ValueError, match="images of a must have one size, got 6x4 and 6x3"):
        load(tmp_path, ["a"], TASKS["derain"])
    listed(tmp_path, "files", "c.png", "")
    with pytest.raises(ValueError, match="a must have a degraded image for the task derain"):
        load(tmp_path, ["a"], TASKS["derain"])
    listed(tmp_path, "clean_left")
    with pytest.raises(
        ValueError, match=r"side.png must hold two images of one size side by side, got an odd width of 7"
    ):
        load(tmp_path, ["a"], TASKS["derain"])
    with pytest.raises(ValueError, match="must list the picture 'b', got 1 others"):
        load(tmp_path, ["b"], TASKS["derain"])


def test_the_middle_of_a_stack_is_cut_alike_in_both_images():
    stack = np.concatenate([LEFT, RIGHT], axis=2)
    assert np.array_equal(crop_middle(stack, 2), np.concatenate([LEFT[1:3, 2:4], RIGHT[1:3, 2:4]], axis=2))
