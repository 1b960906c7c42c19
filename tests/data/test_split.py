"""The split is disjoint, complete, seeded, and of the printed size."""

import pytest

from nasir.data.split import split

NAMES = [f"train/{i}" for i in range(300)]


def test_bsd500_splits_into_147_147_6():
    # 2 % of 300 = 6; half of the remaining 294 = 147
    parts = split(NAMES, 0.49, 0.49, 0.02, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"w": 147, "a": 147, "v": 6}
    assert sorted(parts["w"] + parts["a"] + parts["v"]) == sorted(NAMES)


def test_v_has_at_least_one_image():
    parts = split(NAMES[:9], 0.49, 0.49, 0.02, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"w": 4, "a": 4, "v": 1}
    parts = split(NAMES[:3], 0.49, 0.49, 0.02, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"w": 1, "a": 1, "v": 1}


def test_the_order_of_the_names_does_not_matter_but_the_seed_does():
    assert split(NAMES, 0.49, 0.49, 0.02, seed=1) == split(NAMES[::-1], 0.49, 0.49, 0.02, seed=1)
    assert split(NAMES, 0.49, 0.49, 0.02, seed=1) != split(NAMES, 0.49, 0.49, 0.02, seed=2)


def test_repeated_names_are_refused():
    with pytest.raises(ValueError, match="must be distinct"):
        split(["a", "b", "a"], 0.49, 0.49, 0.02, seed=0)


def test_two_images_cannot_be_split():
    with pytest.raises(ValueError, match="at least 3 training images"):
        split(["a", "b"], 0.49, 0.49, 0.02, seed=0)
