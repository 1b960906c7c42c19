"""The seconds of a step by a clock that tests turn."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from torch import nn

from nasir import settings
from nasir.config import reading
from nasir.config.retrain import RetrainConfig
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import to_clean
from nasir.training import pace
from nasir.training.parallel import alone
from tests.search.test_darts import ROOT

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
RESOLVED = settings.resolve(reading.read(ROOT / "params.yaml"), ROOT / "profiles")
CONFIG = dataclasses.replace(
    settings.Settings(RESOLVED, "demo").section("retrain", RetrainConfig), patch=8, batch=1, steps=999, log_period=500
)


class Clocked(nn.Conv2d):
    """A network whose passes take the seconds that it is given, in training alone; the last one is used for ever."""

    def __init__(self, seconds: list[float]) -> None:
        super().__init__(1, 1, 3, padding=1)
        self.seconds, self.now, self.passes = seconds, 0.0, 0

    def forward(self, x):
        if self.training:
            self.now += self.seconds[min(self.passes, len(self.seconds) - 1)]
            self.passes += 1
        else:
            self.now += 50.0  # a score
        return super().forward(x)


def measure(network: Clocked, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(time, "process_time", lambda: network.now)
    return pace.seconds_per_step(
        network, patches=PatchSampler({"a": IMAGE}, 8, torch.device("cpu")), image=to_clean(IMAGE), sigma=50.0,
        config=CONFIG, team=alone(torch.device("cpu")),
    )  # fmt: skip


def test_it_is_the_shortest_of_twelve_steps(monkeypatch):
    for place in range(1, 13):  # behind the first
        seconds = [3.0] * 14
        seconds[place] = 2.0
        network = Clocked(seconds)
        assert measure(network, monkeypatch) == pytest.approx(2)
        assert network.passes == 14


@pytest.mark.parametrize("place", [0, 13])
def test_neither_the_first_step_nor_the_one_that_is_scored_is_timed(monkeypatch, place):
    seconds = [3.0] * 14
    seconds[place] = 0.1
    assert measure(Clocked(seconds), monkeypatch) == pytest.approx(3)


def test_setting_up_is_not_timed(monkeypatch):
    network = Clocked([1.0])
    network.now = 70.0
    assert measure(network, monkeypatch) == 1.0
