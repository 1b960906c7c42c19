"""The HiNAS space: its laws. That its numbers are the authors' is in test_conformance.py.

A one-hot supernet is not the derived network here, as it is in irnas: the supernet has a head for every width and mixed inputs
for f_{l-2}, the network scalers and a decoder of its own. What must agree is the cell.
"""

import dataclasses
import itertools
import random

import pytest
import torch
from torch import nn

from nasir.layers.cost import parameters
from nasir.spaces import hinas
from nasir.spaces.cells import searching
from nasir.spaces.cells.cell import DerivedCell, SuperCell, edges
from nasir.spaces.cells.genotype import Cell, Edge, Genotype
from nasir.spaces.cells.operations import Style
from nasir.spaces.cells.widths import levels, sources, targets
from tests.spaces.cells.small import SMALL

NAMES = hinas.OPERATIONS


def supernet(
    layers=3,
    nodes=2,
    width=2,
    width_factors=(1, 1.5, 2),
    channels=1,
    residual=False,
    share_alpha=False,
    beta_norm="outgoing",
    activation="leaky_relu",
    sigmoid=False,
) -> hinas.Supernet:
    torch.manual_seed(0)
    net = hinas.Supernet(
        channels=channels,
        nodes=nodes,
        layers=layers,
        width=width,
        width_factors=width_factors,
        stem_channels=5,
        residual=residual,
        share_alpha=share_alpha,
        beta_norm=beta_norm,
        activation=activation,
        sigmoid=sigmoid,
        partial=1,
        generator=torch.Generator().manual_seed(0),
    )
    return awake(net)


def awake(net):
    """The same, with a last convolution that does not start at zero, as it does with a residual."""
    torch.manual_seed(1)
    net.output.reset_parameters()
    return net


def draw_cell(nodes: int, seed: int) -> Cell:
    rng = random.Random(seed)
    choices = [name for name in NAMES if name != "none"]
    return tuple(
        tuple(Edge(input=i, operation=rng.choice(choices)) for i in rng.sample(range(node + 2), 2))
        for node in range(nodes)
    )


def network(path=(0, 1, 2), aspp_channels=0, affine=True, residual=False) -> hinas.Network:
    genotype = Genotype(
        space="hinas",
        cells=tuple(draw_cell(2, layer) for layer in range(len(path))),
        path=path,
        width_factors=(1, 1.5, 2),
        residual=residual,
        activation="leaky_relu",
    )
    torch.manual_seed(0)
    net = hinas.Network(
        genotype,
        channels=1,
        width=2,
        stem_channels=5,
        aspp_channels=aspp_channels,
        aspp_rates=(2, 4) if aspp_channels else (),
        affine=affine,
    )
    return awake(net)


@pytest.mark.parametrize("is_training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("seed", range(3))
def test_a_one_hot_cell_equals_its_derived_cell(seed, activation, is_training):
    style, chosen = Style(activation=activation, separable=2), draw_cell(3, seed)
    torch.manual_seed(seed)
    full, kept = SuperCell(NAMES, 3, 4, style).double(), DerivedCell(chosen, 4, False, style).double()
    weights = torch.zeros(len(edges(3)), len(NAMES), dtype=torch.float64)
    for row, (node, source) in enumerate(edges(3)):
        column = NAMES.index({e.input: e.operation for e in chosen[node]}.get(source, "none"))
        weights[row, column] = 1
        for position, edge in enumerate(chosen[node]):
            if edge.input == source:
                kept.operations[node][position].load_state_dict(full.operations[row][column].state_dict())
    x, y = torch.randn(2, 2, 4, 9, 8, dtype=torch.float64)
    full.train(is_training)
    kept.train(is_training)
    torch.testing.assert_close(full(x, y, weights), kept(x, y), rtol=0, atol=1e-12)


def test_a_cell_s_second_input_is_the_mixed_input_of_its_level_one_layer_before():
    net = supernet()
    seen = {}
    for layer, cells in enumerate(net.cells):
        for level, cell in cells.items():
            cell.register_forward_hook(lambda _, inputs, out, at=(layer, int(level)): seen.update({at: inputs[:2]}))
    net(torch.randn(2, 1, 6, 6))
    for layer, level in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]:
        assert seen[layer, level][0] is seen[layer - 1, level][1]
    # a level that is new is widened from the next narrower level's, whether that one is new too or not
    for layer, level in [(0, 1), (1, 2)]:
        torch.testing.assert_close(seen[layer, level][0], net.widen[str(level)](seen[layer, level - 1][0]))


def test_the_first_convolution_is_activated_twice_on_its_way_to_the_first_layer():
    net = supernet(activation="leaky_relu").eval()
    with torch.no_grad():
        for part in (net.stem[0][0], net.stem_last[0]):
            part.weight.zero_()
        net.stem[0][0].weight[:, :, 1, 1] = -1
        net.stem_last[0].weight[:, 0, 1, 1] = 1
        seen = []
        net.from_last[0]["0"]["0"].register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
        net(torch.ones(1, 1, 3, 3))
    # -1 * 0.2 * 0.2; the running variance 1 of two normalisations changes it by a factor of 1 / (1 + 1e-5)
    torch.testing.assert_close(seen[0], torch.full_like(seen[0], -0.04), rtol=2e-5, atol=0)


