"""What the page says of pairs, counted by hand; the figure shows pairs of one group, those across the split first."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nasir.data.pictures.images import save_png
from nasir.data.pictures.listing import Picture
from nasir.reporting.run import pairs


def picture(name: str, group: str, also_in: str = "") -> Picture:
    return Picture(
        name=name,
        split=name.partition("/")[0],
        group=group,
        also_in=also_in,
        clean=f"{name}.png",
        degraded=f"{name}.png",
        layout="clean_left",
        width=40,
        height=30,
    )


LISTED = [
    picture("train/a", "train/a"),
    picture("train/b", "train/a"),
    picture("train/c", "train/c", "bsd500: test/7"),
    picture("train/d", "train/d"),
    picture("test/e", "train/d"),
]


@pytest.fixture
def record():
    rows = [
        {"name": one.name, "psnr_db": str(20 + place), "shift_y": "0", "shift_x": "0"}
        | {"rainier": "unclear" if place == 4 else "right", "degraded_side": "right"}
        for place, one in enumerate(LISTED)
    ]
    split = {"leaks": ["train/c", "train/d"], "exclude_leaks": True, "w": ["train/a"], "a": ["train/b"], "v": []}
    return SimpleNamespace(
        listed=LISTED, pairs=rows, split=split, selection={}, params=SimpleNamespace(task="derain", dataset="rain800")
    )


def test_pairs_are_counted(record):
    text = pairs.section(record, "figures/repeated.png", None)
    assert "5 pairs; the degraded image against the clean one 22.00 dB on average (20.00 to 24.00)" in text
    assert "in 4 pairs, the clean one in 0; 1 are too faint to tell" in text
    assert "3 different pictures: 3 in training, 1 in test, 1 in both. 2 occur in several pairs, up to 2." in text
    assert "2 training pairs show what a test image shows and were left out of training: 1 of this data set's" in text
    assert "1 pairs show 1 pictures of another data set's test part" in text
    assert "None of them is in training." in text
    assert "| bsd500: test/7 | train/c |  |" in text
    assert "| train/d | test/e |" in text


def test_blurred_images_are_counted_as_rainy_ones_are(record):
    record.params.task = "deblur"
    for row in record.pairs:
        row["blurrier"] = row.pop("rainier")
    text = pairs.section(record, "", None)
    assert "the degraded image has the blur in 4 pairs, the clean one in 0; 1 are too faint to tell" in text


def test_leaks_that_stay_are_said_to(record):
    record.split["exclude_leaks"] = False
    assert "**stayed in training**" in pairs.section(record, "", None)


def test_pictures_that_another_set_tests_with_are_said_to_stay_in_training(record):
    record.split |= {"leaks": ["train/d"], "w": ["train/a", "train/c"]}
    assert "1 of them stay in training (split.exclude_elsewhere): this run's networks" in pairs.section(
        record, "", None
    )


def test_what_became_of_a_cameras_candidates_is_a_table(record):
    record.params.task = "camera"
    record.selection = {"train": {"counts": {"candidates": 40, "flat": 8, "kept": 6}}}
    text = pairs.section(record, "", "figures/noise.png")
    assert "cut from 3 images" in text
    assert "| train | 40 | 8 | 6 |" in text
    assert "figures/noise.png" in text


def test_the_figure_has_a_row_for_each_group_of_several_pairs(tmp_path):
    for one in LISTED:
        save_png(tmp_path / f"{one.name}.png", np.full((30, 80, 3), 128, np.uint8))
    with Image.open(io.BytesIO(pairs.repeated_pictures(tmp_path, LISTED))) as image:
        two = image.size
    with Image.open(io.BytesIO(pairs.repeated_pictures(tmp_path, LISTED[2:]))) as image:
        one = image.size
    assert two[0] == one[0]
    assert two[1] > 1.8 * one[1]


def test_without_repeated_pictures_there_is_no_figure(tmp_path):
    alone = [replace(one, group=one.name) for one in LISTED]
    assert pairs.repeated_pictures(tmp_path, alone) is None
