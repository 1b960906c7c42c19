from pathlib import Path

import numpy as np
import pytest

from nasir.reporting.history import moving, read, smooth


def test_rows_become_one_curve_for_each_metric_in_the_order_of_steps(tmp_path: Path):
    path = tmp_path / "history.csv"
    path.write_text("step,metric,value\n20,loss,0.25\n10,loss,0.5\n20,psnr_db,24.5\n")

    history = read(path)

    assert set(history) == {"loss", "psnr_db"}
    assert history["loss"].steps.tolist() == [10, 20]
    assert history["loss"].values.tolist() == [0.5, 0.25]
    assert history["psnr_db"].steps.tolist() == [20]


def test_a_value_that_is_not_finite_is_named_with_its_step(tmp_path: Path):
    path = tmp_path / "history.csv"
    path.write_text("step,metric,value\n10,loss,0.5\n20,loss,nan\n")

    with pytest.raises(ValueError, match=r"history\.csv: loss at step 20 must be finite, got nan"):
        read(path)


def test_smoothing_is_a_running_mean_with_shorter_windows_at_the_ends():
    # Span 3: (1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6 + 4) / 3, (6 + 4) / 2.
    assert smooth(np.array([1.0, 2.0, 6.0, 4.0]), 3) == pytest.approx([1.5, 3.0, 4.0, 5.0])
    assert smooth(np.array([1.0, 2.0, 6.0]), 1) == pytest.approx([1.0, 2.0, 6.0])


def test_a_moving_mean_has_the_spread_of_the_same_values():
    # An eighth of five values is less than three, so three: of 1 and 3; of 1, 3 and 8; of 3, 8 and 3; ...
    of = moving(np.array([1.0, 3, 8, 3, 3]))

    assert of.count == 3
    assert of.mean == pytest.approx([2, 4, 14 / 3, 14 / 3, 3])
    assert of.spread == pytest.approx([1, (26 / 3) ** 0.5, (50 / 9) ** 0.5, (50 / 9) ** 0.5, 0])
