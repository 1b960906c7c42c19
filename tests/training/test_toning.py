"""What rain does to a picture's tone is learnt from pairs, and a pair is never corrected by what it taught."""

import dataclasses

import numpy as np
import pytest
import torch
from rainy_pairs import DARKENS, rainy

from nasir.config.retrain import ToneConfig
from nasir.data.pictures.collection import to_clean
from nasir.training import toning

CONFIG = ToneConfig(kinds=3, components=20, folds=4)


@pytest.fixture(scope="module")
def pairs() -> dict[str, np.ndarray]:
    return {f"training/{number}": rainy(number, number % 3) for number in range(90)}


@pytest.fixture(scope="module")
def fitted(pairs) -> toning.Fitted:
    found = toning.fit(pairs, CONFIG, seed=0)
    assert found is not None
    return found


def error(pair: np.ndarray) -> float:
    clean, degraded = pair[..., :3].astype(float), pair[..., 3:].astype(float)
    return float(((degraded - clean) ** 2).mean())


def test_the_tone_of_other_pictures_is_told(fitted):
    for number in range(9):
        pair = rainy(1000 + number, number % 3)
        curve = fitted.tone.estimate(to_clean(pair[..., 3:]))
        assert float(curve[7:9].mean()) == pytest.approx(DARKENS[number % 3], abs=0.03)
        if number % 3 != 1:  # that changes it at all
            assert error(toning.undo(pair, fitted.tone)) < 0.6 * error(pair)


def test_training_pairs_are_corrected_and_their_clean_images_stay(pairs, fitted):
    assert list(fitted.undone) == list(pairs)
    for name, pair in pairs.items():
        undone = fitted.undone[name]
        assert undone.dtype == np.uint8
        assert np.array_equal(undone[..., :3], pair[..., :3])
    dark = [name for number, name in enumerate(pairs) if number % 3 != 1]
    before, after = (np.mean([error(some[name]) for name in dark]) for some in (pairs, fitted.undone))
    assert after < 0.6 * before


def test_a_pair_is_corrected_by_what_other_pairs_tell(pairs, fitted):
    name = "training/0"
    lied = pairs[name].copy()
    lied[..., :3] = 255 - lied[..., :3]

    again = toning.fit(pairs | {name: lied}, CONFIG, seed=0)

    assert np.array_equal(again.undone[name][..., 3:], fitted.undone[name][..., 3:])
    assert not torch.equal(again.tone.curves, fitted.tone.curves)


def test_a_fit_is_repeatable(pairs, fitted):
    again = toning.fit(pairs, CONFIG, seed=0)

    assert all(torch.equal(tensor, again.tone.tensors()[name]) for name, tensor in fitted.tone.tensors().items())
    assert all(np.array_equal(pair, again.undone[name]) for name, pair in fitted.undone.items())


def test_two_kinds_are_told_apart_as_well():
    pairs = {f"{number}": rainy(number, 2 * (number % 2)) for number in range(60)}

    found = toning.fit(pairs, dataclasses.replace(CONFIG, kinds=2), seed=0)

    assert found.tone.curves.shape == (2, 16)
    for number in range(4):
        curve = found.tone.estimate(to_clean(rainy(1000 + number, 2 * (number % 2))[..., 3:]))
        assert float(curve[7:9].mean()) == pytest.approx(DARKENS[2 * (number % 2)], abs=0.03)


def test_with_too_few_pairs_there_is_no_estimate(pairs):
    assert toning.fewest(CONFIG) == 54
    assert toning.fit(dict(list(pairs.items())[:53]), CONFIG, seed=0) is None
    assert toning.fit(dict(list(pairs.items())[:54]), CONFIG, seed=0) is not None


def test_pairs_of_one_tone_have_no_estimate():
    pair = rainy(0, 1)
    assert toning.fit({f"{number}": pair for number in range(60)}, CONFIG, seed=0) is None
