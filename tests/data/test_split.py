"""The split is disjoint, complete, seeded, and of the printed size."""

import pytest

from nasir.data.split import split

NAMES = [f"train/{i}" for i in range(300)]


def alone(names: list[str]) -> dict[str, str]:
    """Each name in a group of its own."""
    return {name: name for name in names}


def test_bsd500_splits_into_147_147_6():
    # 2 % of 300 = 6; half of the remaining 294 = 147
    parts = split(alone(NAMES), 0.49, 0.49, 0.02, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"w": 147, "a": 147, "v": 6}
    assert sorted(parts["w"] + parts["a"] + parts["v"]) == sorted(NAMES)


def test_v_has_at_least_one_image():
    parts = split(alone(NAMES[:9]), 0.49, 0.49, 0.02, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"w": 4, "a": 4, "v": 1}
    parts = split(alone(NAMES[:3]), 0.49, 0.49, 0.02, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"w": 1, "a": 1, "v": 1}


def test_the_order_of_the_names_does_not_matter_but_the_seed_does():
    assert split(alone(NAMES), 0.49, 0.49, 0.02, seed=1) == split(alone(NAMES[::-1]), 0.49, 0.49, 0.02, seed=1)
    assert split(alone(NAMES), 0.49, 0.49, 0.02, seed=1) != split(alone(NAMES), 0.49, 0.49, 0.02, seed=2)


def test_images_that_show_the_same_stay_together():
    groups = alone(NAMES) | {f"train/{i}": "train/7" for i in range(7, 50)}
    parts = split(groups, 0.49, 0.49, 0.02, seed=0)
    [holder] = [name for name, part in parts.items() if "train/7" in part]
    assert {f"train/{i}" for i in range(7, 50)} <= set(parts[holder])
    assert sorted(parts["w"] + parts["a"] + parts["v"]) == sorted(NAMES)


def test_two_different_images_cannot_be_split():
    with pytest.raises(ValueError, match=r"at least 3 different training images, .*; got 2"):
        split({"a": "a", "b": "b", "c": "a"}, 0.49, 0.49, 0.02, seed=0)


@pytest.mark.parametrize("seed", range(20))
def test_no_part_is_empty_however_large_a_group_is(seed):
    one = {str(i): "one" for i in range(8)}
    assert sorted(map(len, split(one | {"x": "x", "y": "y"}, 0.49, 0.49, 0.02, seed).values())) == [1, 1, 8]

    eight = {f"{group}/{i}": str(group) for group in range(8) for i in range(15)}
    parts = split(eight, 0.49, 0.49, 0.02, seed)
    # 118 of 120 images are for W and A: W is full after four groups of 15; the last group would begin in A
    assert {name: len(part) for name, part in parts.items()} == {"w": 60, "a": 45, "v": 15}
