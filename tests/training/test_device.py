"""A device is one of the known ones, and there."""

import pytest
import torch

from nasir.config.training import DEVICES
from nasir.training.device import choose


@pytest.mark.parametrize("is_there", [True, False])
def test_the_known_names_are_the_documented_ones(monkeypatch, is_there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)

    assert DEVICES == ("auto", "cpu", "cuda")
    assert choose("cpu").type == "cpu"
    assert choose("auto").type == ("cuda" if is_there else "cpu")


@pytest.mark.parametrize("name", ["foo", "", "CPU", "cuda:1", "mps"])
def test_another_device_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"device must be one of \['auto', 'cpu', 'cuda'\], got '{name}'"):
        choose(name)


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(
        ValueError, match="device cuda was asked for, got a torch without a CUDA device; use auto or cpu"
    ):
        choose("cuda")
