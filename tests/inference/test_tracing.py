"""A network as an exporter can follow it computes what the network does."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasir.inference import model, tracing, zoo
from nasir.layers.deformable import DeformableConv

SIDES = ((24, 16), (13, 21), (2, 3), (1, 1))
"""Multiples of every block, none, and shorter than a block."""


class Block(nn.Module):
    """Each pixel less the one at its right, with sides filled up to multiples of 4 as `fill_up` does."""

    downscale = 4

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x):
        h, w = x.shape[-2:]
        filled = F.pad(x, (0, -w % 4, 0, -h % 4), mode=self.mode)
        return (filled - filled.roll(-1, 3))[..., :h, :w]


@pytest.mark.parametrize("name", zoo.names())
@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_a_shipped_network_is_the_same_on_every_size(name, sides):
    denoiser = model.load(name)
    noisy = torch.rand(2, denoiser.channels, *sides, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = tracing.traceable(denoiser.network, denoiser.channels)(noisy) - denoiser.network(noisy)
    assert float(difference.abs().max()) < 1e-6


def test_ends_that_are_repeated_are_told_from_mirrored_ones():
    x = torch.tensor([[[[1.0, 2.0, 4.0, 7.0, 11.0]]]])
    # repeated: 11 behind the last, so 11 - 11 = 0
    assert tracing.traceable(Block("replicate"), 1)(x).tolist() == [[[[-1.0, -2.0, -3.0, -4.0, 0.0]]]]


def test_ends_that_are_filled_up_in_another_way_are_refused():
    with pytest.raises(
        ValueError, match=r"blocks of 4x4 pixels must fill sides up by mirroring or repeating their ends"
    ):
        tracing.traceable(Block("constant"), 1)


@pytest.mark.parametrize("sides", [(5, 7), (1, 1)], ids=str)
def test_a_deformable_convolution_reads_the_same_between_pixels_and_outside(sides):
    torch.manual_seed(0)
    layer = DeformableConv(3, 2)
    nn.init.normal_(layer.predict.weight, std=2.0)  # offsets of several pixels, some beyond every border
    x = torch.rand(2, 3, *sides)
    with torch.no_grad():
        assert torch.allclose(tracing.TracedDeformable(layer)(x), layer(x), atol=1e-5)


def test_a_network_with_deformable_convolutions_is_left_as_it_was():
    network = nn.Sequential(DeformableConv(1, 4), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 3, padding=1)).eval()
    nn.init.normal_(network[0].predict.weight, std=2.0)
    network[1].running_mean.fill_(0.3)
    twin = tracing.traceable(network, 1)
    x = torch.rand(1, 1, 6, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(twin(x), network(x), atol=1e-5)
    assert isinstance(network[0], DeformableConv) and not any(isinstance(m, DeformableConv) for m in twin.modules())
