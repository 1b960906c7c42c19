"""The IR-NAS space: what exists, what is shared, and that a one-hot supernet is its derived network."""

import itertools
import random

import pytest
import torch

from nasir.layers.cost import parameters
from nasir.spaces import irnas
from nasir.spaces.cells.cell import edges
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.operations import Style, operation
from nasir.spaces.cells.widths import levels, sources

NAMES = irnas.OPERATIONS
STYLE = Style(activation="relu", separable=1)
SURE = 1e4  # a logit whose softmax is exactly one-hot: exp(-1e4) underflows to 0


def supernet(
    layers=3,
    nodes=2,
    width=2,
    residual=False,
    channels=1,
    share_cells=True,
    share_alpha=True,
    beta_norm="incoming",
    activation="relu",
    sigmoid=False,
) -> irnas.Supernet:
    torch.manual_seed(0)
    net = irnas.Supernet(
        channels=channels,
        nodes=nodes,
        layers=layers,
        width=width,
        width_factors=(1, 2, 4),
        stem_channels=5,
        residual=residual,
        share_cells=share_cells,
        share_alpha=share_alpha,
        beta_norm=beta_norm,
        activation=activation,
        sigmoid=sigmoid,
        partial=1,
        generator=torch.Generator().manual_seed(0),
    )
    torch.manual_seed(1)
    net.output[1].reset_parameters()  # it starts at zero with a residual
    return net


def paths(layers: int) -> list[tuple[int, ...]]:
    """Every width path that moves by one level at most, from the stem's level 0."""
    return [
        path
        for path in itertools.product(range(3), repeat=layers)
        if all(abs(a - b) <= 1 for a, b in itertools.pairwise((0, *path)))
    ]


def draw_cell(nodes: int, seed: int) -> tuple[tuple[Edge, ...], ...]:
    rng = random.Random(seed)
    choices = [name for name in NAMES if name != "none"]
    return tuple(
        tuple(Edge(input=i, operation=rng.choice(choices)) for i in rng.sample(range(node + 2), 2))
        for node in range(nodes)
    )


def choose(net: irnas.Supernet, genotype: Genotype) -> None:
    """Make alpha and beta one-hot at the genotype; edges that it drops choose `none`.

    Of the steps into a cell of the path all but the chosen one are refused: right for both norms of beta.
    """
    with torch.no_grad():
        net.alpha.fill_(0)
        for cell, table in zip(genotype.cells, net.alpha.view(len(genotype.cells), -1, len(NAMES)), strict=True):
            kept = {(node, e.input): e.operation for node, es in enumerate(cell) for e in es}
            for row, (node, source) in enumerate(edges(genotype.nodes)):
                table[row, NAMES.index(kept.get((node, source), "none"))] = SURE
        net.beta.fill_(0)
        for layer, (before, level) in enumerate(itertools.pairwise((0, *genotype.path))):
            for source in sources(layer, level, 3):
                net.beta[layer, source, level - source + 1] = SURE if source == before else -SURE


