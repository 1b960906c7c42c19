"""The running mean of weights against a loop by hand, and its way through a checkpoint."""

import copy

import pytest
import torch
from torch import Tensor, nn

from nasir.training.averaging import Average


def build(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def move(network: nn.Module, step: int) -> None:
    """Other weights, statistics and counter, as a step of training leaves them."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    network(torch.randn(2, 1, 5, 5, generator=generator))


def copied(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def test_without_a_decay_the_average_is_the_network_itself():
    network = build()
    average = Average(network, 0.0)
    before = copied(network)
    average.follow()
    average.restore({})
    assert average.network is network
    assert average.state() == {}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_average_is_that_of_a_loop_by_hand():
    # after the first step it is the network; then it keeps 2/11, 3/12 and, as 4/13 is above the decay, 0.3 of itself
    network = build()
    average, expected = Average(network, 0.3), {}
    for step, kept in enumerate((0.0, 2 / 11, 3 / 12, 0.3, 0.3)):
        move(network, step)
        now = copied(network)
        average.follow()
        assert all(torch.equal(value, now[name]) for name, value in network.state_dict().items())
        for name, value in now.items():
            if value.is_floating_point():
                expected[name] = kept * expected.get(name, 0.0) + (1 - kept) * value.double()
            else:
                expected[name] = value
        found = average.network.state_dict()
        assert list(found) == list(now)
        for name, value in found.items():
            torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-5, atol=1e-6)
    assert found["1.num_batches_tracked"] == 5
    assert not torch.allclose(found["1.running_var"], now["1.running_var"])


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_an_average_carried_on_is_that_of_one_left_alone(steps):
    network, other = build(), build(seed=1)
    whole, part = Average(network, 0.9), Average(network, 0.9)
    for step in range(steps):
        move(network, step)
        whole.follow()
        part.follow()
    state = copy.deepcopy(part.state())

    carried = Average(other, 0.9)
    carried.restore(state)
    other.load_state_dict(network.state_dict())
    for step in range(steps, steps + 3):
        for one, average in ((network, whole), (other, carried)):
            move(one, step)
            average.follow()

    found = carried.network.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in whole.network.state_dict().items())
