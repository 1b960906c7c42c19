"""A device is one of the known ones, and there; what is computed on it is repeatable where that is asked for."""

import os

import pytest
import torch

from nasir.config.training import DEVICES
from nasir.training.device import choose, facts, set_determinism


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


@pytest.fixture
def flags(monkeypatch):
    """Torch's flags, put back behind the test."""
    before = torch.are_deterministic_algorithms_enabled()
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize(
    ("device", "asked", "expected"),
    [
        ("cpu", "auto", True),
        ("cpu", True, True),
        ("cpu", False, False),
        ("cuda", "auto", False),
        ("cuda", True, True),
        ("cuda", False, False),
    ],
)
def test_bits_are_repeatable_on_a_cpu_and_where_it_is_asked_for(flags, device, asked, expected):
    set_determinism(torch.device(device), asked)

    assert torch.are_deterministic_algorithms_enabled() is expected
    assert not torch.backends.cudnn.benchmark and not torch.backends.cudnn.allow_tf32
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is (device == "cuda" and expected)
    assert facts(torch.device(device), "32-true", asked)["deterministic"] is expected


def test_an_operation_without_a_repeatable_form_is_refused_where_repeatable_bits_are_asked_for(flags):
    # torch has none for this one, on any device
    def write_twice() -> torch.Tensor:
        return torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)

    set_determinism(torch.device("cpu"), True)
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        write_twice()
    set_determinism(torch.device("cpu"), False)
    assert write_twice().sum() == 1