def test_layers_with_equal_alphas_are_layers_that_share_alpha():
    shared, own = supernet(share_alpha=True).double(), supernet().double()
    assert (tuple(shared.alpha.shape), tuple(own.alpha.shape)) == ((5, 7), (3, 5, 7))
    own.load_state_dict({k: v for k, v in shared.state_dict().items() if k != "alpha"}, strict=False)
    alpha = torch.randn(shared.alpha.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        shared.alpha.copy_(alpha)
        own.alpha.copy_(alpha)
    x = torch.randn(2, 1, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(own(x), shared(x), rtol=0, atol=0)


def test_residual_and_sigmoid_come_after_the_output():
    x = torch.randn(1, 1, 6, 6)
    plain, both = supernet().eval()(x), supernet(residual=True, sigmoid=True).eval()(x)
    torch.testing.assert_close(supernet(residual=True).eval()(x), x - plain)
    torch.testing.assert_close(both, 1 / (1 + torch.exp(plain - x)))


def test_parameters_of_a_cell():
    # an edge of C = 2 channels: conv 9 C^2 = 36; sep twice 2 (9 C + C^2) = 44 and 2 (25 C + C^2) = 108; dil 36 and 25 C^2 = 100
    assert parameters(supernet(nodes=1).cells[0]["0"]) == 2 * (36 + 44 + 108 + 36 + 100)


def test_only_the_dilated_branch_of_the_heads_scales_and_shifts():
    scaled = [name for name, part in supernet().named_modules() if isinstance(part, nn.BatchNorm2d) and part.affine]
    assert scaled == [f"heads.{level}.atrous.0.{place}" for level in range(3) for place in (1, 4)]


@pytest.mark.parametrize("beta_norm", ["incoming", "outgoing"])
def test_every_logit_with_a_choice_gets_a_gradient_and_no_other(beta_norm):
    net = supernet(beta_norm=beta_norm).double()
    net(torch.randn(2, 1, 8, 8, dtype=torch.float64)).square().mean().backward()
    assert (net.alpha.grad != 0).all()
    for layer, source, direction in itertools.product(range(3), range(3), range(3)):
        level = source + direction - 1
        exists = source in (levels(layer - 1, 3) if layer else [0]) and level in targets(layer, source, 3)
        # a softmax over one has no gradient; outgoing, every cell has two steps or three
        has_choice = exists and (beta_norm == "outgoing" or len(sources(layer, level, 3)) > 1)
        assert (net.beta.grad[layer, source, direction] != 0) == has_choice


@pytest.mark.parametrize("width_factors", [(1,), (1, 3), (1, 1.5, 2, 2.5)])
def test_any_number_of_widths_and_channels_passes(width_factors):
    net = supernet(layers=2, width_factors=width_factors, channels=3)
    assert net(torch.randn(1, 3, 7, 11)).shape == (1, 3, 7, 11)
    assert len(net.heads) == min(3, len(width_factors))


def test_weights_and_architecture_divide_the_parameters():
    net = supernet()
    parts = [{id(p) for p in part} for part in (net.weights(), net.architecture())]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {id(p) for p in net.parameters()}


@pytest.mark.parametrize(("path", "reads_stem"), [((0, 1, 2), False), ((1, 2, 2), True), ((0, 1, 0), True)])
def test_the_decoder_reads_the_endpoint_or_the_stem(path, reads_stem):
    net = network(path).eval()
    assert hasattr(net, "reduce") == reads_stem
    seen = []
    net.project.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    (net.reduce if reads_stem else net.cells[0]).register_forward_hook(lambda _, inputs, out: seen.append(out))
    net(torch.randn(1, 1, 6, 6))
    assert seen[0] is seen[1]


def test_every_parameter_of_a_derived_network_has_a_gradient():
    for path in [(0, 1, 2), (1, 2, 2)]:
        net = network(path)
        net(torch.randn(2, 1, 8, 8)).square().mean().backward()
        assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("aspp_channels", [0, 3])
def test_a_derived_network_keeps_sizes_with_and_without_aspp(aspp_channels):
    net = network(aspp_channels=aspp_channels, residual=True).eval()
    x = torch.randn(1, 1, 7, 11)
    assert net(x).shape == x.shape
    torch.testing.assert_close(x - net(x), network(aspp_channels=aspp_channels).eval()(x))
    assert isinstance(net.tail, hinas.Aspp) == (aspp_channels > 0)


def test_a_cell_for_each_path_is_refused():
    section = dataclasses.replace(SMALL, share_cells=False)
    with pytest.raises(ValueError, match=r"space\.share_cells must be true with the space hinas.*got False"):
        searching.relax("hinas", section, channels=1, seed=0)
