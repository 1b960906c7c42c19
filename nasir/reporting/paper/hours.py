"""What hours of training brought: PSNR on V in the course of each shipped network's training, drawn and as a table."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nasir.canvas import plain_style, to_png
from nasir.reporting.history import Curve
from nasir.reporting.tables import psnr, signed, table

_COLOURS = ("#0072b2", "#d55e00", "#009e73")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one network was trained."""

    name: str
    group: str  # data set and noise level: what has one V
    seconds: float
    device: str
    psnr: Curve  # on V, dB

    @property
    def hours(self) -> NDArray[np.float64]:
        """Of each score; a step's share of the steps is its share of the hours."""
        return self.psnr.steps / self.psnr.steps[-1] * self.seconds / 3600

    def at(self, share: float) -> float | None:
        """PSNR on V after that share of the steps, between two scores on a straight line; None before the first one."""
        step = share * self.psnr.steps[-1]
        return None if step < self.psnr.steps[0] else float(np.interp(step, self.psnr.steps, self.psnr.values))


def section(trainings: Sequence[Training], figure: str) -> str:
    """The figure's place, the table and how to read both; empty without a training.

    Args:
        trainings: all of them.
        figure: where the page finds the figure.
    """
    if not trainings:
        return ""
    columns = ("network", "steps", "hours", "on", "V, dB", "at a half", "at a quarter", "second half brought")
    rows = []
    for one in trainings:
        end, half, quarter = one.psnr.values[-1], one.at(0.5), one.at(0.25)
        earlier = [psnr(value) if value is not None else "-" for value in (half, quarter)]
        gain = signed(end - half, 2) if half is not None else "-"
        rows.append(
            [one.name, f"{one.psnr.steps[-1]:,}", f"{one.hours[-1]:.2f}", one.device, psnr(end), *earlier, gain]
        )
    return f"""## What hours brought

![PSNR on V against hours of training]({figure})

{table(columns, rows, [name for name in columns if name not in ("network", "on")])}

V is the part of the training images that no training sees; it is not the test part. The rate falls to the end of each training,
so one that is stopped at its half is not one of half the steps: only two trainings of one network show what twice the steps
bring (sigma 50: ../README.md). The hours are by the clock, beside other work on the same machine.
"""


def draw(trainings: Sequence[Training]) -> bytes:
    """A panel for each group: PSNR on V against hours, a line for each training, as PNG."""
    groups: dict[str, list[Training]] = {}
    for one in trainings:
        groups.setdefault(one.group, []).append(one)
    with plain_style():
        drawn = Figure(figsize=(8.5, 2.6 * -(-len(groups) // 2)), layout="constrained")
        for number, (group, members) in enumerate(groups.items(), 1):
            axes = drawn.add_subplot(-(-len(groups) // 2), 2, number)
            for colour, one in zip(itertools.cycle(_COLOURS), members, strict=False):
                axes.plot(one.hours, one.psnr.values, color=colour, marker=".", label=one.name)
            axes.set(title=f"{group}: PSNR on V in dB", xlabel="hours", xlim=(0, None))
            axes.legend(loc="lower right")
        return to_png(drawn)
