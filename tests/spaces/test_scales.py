"""What is for small budgets: blocks of pixels, no normalisation, a tail that reads the stem, a start at zero."""

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from nasir.layers.deformable import DeformableConv
from nasir.spaces import hinas, irnas
from nasir.spaces.cells import searching
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSizes
from tests.spaces.cells.small import SMALL

SPACES = {"irnas": irnas.SPACE, "hinas": hinas.SPACE}
SIZES = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))
KINDS = {name: [kind for kind in space.operations if kind != "none"] for name, space in SPACES.items()}
GENOTYPE = Genotype(
    space="irnas",
    cells=(
        (
            (Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="sep_3x3")),
            (Edge(input=2, operation="dil_3x3"), Edge(input=1, operation="skip")),
        ),
    ),
    path=(0, 1),
    width_factors=(1.0, 2.0),
    residual=False,
    activation="relu",
)
OPTIONS = [
    {"downscale": downscale, "norm": norm, "reads_stem": reads_stem}
    for downscale, norm, reads_stem in itertools.product((1, 2, 3), ("batch", "none"), (False, True))
]


def network(space: str, channels: int = 1, aspp_channels: int = 2, **changes) -> nn.Module:
    torch.manual_seed(0)
    sizes = dataclasses.replace(SIZES, aspp_channels=aspp_channels)
    return SPACES[space].build(dataclasses.replace(GENOTYPE, space=space, **changes), sizes, channels)


def supernet(space: str, channels: int = 1, **changes) -> nn.Module:
    section = dataclasses.replace(SMALL, residual=False)
    return searching.relax(space, dataclasses.replace(section, **changes), channels, seed=0).network


def last(net: nn.Module) -> nn.Conv2d:
    """The last convolution."""
    [found] = [module for module in net.output.modules() if isinstance(module, nn.Conv2d)]
    return found


in_both = pytest.mark.parametrize("space", list(SPACES))


@in_both
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (7, 11)], ids=str)
def test_images_of_any_size_keep_it(space, options, size):
    x = torch.randn(2, 3, *size)
    assert network(space, channels=3, **options).eval()(x).shape == x.shape
    assert supernet(space, channels=3, **options).eval()(x).shape == x.shape


@in_both
@pytest.mark.parametrize("make", [network, supernet])
def test_a_network_of_blocks_is_one_of_their_pixels_as_channels(space, make):
    # the same weights on images of four channels and half the sides
    whole, inner = make(space, downscale=2).eval(), make(space, channels=4).eval()
    inner.load_state_dict(whole.state_dict())
    x = torch.randn(2, 1, 8, 6)
    expected = nn.PixelShuffle(2)(inner(nn.PixelUnshuffle(2)(x)))
    torch.testing.assert_close(whole(x), expected, rtol=0, atol=1e-6)
    assert tuple(whole(x[..., :7, :5]).shape) == (2, 1, 7, 5)


def mixing(net: nn.Module) -> list[nn.Conv2d]:
    """The convolutions of all channels, but for those that predict offsets."""
    predicting = {id(module.predict) for module in net.modules() if isinstance(module, DeformableConv)}
    plain = [module for module in net.modules() if isinstance(module, nn.Conv2d) and id(module) not in predicting]
    return [module for module in plain if module.groups == 1]


