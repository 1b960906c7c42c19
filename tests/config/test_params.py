"""`params.yaml`: what a person may choose, and the noise that follows from it."""

import dataclasses
from pathlib import Path

import pytest

from nasir.config import reading
from nasir.config.params import Params

ROOT = Path(__file__).parents[2]
PARAMS = reading.build(reading.read(ROOT / "params.yaml"), Params, "params.yaml")


def test_the_shipped_params_are_the_demo_at_sigma_50():
    assert (PARAMS.profile, PARAMS.dataset, PARAMS.sigma, PARAMS.space) == ("demo", "sample", 50.0, "irnas")


@pytest.mark.parametrize(("task", "noise"), [("denoise", 50.0), ("derain", 0.0), ("camera", 0.0), ("deblur", 0.0)])
def test_noise_is_added_only_where_images_are_clean(task, noise):
    assert dataclasses.replace(PARAMS, task=task).noise == noise


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sigma", -5.0, r"sigma must be above 0 and at most 255 \(8-bit grey levels\), got -5.0"),
        ("sigma", 0.0, "sigma must be above 0"),
        ("seed", -1, "seed must be 0 or more, got -1"),
        ("task", "dehaze", r"task must be one of \['denoise', 'derain', 'camera', 'deblur'\], got 'dehaze'"),
        ("layout", "sideways", r"layout must be one of \['clean', .*'two_folders'\], got 'sideways'"),
    ],
)
def test_what_cannot_be_chosen_is_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PARAMS, **{key: value})
