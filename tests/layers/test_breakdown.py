"""Operations within groups of a network's modules."""

import torch
from torch import Tensor, nn

from nasir.layers.breakdown import flops_within
from nasir.layers.deformable import DeformableConv


class Twice(nn.Module):
    """A convolution that runs twice, and a product that belongs to no module."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Sequential(nn.Conv2d(2, 1, 1)))
        self.last = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.first(self.first(x)))
        return x @ x.mT


def test_each_call_counts_once_however_deep_and_what_no_group_has_is_in_the_total():
    network = Twice()
    groups = {"first": list(network.first.modules()), "last": [network.last]}

    total, found = flops_within(network, torch.zeros(1, 1, 5, 4), groups)

    # 20 pixels; first: 9 * 2 + 2 multiply-adds, twice; last: 1; then (5, 4) times (4, 5)
    assert found == {"first": 2 * 2 * 20 * (9 * 2 + 2), "last": 2 * 20}
    assert total == sum(found.values()) + 2 * 5 * 4 * 5


def test_nothing_stays_on_the_network_behind_it():
    network = Twice()
    flops_within(network, torch.zeros(1, 1, 5, 4), {"last": [network.last]})
    assert not network.last._forward_hooks and not network.last._forward_pre_hooks


def test_a_deformable_convolution_counts_with_its_offsets():
    layer = DeformableConv(2, 3)
    total, found = flops_within(layer, torch.zeros(1, 2, 8, 8), {"layer": [layer]})
    assert found == {"layer": total} == {"layer": 2 * 64 * (9 * 2 * 27 + 9 * 2 * 3)}
