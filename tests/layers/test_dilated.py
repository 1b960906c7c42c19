"""Dilated convolutions under bfloat16 autocast: their gradients, and that nothing has others."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasir.layers.dilated import DilatedConv
from nasir.networks.rescan import Rescan
from nasir.spaces.contract import find, part
from tests.spaces.cells.small import SMALL

CASES = [(10, 10, False), (16, 16, True), (20, 40, False), (64, 64, True), (32, 32, False), (24, 96, False)]


@pytest.mark.parametrize(("channels_in", "channels", "is_depthwise"), CASES, ids=str)
@pytest.mark.parametrize(("size", "dilation"), [(3, 2), (3, 4), (5, 2)])
def test_the_gradients_are_those_of_float32_but_for_the_rounding(channels_in, channels, is_depthwise, size, dilation):
    torch.manual_seed(0)
    conv = DilatedConv(
        channels_in, channels, size, padding=dilation * (size // 2), dilation=dilation,
        groups=channels_in if is_depthwise else 1, bias=False,
    ).to(memory_format=torch.channels_last)  # fmt: skip
    x = torch.randn(12, channels_in, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    given = torch.randn(y.shape)
    found = torch.autograd.grad(y, (x, conv.weight), given.to(y.dtype))
    plain = F.conv2d(x, conv.weight, padding=conv.padding, dilation=dilation, groups=conv.groups)
    expected = torch.autograd.grad(plain, (x, conv.weight), given)
    for one, other in zip((y, *found), (plain, *expected), strict=True):
        assert (one.float() - other).abs().max() < 0.03 * other.abs().max()


def test_without_autocast_it_is_torchs_own_to_the_bit():
    torch.manual_seed(0)
    conv, x = DilatedConv(6, 6, 3, padding=2, dilation=2, groups=6), torch.randn(1, 6, 9, 9)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=2, dilation=2, groups=6))


@pytest.mark.parametrize("name", ["irnas", "hinas"])
def test_whatever_is_dilated_in_a_space_or_baseline_is_such_a_convolution(name):
    space, generator = find(name), torch.Generator().manual_seed(0)
    networks = [Rescan(1, unit="rnn", stages=2), part(space.searching).relax(name, SMALL, channels=1, seed=0).network]
    networks += [part(space.searching).share(name, SMALL, channels=1, seed=0).network]
    for _ in range(4):
        genotype = part(space.searching).random_genotype(name, SMALL, generator)
        networks.append(space.build(genotype, space.candidate_sizes(SMALL), 1))
    for network in networks:
        dilated = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)]
        assert all(isinstance(convolution, DilatedConv) for convolution in dilated)
        assert dilated or network is not networks[0]