def inherit(network: irnas.Network, net: irnas.Supernet, genotype: Genotype) -> None:
    """Copy the weights on the genotype's path into the derived network.

    The supernet reads h_{l-2} at the cell's own level, the derived network at whatever level it has: where the two differ, the
    1x1 convolution in between is set to zero on both sides. The output convolution keeps the channels of the last cell.
    """
    nodes, path = genotype.nodes, genotype.path
    rows = {pair: row for row, pair in enumerate(edges(nodes))}
    network.stem.load_state_dict(net.stem.state_dict())
    for layer, (before, level) in enumerate(itertools.pairwise((0, *path))):
        key = str(level)
        network.from_last[layer].load_state_dict(net.from_last[layer][key][str(before)].state_dict())
        skip_from = path[layer - 2] if layer >= 2 else 0
        is_same = layer < 2 or (skip_from == level)
        if is_same:
            network.from_before_last[layer].load_state_dict(net.from_before_last[layer][key].state_dict())
        else:
            with torch.no_grad():
                network.from_before_last[layer][0].weight.zero_()
                net.from_before_last[layer][key][0].weight.zero_()
                network.from_before_last[layer][1].load_state_dict(net.from_before_last[layer][key][1].state_dict())
        for node, kept in enumerate(genotype.cell_of(layer)):
            for position, edge in enumerate(kept):
                source = net.cells[layer][key].operations[rows[node, edge.input]][NAMES.index(edge.operation)]
                network.cells[layer].operations[node][position].load_state_dict(source.state_dict())
    ends = levels(len(path) - 1, 3)
    widths = [nodes * 2 * factor for factor in (1, 2, 4)]
    start = sum(widths[level] for level in ends if level < path[-1])
    keep = slice(start, start + widths[path[-1]])
    with torch.no_grad():
        mask = torch.zeros_like(net.output[1].weight)
        mask[:, keep] = 1
        net.output[1].weight.mul_(mask)
        network.output[1].weight.copy_(net.output[1].weight[:, keep])
        network.output[1].bias.copy_(net.output[1].bias)