def is_normalised(net: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize("aspp_channels", [0, 2])
@pytest.mark.parametrize(("space", "kind"), [(space, kind) for space, kinds in KINDS.items() for kind in kinds])
def test_without_normalisation_the_convolutions_have_a_bias(space, kind, aspp_channels):
    cell = ((Edge(input=0, operation=kind), Edge(input=1, operation="conv_3x3")),)
    bare, normal = (
        network(space, aspp_channels=aspp_channels, cells=(cell,), reads_stem=True, norm=norm)
        for norm in ("none", "batch")
    )
    assert not is_normalised(bare)
    assert all(module.bias is not None for module in mixing(bare))
    assert is_normalised(normal)
    assert [module for module in mixing(normal) if module.bias is not None] == [last(normal)]


@in_both
def test_a_supernet_is_normalised_whatever_the_section_says_of_the_discrete_networks(space):
    assert is_normalised(supernet(space, norm="none"))


def spread(net: nn.Module, cells: list[nn.Module]) -> float:
    """How far the outputs for two images lie apart in one pixel at most, if these cells give zeros."""
    for cell in cells:
        cell.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    one, other = torch.randn(2, 1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    net.eval()
    return (net(one) - net(other)).abs().max().item()


@in_both
@pytest.mark.parametrize("reads_stem", [False, True])
@pytest.mark.parametrize("aspp_channels", [0, 2])
def test_the_tail_of_a_network_that_reads_the_stem_sees_it_past_all_cells(space, aspp_channels, reads_stem):
    net = network(space, aspp_channels=aspp_channels, reads_stem=reads_stem)
    found = spread(net, list(net.cells))
    assert found > 1e-4 if reads_stem else found == 0


@in_both
@pytest.mark.parametrize("reads_stem", [False, True])
def test_so_does_that_of_a_supernet(space, reads_stem):
    net = supernet(space, reads_stem=reads_stem)
    found = spread(net, list(net.cells[-1].values()))
    assert found > 1e-4 if reads_stem else found == 0


def test_what_the_last_cell_gives_is_added_to_the_stem_s_output():
    net, seen = network("irnas", reads_stem=True).eval(), []
    net.stem.register_forward_hook(lambda module, inputs, output: seen.append(output[1]))
    net.tail.register_forward_hook(lambda module, inputs, output: seen.append(output))
    net.output.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    net(torch.randn(1, 1, 6, 6))
    stem, features, summed = seen
    torch.testing.assert_close(summed, stem + features)


def test_a_later_network_that_reads_the_stem_has_no_endpoint():
    # in the path (0, 1) the first layer would be it
    assert [network("hinas", reads_stem=reads_stem).endpoint for reads_stem in (False, True)] == [0, None]


@in_both
@pytest.mark.parametrize("make", [network, supernet])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_network_with_a_residual_starts_as_the_identity(space, make, options):
    x = torch.randn(2, 1, 7, 5)
    net = make(space, residual=True, **options)
    for is_training in (True, False):
        assert torch.equal(net.train(is_training)(x), x)
    with torch.no_grad():
        last(net).bias.fill_(0.25)
    torch.testing.assert_close(net(x), x - 0.25)


@in_both
@pytest.mark.parametrize("make", [network, supernet])
def test_a_network_without_a_residual_does_not_start_at_zero(space, make):
    conv = last(make(space, residual=False))
    assert conv.weight.abs().min() > 0
    assert conv.bias.abs().min() > 0


@in_both
def test_the_section_s_options_are_those_of_what_is_found(space):
    options = {"downscale": 2, "norm": "none", "reads_stem": True}
    section = dataclasses.replace(SMALL, **options)
    relaxed = searching.relax(space, section, 1, seed=0)
    found = [
        relaxed.decode(relaxed.network.state_dict()),
        relaxed.runner_up(relaxed.network.state_dict()),
        searching.random_genotype(space, section, torch.Generator().manual_seed(0)),
        SPACES[space].from_tokens(section, (0, 0, 1, 0, 0, 0)),
    ]
    for genotype in found:
        assert {key: getattr(genotype, key) for key in options} == options


@in_both
def test_blocks_are_told_in_the_description(space):
    genotype = dataclasses.replace(GENOTYPE, space=space, downscale=2)
    assert "2 cells of 2 nodes, at 1 / 2 of the resolution, no global" in SPACES[space].describe(genotype, SIZES)
    assert "resolution" not in SPACES[space].describe(dataclasses.replace(genotype, downscale=1), SIZES)
