import numpy as np
import pytest

from nasir.reporting.history import Curve
from nasir.reporting.html import views


def curve(values: list[float]) -> Curve:
    return Curve(steps=np.arange(1, len(values) + 1) * 10, values=np.array(values, float))


def test_of_neighbours_the_last_step_and_the_mean_stand():
    # (1 + 2) / 2 = 1.5 at step 20, (3 + 5) / 2 = 4 at step 40, the rest is 9 alone.
    assert views.thin(np.array([10, 20, 30, 40, 50]), np.array([1.0, 2, 3, 5, 9]), 2) == [
        (20, 1.5),
        (40, 4.0),
        (50, 9.0),
    ]


def test_a_long_curve_is_told_in_means_and_its_title_says_so():
    # 500 values in stretches of 3: 166 whole ones and one of 2.
    chart = views.curves("Loss", {"train_loss": curve([2.0] * 500)}, {"train_loss": "on W"})

    assert chart is not None and len(chart["data"]["values"]) == 167
    assert chart["title"] == "Loss, means of 3 records"


@pytest.mark.parametrize(
    ("title", "values", "is_log"),
    [
        ("Loss", [0.2, 0.1], True),
        ("Loss", [0.2, 0.11], False),
        ("Loss", [0.2, 0.0], False),
        ("PSNR on V, dB", [20.0, 10.0], False),
    ],
)
def test_only_a_loss_that_halves_has_a_logarithmic_axis(title, values, is_log):
    chart = views.curves(title, {"m": curve(values)}, {"m": "on V"})

    scale = chart["layer"][0]["encoding"]["y"]["scale"]
    assert (scale.get("type") == "log") is is_log
    assert ("zero" in scale) is not is_log


def test_a_metric_that_was_never_recorded_has_no_chart():
    assert views.curves("Loss", {"other": curve([1.0])}, {"train_loss": "on W"}) is None


def test_each_metric_is_a_series_of_its_own_and_a_single_one_needs_no_legend():
    both = views.curves("Loss", {"a": curve([1.0, 2]), "b": curve([3.0])}, {"a": "on W", "b": "on A"})
    one = views.curves("Loss", {"a": curve([1.0, 2])}, {"a": "on W", "b": "on A"})

    assert [row["series"] for row in both["data"]["values"]] == ["on W", "on W", "on A"]
    assert both["layer"][0]["encoding"]["color"]["legend"] is not None
    assert one["layer"][0]["encoding"]["color"]["legend"] is None


def test_a_band_is_thinned_as_the_curves_are():
    # 300 steps in stretches of 2, whose bounds are means
    low, high = np.arange(300.0), np.arange(300.0) + 4
    layer = views.band(np.arange(1, 301), low, high)

    assert layer["data"]["values"][0] == {"step": 2, "low": 0.5, "high": 4.5} and len(layer["data"]["values"]) == 150
    assert layer["encoding"]["y2"] == {"field": "high"} and layer["mark"]["type"] == "area"
