"""What the monitor says of alphas and betas made by hand."""

import math

import pytest
import torch

from nasir.spaces import irnas
from nasir.spaces.cells.genotype import Edge
from nasir.spaces.cells.monitor import (
    architecture_facts,
    derived_cells,
    discretised,
    most_skips,
    one_hot_alpha,
    one_hot_beta,
    ranks,
)
from nasir.spaces.cells.widths import width_weights

NAMES = irnas.OPERATIONS  # conv_3x3, sep_3x3, dil_3x3, def_3x3, skip, none


def peaks(*operations: str) -> torch.Tensor:
    """One row for each edge, with its operation far above the others."""
    alpha = torch.zeros(len(operations), len(NAMES))
    for row, name in zip(alpha, operations, strict=True):
        row[NAMES.index(name)] = 3.0
    return alpha


def supernet(share_alpha: bool = True, beta_norm: str = "incoming") -> irnas.Supernet:
    torch.manual_seed(0)
    return irnas.Supernet(
        channels=1,
        nodes=1,
        layers=2,
        width=2,
        width_factors=(1, 2),
        stem_channels=3,
        residual=True,
        share_cells=True,
        share_alpha=share_alpha,
        beta_norm=beta_norm,
        activation="relu",
        sigmoid=False,
        partial=1,
        generator=torch.Generator().manual_seed(0),
    )


def test_shares_and_entropy_by_hand():
    # one edge is uniform over six; the other has skip with 1/2 and none with 1/2
    alpha = torch.zeros(2, 6)
    alpha[1] = torch.tensor([-math.inf] * 4 + [0.0, 0.0])
    facts = architecture_facts(alpha, torch.zeros(2, 2, 3), "irnas")
    assert facts["alpha_entropy"] == pytest.approx((math.log(6) + math.log(2)) / 2)
    assert facts["skip_share"] == facts["none_share"] == pytest.approx((1 / 6 + 1 / 2) / 2)
    assert facts["beta_entropy"] == pytest.approx(math.log(2))  # two cells of the second layer, each fed by two


def test_an_alpha_for_each_layer_has_the_mean_over_all_edges():
    one, other = torch.zeros(2, 6), peaks("skip", "none")
    both, beta = torch.stack([one, other]), torch.zeros(2, 2, 3)
    facts = [architecture_facts(alpha, beta, "irnas") for alpha in (one, other, both)]
    for name in ("alpha_entropy", "skip_share", "none_share"):
        assert facts[2][name] == pytest.approx((facts[0][name] + facts[1][name]) / 2)


def test_the_entropy_of_the_steps_of_a_cell():
    # outgoing: the stem's two steps 1/2, 1/2; in the second layer level 0 is certain, level 1 is not
    beta = torch.zeros(2, 2, 3)
    beta[1, 0, 1] = 1000.0
    facts = architecture_facts(torch.zeros(2, 6), beta, "irnas", "outgoing")
    assert facts["beta_entropy"] == pytest.approx((math.log(2) + 0 + math.log(2)) / 3)


def test_ranks_are_places_among_the_learnable_operations_alone():
    # conv 0.1, sep 0.4, dil 0.4, def 0.2: of the equal ones the first comes first; skip and none, the strongest, do not count
    alpha = torch.tensor([[0.1, 0.4, 0.4, 0.2, 9.0, 8.0]])
    assert ranks(alpha, "irnas").tolist() == [[3, 0, 1, 2]]
    assert ranks(-alpha, "irnas").tolist() == [[0, 2, 3, 1]]


def test_skips_are_counted_in_the_cell_that_has_most():
    first, second = peaks("skip", "conv_3x3"), peaks("skip", "skip")
    assert most_skips(first, 1, "irnas", 2) == 1
    assert most_skips(torch.stack([first, second, first]), 1, "irnas", 2) == 2
    # node 1 has three edges and keeps two: two of its three skips, and node 0's one
    assert most_skips(peaks("skip", "conv_3x3", "skip", "skip", "skip"), 2, "irnas", 2) == 3


def test_one_hot_alpha_is_the_derived_cell_and_none_elsewhere():
    alpha = peaks("none", "conv_3x3", "sep_3x3", "def_3x3", "skip")
    alpha[0, NAMES.index("dil_3x3")] = 2.0  # node 0 keeps both edges; none never wins
    alpha[3] *= 0.5  # node 1 drops its second edge
    assert derived_cells(alpha, 2, "irnas", 2) == [
        (
            (Edge(input=1, operation="conv_3x3"), Edge(input=0, operation="dil_3x3")),
            (Edge(input=0, operation="sep_3x3"), Edge(input=2, operation="skip")),
        )
    ]
    weights = one_hot_alpha(alpha, 2, "irnas", 2).softmax(dim=-1)
    kept = [NAMES.index(name) for name in ("dil_3x3", "conv_3x3", "sep_3x3", "none", "skip")]
    assert torch.equal(weights, torch.nn.functional.one_hot(torch.tensor(kept), 6).float())


def test_one_hot_alpha_keeps_layers_apart():
    layers = torch.stack([peaks("skip", "conv_3x3"), peaks("sep_3x3", "def_3x3")])
    found = one_hot_alpha(layers, 1, "irnas", 2)
    assert torch.equal(found[0], one_hot_alpha(layers[0], 1, "irnas", 2))
    assert torch.equal(found[1], one_hot_alpha(layers[1], 1, "irnas", 2))


@pytest.mark.parametrize("norm", ["incoming", "outgoing"])
def test_one_hot_beta_feeds_each_cell_of_the_path_from_the_path_alone(norm):
    beta = torch.zeros(4, 3, 3)
    for layer, (source, level) in enumerate([(0, 1), (1, 2), (2, 1), (1, 1)]):
        beta[layer, source, level - source + 1] = 5.0
    found = one_hot_beta(beta, norm)
    # in the order of the sources: the stem; 0 and 1; 0 to 2; 0 to 2
    expected = [(1, [1.0]), (2, [1.0]), (1, [0.0, 0.0, 1.0]), (1, [0.0, 1.0, 0.0])]
    for layer, (level, weights) in enumerate(expected):
        assert width_weights(found, layer, level, norm).tolist() == weights
    assert all(width_weights(found, layer, level, norm).isfinite().all() for layer in range(2, 4) for level in range(3))


@pytest.mark.parametrize("share_alpha", [True, False])
def test_alpha_and_beta_are_put_back_to_the_bit(share_alpha):
    net = supernet(share_alpha)
    alpha, beta = net.alpha.detach().clone(), net.beta.detach().clone()
    with discretised(net.alpha, net.beta, 1, "irnas", net.beta_norm, 2):
        assert net.alpha.softmax(dim=-1).unique().tolist() == [0.0, 1.0]
    assert torch.equal(net.alpha, alpha)
    assert torch.equal(net.beta, beta)
