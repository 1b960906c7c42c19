"""What hours of training brought."""

import io

import numpy as np
import pytest
from PIL import Image

from nasir.reporting.history import Curve
from nasir.reporting.paper import hours


def training(name="a-bsd500-50", group="bsd500, sigma 50", steps=(1000, 2000, 4000), psnr=(25.0, 26.0, 26.5)):
    curve = Curve(steps=np.array(steps), values=np.array(psnr))
    return hours.Training(name=name, group=group, seconds=7200, device="CPU", psnr=curve)


def test_steps_become_hours_and_shares_lie_between_scores():
    one = training()
    assert one.hours.tolist() == [0.5, 1.0, 2.0]
    assert [one.at(share) for share in (1, 0.5, 0.25, 0.375)] == [26.5, 26.0, 25.0, 25.5]
    assert one.at(0.2) is None


def test_the_table_says_what_the_second_half_brought():
    [row] = [line for line in hours.section([training()], "hours.png").splitlines() if line.startswith("| a-bsd500-50")]
    assert row == "| a-bsd500-50 | 4,000 | 2.00 | CPU | 26.50 | 26.00 | 25.00 | +0.50 |"
    late = hours.section([training(steps=(3000, 4000), psnr=(26.0, 26.5))], "hours.png")
    assert "| 26.50 | - | - | - |" in late


def test_without_trainings_there_is_no_section():
    assert hours.section([], "hours.png") == ""


@pytest.mark.parametrize(("groups", "rows"), [(1, 1), (2, 1), (3, 2)])
def test_each_group_has_a_panel(groups, rows):
    drawn = hours.draw([training(name=f"{n}", group=f"group {n}") for n in range(groups)])
    alike = hours.draw([training(name=f"{n}", group=f"group {n}") for n in range(groups)])
    with Image.open(io.BytesIO(drawn)) as image:
        assert image.height == pytest.approx(286 * rows, abs=1)
    assert drawn == alike != hours.draw([training(name="other", group=f"group {n}") for n in range(groups)])
