"""Receptive fields: by hand, and by changing pixels."""

import dataclasses
import random

import pytest
import torch
from torch import nn

from nasir.inference.reach import deformable_layers, radius
from nasir.layers.deformable import DeformableConv
from nasir.layers.downscaling import enlarge, shrink
from nasir.networks import catalogue
from nasir.spaces import hinas, irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSizes

SIZES = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(3,))


def draw(seed: int, operations: tuple[str, ...]) -> Genotype:
    """A random genotype of two layers with two nodes each."""
    rng = random.Random(seed)
    cell = tuple(
        tuple(Edge(input=i, operation=rng.choice(operations)) for i in rng.sample(range(node + 2), 2))
        for node in range(2)
    )
    return Genotype(
        space="irnas", cells=(cell,), path=(0, 1), width_factors=(1.0, 2.0), residual=True, activation="relu"
    )


def build(seed: int, operations: tuple[str, ...], downscale: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    network = irnas.SPACE.build(dataclasses.replace(draw(seed, operations), downscale=downscale), SIZES, channels=1)
    network.output[1].reset_parameters()  # it starts at zero
    return network.double().eval()


def open_up(network: nn.Module) -> None:
    """Make all positive: no activation is closed, nothing cancels; then each pixel within the reach counts."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.abs_()
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.zero_()


PLAIN = tuple(name for name in irnas.OPERATIONS if name not in ("def_3x3", "none"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dncnn", 17),  # 17 layers of 3x3
        ("red30", 30),  # 15 there, 15 back
        ("memnet", 1 + 6 * 6 * 2 + 1),  # input, 6 blocks of 6 recursions of two, reconstruction
        ("memnet-shared", 74),
    ],
)
def test_the_reach_of_the_baselines_by_hand(name, expected):
    assert radius(catalogue.build(name, 1), 1) == expected


def test_the_reach_of_a_later_network_by_hand():
    cell = ((Edge(input=0, operation="sep_5x5"), Edge(input=1, operation="dil_5x5")),)
    genotype = Genotype(
        space="hinas", cells=(cell,), path=(0, 0), width_factors=(1.0,), residual=True, activation="leaky_relu"
    )
    sizes = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(6,))
    # stem 1 + 1; each cell 4 (5x5 twice: 2 + 2; at rate 2: 4); ASPP 6; decoder 1 + 1; output 1
    assert radius(hinas.SPACE.build(genotype, sizes, channels=1), 1) == 2 + 4 + 4 + 6 + 2 + 1


def test_layers_in_a_row_add_up_and_the_longer_branch_counts():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 2, 5, padding=2)
            self.long = nn.Sequential(nn.Conv2d(2, 2, 3, padding=4, dilation=4), nn.ReLU(), nn.Conv2d(2, 1, 1))
            self.short = nn.Conv2d(2, 1, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.long(x) - self.short(x)

    assert radius(Branches(), 1) == 2 + 4


@pytest.mark.parametrize(("kernel", "padding", "expected"), [((1, 7), (0, 3), 3), ((5, 1), (2, 0), 2), (1, 0, 0)])
def test_rows_and_columns_both_count(kernel, padding, expected):
    assert radius(nn.Conv2d(3, 3, kernel, padding=padding), 3) == expected


def test_taps_far_apart_leap_over_nothing():
    # after the first layer the pixel in the middle counts at 0, -90 and 90 alone; the second one reads there
    layers = [nn.Conv2d(1, 1, 3, padding=rate, dilation=rate) for rate in (90, 70, 40)]
    assert radius(nn.Sequential(*layers), 1) == 200
    assert radius(nn.Conv2d(1, 1, (1, 3), padding=(0, 300), dilation=(1, 300)), 1) == 300


def test_what_is_seen_on_one_side_alone_counts():
    class Behind(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.pad(x, (0, 0, 9, 0))[:, :, :-9]

    class Ahead(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.pad(x, (0, 7))[..., 7:]

    assert radius(Behind(), 1) == 9
    assert radius(Ahead(), 1) == 7


def test_a_deformable_layer_reaches_as_far_as_its_offsets():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), DeformableConv(2, 2), nn.Sequential(DeformableConv(2, 1)))
    assert len(deformable_layers(network)) == 2
    assert radius(network, 1) == 1 + 1 + 1
    assert radius(network, 1, (4, 7)) == 1 + (1 + 4) + (1 + 7)
    assert radius(network, 1, (9000, 0)) == 1 + (1 + 9000) + 1  # wild offsets are no pooling


@pytest.mark.parametrize("seed", range(4))
def test_no_pixel_farther_away_changes_anything_in_a_random_network(seed):
    network = build(seed, PLAIN)
    reach = radius(network, 1)
    assert 2 <= reach <= 40
    x = torch.rand(1, 1, 90, 90, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    changed = x.clone()
    changed[..., 40, 50] += 1.0
    with torch.no_grad():
        difference = (network(changed) - network(x))[0, 0]
    rows, columns = difference.nonzero(as_tuple=True)
    farthest = torch.maximum((rows - 40).abs(), (columns - 50).abs()).max()
    assert farthest <= reach


def test_no_pixel_nearer_would_do():
    network = build(0, PLAIN)
    open_up(network)
    reach = radius(network, 1)
    x = torch.full((1, 1, 61, 61), 0.5, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, 30, 30].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert max((rows - 30).abs().max(), (columns - 30).abs().max()) == reach


@pytest.mark.parametrize("downscale", [2, 3])
def test_the_reach_of_a_network_of_blocks_holds_at_each_place_in_a_block(downscale):
    network = build(0, PLAIN, downscale)
    open_up(network)
    reach = radius(network, 1)
    side = 2 * reach + 2 * downscale + 1
    x = torch.full((1, 1, side, side), 0.5, dtype=torch.float64, requires_grad=True)
    output, farthest = network(x), []
    for place in range(downscale**2):
        row, column = (side // 2 + shift for shift in divmod(place, downscale))
        [slope] = torch.autograd.grad(output[0, 0, row, column], x, retain_graph=True)
        rows, columns = slope[0, 0].nonzero(as_tuple=True)
        farthest.append(max((rows - row).abs().max().item(), (columns - column).abs().max().item()))
    assert reach - downscale < max(farthest) <= reach
    assert min(farthest) < max(farthest) or downscale == 2  # in the middle of a block of three it is one pixel less


def test_wild_offsets_in_a_network_of_blocks_are_no_pooling():
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.downscale = 4
            self.layer = DeformableConv(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return enlarge(self.layer(shrink(x, 4)), 4, x)

    # blocks 9,001 away, from any place in one to any place in the other
    assert 4 * 9001 + 3 <= radius(Blocks(), 1, (9000,)) <= 4 * 9001 + 3 + 3


def test_weights_of_zero_reach_no_less():
    network = nn.Conv2d(1, 1, 5, padding=2)
    nn.init.zeros_(network.weight)
    assert radius(network, 1) == 2


def test_measuring_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), DeformableConv(1, 1)).train()
    before = [p.clone() for p in network.parameters()]
    radius(network, 1, (3,))
    assert network.training and isinstance(network[1], DeformableConv)
    assert all(
        torch.equal(p, q) and p.dtype == torch.float32 for p, q in zip(network.parameters(), before, strict=True)
    )


class Pooled(nn.Module):
    """The mean of the image at every pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3), keepdim=True).expand_as(x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Pooled(), r"must be bounded, got one of 8192 pixels or more \(global pooling\?\)"),
        (nn.Conv2d(1, 1, 3, stride=2, padding=1), "must have stride 1"),
        (nn.Conv2d(1, 1, 1, padding=1), r"images of its input's size, got \(3, 131\) for \(1, 129\)"),
    ],
)
def test_a_network_that_cannot_be_cut_is_refused(network, message):
    with pytest.raises(ValueError, match=message):
        radius(network, 1)