@pytest.mark.parametrize("is_training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("path", [*paths(3), (0, 1, 0, 1), (1, 1, 1, 1), (1, 2, 1, 2)], ids=str)
def test_a_one_hot_supernet_equals_its_derived_network(path, is_training):
    genotype = Genotype(
        space="irnas",
        cells=(draw_cell(3, sum(path)),),
        path=path,
        width_factors=(1, 2, 4),
        residual=sum(path) % 2 == 0,
        activation="relu",
    )
    assert_that_one_hot_equals_derived(genotype, is_training, "incoming")


@pytest.mark.parametrize("beta_norm", ["incoming", "outgoing"])
@pytest.mark.parametrize("path", [(0, 1, 2), (1, 0, 1), (1, 2, 1)], ids=str)
def test_so_it_does_with_a_cell_for_each_layer_a_leaky_relu_and_either_norm(path, beta_norm):
    genotype = Genotype(
        space="irnas",
        cells=tuple(draw_cell(3, layer) for layer in range(3)),
        path=path,
        width_factors=(1, 2, 4),
        residual=True,
        activation="leaky_relu",
    )
    assert_that_one_hot_equals_derived(genotype, True, beta_norm)


def assert_that_one_hot_equals_derived(genotype: Genotype, is_training: bool, beta_norm: str) -> None:
    net = supernet(
        layers=genotype.layers,
        nodes=3,
        residual=genotype.residual,
        share_alpha=len(genotype.cells) == 1,
        beta_norm=beta_norm,
        activation=genotype.activation,
    ).double()
    with torch.no_grad():  # offsets and running statistics away from their start
        g = torch.Generator().manual_seed(1)
        for name, tensor in net.state_dict().items():
            if "predict" in name:
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=g))
            elif "running" in name:
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=g))
    torch.manual_seed(0)
    network = irnas.Network(
        genotype, channels=1, width=2, stem_channels=5, aspp_channels=0, aspp_rates=(), affine=False
    ).double()
    choose(net, genotype)
    inherit(network, net, genotype)
    net.train(is_training)
    network.train(is_training)
    x = torch.randn(2, 1, 9, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    torch.testing.assert_close(net(x), network(x), rtol=0, atol=1e-10)


def test_the_derived_network_uses_its_kept_edges_only():
    # without the stem's part, one node that reads only `skip` of input 1 gives h = 2 f_{l-1}: both edges skip
    genotype = Genotype(
        space="irnas",
        cells=(((Edge(input=1, operation="skip"), Edge(input=1, operation="skip")),),),
        path=(0,),
        width_factors=(1, 2, 4),
        residual=False,
        activation="relu",
    )
    network = irnas.Network(genotype, channels=1, width=2, stem_channels=3, aspp_channels=0, aspp_rates=())
    last = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(network.cells[0](torch.randn(1, 2, 4, 4), last), 2 * last)


def test_four_layers_of_three_widths_have_eleven_cells():
    # levels 0-1 in the first layer, 0-2 in the others: 2 + 3 * 3
    net = supernet(layers=4)
    assert [sorted(cells) for cells in net.cells] == [["0", "1"], *[["0", "1", "2"]] * 3]
    assert tuple(net.beta.shape) == (4, 3, 3)


def test_five_nodes_have_twenty_edges():
    assert len(edges(5)) == 2 + 3 + 4 + 5 + 6
    assert tuple(supernet(nodes=5).alpha.shape) == (20, 6)
    assert tuple(supernet(layers=3, nodes=5, share_alpha=False).alpha.shape) == (3, 20, 6)


def unshared(net: irnas.Supernet, chosen: dict[tuple[int, int], int] | None = None) -> irnas.Supernet:
    """A twin with a cell for each path; `net` and its other weights are the twin's.

    Args:
        net: a supernet that shares cells; with `chosen`, its cells get the weights of the twin's cells for these paths.
        chosen: (layer, level) -> level of the path.
    """
    twin = supernet(layers=net.layers, share_cells=False).double()
    with torch.no_grad():
        net.load_state_dict({k: v for k, v in twin.state_dict().items() if not k.startswith("cells")}, strict=False)
    for layer, cells in enumerate(net.cells):
        for level, cell in cells.items():
            paths = twin.cells[layer][level]
            source = str((chosen or {}).get((layer, int(level)), min(map(int, paths))))
            cell.load_state_dict(paths[source].state_dict())
    return twin


@pytest.mark.parametrize("is_training", [True, False], ids=["train", "eval"])
def test_with_one_path_into_each_cell_sharing_changes_nothing(is_training):
    # one layer: both its levels are fed by the stem alone
    net = supernet(layers=1).double().train(is_training)
    twin = unshared(net).train(is_training)
    x = torch.randn(2, 1, 7, 8, dtype=torch.float64)

    assert torch.equal(net(x), twin(x))


@pytest.mark.parametrize("seed", range(4))
def test_with_a_sure_beta_an_unshared_supernet_equals_the_shared_one_with_the_chosen_cells(seed):
    rng = random.Random(seed)
    chosen = {(layer, level): rng.choice(sources(layer, level, 3)) for layer in range(3) for level in levels(layer, 3)}
    net = supernet().double()
    twin = unshared(net, chosen)
    with torch.no_grad():
        for a_net in (net, twin):
            for (layer, level), source in chosen.items():
                a_net.beta[layer, source, level - source + 1] = SURE
    x = torch.randn(2, 1, 7, 8, dtype=torch.float64)

    torch.testing.assert_close(twin(x), net(x), rtol=0, atol=1e-12)


def test_cells_that_only_skip_are_linear_so_that_sharing_changes_nothing():
    # C(f, sum_k b_k f_k) = sum_k b_k C(f, f_k) for a linear C and weights b that sum to 1; a convolution has a ReLU
    net = supernet().double()
    twin = unshared(net)
    g = torch.Generator().manual_seed(3)
    x = torch.randn(2, 1, 7, 8, dtype=torch.float64)
    with torch.no_grad():
        beta = torch.randn(net.beta.shape, generator=g, dtype=torch.float64)
        for a_net in (net, twin):
            a_net.beta.copy_(beta)
        assert not torch.allclose(twin(x), net(x))
        for a_net in (net, twin):
            a_net.alpha[:, NAMES.index("skip")] = SURE

    torch.testing.assert_close(twin(x), net(x), rtol=0, atol=1e-12)


def test_without_sharing_there_is_a_cell_for_each_path():
    # paths into levels 0, 1, 2: 1 + 1 from the stem, 2 + 2 + 1 from the first layer's two, then 2 + 3 + 2
    net = supernet(layers=4, share_cells=False)
    count = [[len(paths) for paths in cells.values()] for cells in net.cells]
    assert count == [[1, 1], [2, 2, 1], [2, 3, 2], [2, 3, 2]]
    assert [[list(p) for p in r.values()] for r in net.from_last] == [[list(p) for p in c.values()] for c in net.cells]


def test_parameters_with_and_without_sharing():
    # An edge of C channels: conv 9 C^2, sep 9 C + C^2, dil 9 C^2, def 9 C^2 + 9 C * 27 + 27; in all 28 C^2 + 252 C + 27,
    # which is 643 for C = 2, 1483 for 4, 3835 for 8. A cell of one node has two edges. The second layer has one path too
    # many for sharing at levels 0 and 1, none at level 2, which only level 1 feeds.
    shared, own = supernet(layers=2, nodes=1), supernet(layers=2, nodes=1, share_cells=False)
    assert parameters(shared.cells) == 2 * (643 + 1483) + 2 * (643 + 1483 + 3835)
    assert parameters(own) - parameters(shared) == 2 * (643 + 1483)


def test_every_existing_logit_gets_a_gradient_and_no_other():
    net = supernet(layers=3).double()
    net(torch.randn(2, 1, 8, 8, dtype=torch.float64)).square().mean().backward()
    assert (net.alpha.grad != 0).all()
    for layer, source, direction in itertools.product(range(3), range(3), range(3)):
        level = source + direction - 1
        exists = level in levels(layer, 3) and source in sources(layer, level, 3)
        has_choice = exists and len(sources(layer, level, 3)) > 1  # a softmax over one has no gradient
        assert (net.beta.grad[layer, source, direction] != 0) == has_choice


def test_weights_and_architecture_divide_the_parameters():
    net = supernet()
    parts = [{id(p) for p in part} for part in (net.weights(), net.architecture())]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {id(p) for p in net.parameters()}


def test_images_of_three_channels_and_odd_sizes_pass():
    net = supernet(channels=3, residual=True)
    assert net(torch.randn(1, 3, 7, 11)).shape == (1, 3, 7, 11)


def test_the_residual_is_subtracted_from_the_input():
    torch.manual_seed(0)
    plain, residual = supernet(residual=False).eval(), supernet(residual=True).eval()
    x = torch.randn(1, 1, 6, 6)
    torch.testing.assert_close(residual(x), x - plain(x))


def test_the_sigmoid_is_the_last_of_all():
    torch.manual_seed(0)
    plain, squashed = supernet(residual=True).eval(), supernet(residual=True, sigmoid=True).eval()
    x = torch.randn(1, 1, 6, 6)
    torch.testing.assert_close(squashed(x), 1 / (1 + torch.exp(-plain(x))))


def test_layers_with_equal_alphas_are_layers_that_share_alpha():
    shared, own = supernet().double(), supernet(share_alpha=False).double()
    own.load_state_dict({k: v for k, v in shared.state_dict().items() if k != "alpha"}, strict=False)
    alpha = torch.randn(shared.alpha.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        shared.alpha.copy_(alpha)
        own.alpha.copy_(alpha)
    x = torch.randn(2, 1, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(own(x), shared(x), rtol=0, atol=0)

    for net in (shared, own):
        net(x).square().mean().backward()
    torch.testing.assert_close(own.alpha.grad.sum(dim=0), shared.alpha.grad, rtol=1e-9, atol=1e-15)


def test_an_unknown_operation_is_refused():
    with pytest.raises(ValueError, match=r"an operation must be one of .*got 'conv_5x5'"):
        operation("conv_5x5", 4, True, STYLE)


@pytest.mark.parametrize(("name", "count"), [("conv_3x3", 144), ("sep_3x3", 36 + 16), ("dil_3x3", 144), ("skip", 0)])
def test_parameters_of_operations_on_four_channels(name, count):
    # 9 * 4 * 4; depthwise 9 * 4 and pointwise 4 * 4
    assert sum(p.numel() for p in operation(name, 4, False, STYLE).parameters()) == count


def test_a_deformable_operation_has_its_weights_and_27_predicted_channels():
    assert sum(p.numel() for p in operation("def_3x3", 4, False, STYLE).parameters()) == 144 + 9 * 4 * 27 + 27
