"""From alpha and beta to a genotype."""

import itertools
import math

import pytest
import torch

from nasir.genotype import OPERATIONS, Edge, Genotype
from nasir.search.derive import derive, step_evidence, strongest_edges, viterbi

NAMES = OPERATIONS["irnas"]


def derived(alpha, beta, space="irnas", beta_norm="incoming") -> Genotype:
    return derive(
        alpha,
        beta,
        space=space,
        nodes=3,
        width_factors=(1, 2, 4),
        residual=True,
        activation="leaky_relu",
        beta_norm=beta_norm,
        inputs=2,
    )


def brute_force(steps) -> tuple[int, ...]:
    """The best of all paths, each scored whole."""
    scored = {}
    for path in itertools.product(range(3), repeat=len(steps)):
        pairs = list(itertools.pairwise((0, *path)))
        if all(pair in layer for pair, layer in zip(pairs, steps, strict=True)):
            scored[path] = math.prod(math.exp(layer[pair]) for pair, layer in zip(pairs, steps, strict=True))
    return max(scored, key=lambda path: scored[path])


@pytest.mark.parametrize("norm", ["incoming", "outgoing"])
@pytest.mark.parametrize("layers", [3, 4, 5, 6])
@pytest.mark.parametrize("seed", range(10))
def test_viterbi_finds_what_trying_all_paths_finds(layers, seed, norm):
    beta = torch.randn(layers, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    steps = step_evidence(beta, norm)
    assert viterbi(steps) == brute_force(steps)


def test_viterbi_takes_the_likely_path_over_the_likely_steps():
    # The first step to level 1 is likelier (0.6), but what follows from it is not: 0.6 * 0.3 < 0.4 * 0.9.
    log = math.log
    steps = [
        {(0, 0): log(0.4), (0, 1): log(0.6)},
        {(0, 0): log(0.9), (1, 0): log(0.1), (1, 1): log(0.3), (0, 1): log(0.1)},
    ]
    assert viterbi(steps) == (0, 0)


def test_long_paths_do_not_underflow():
    # 0.001^400 is zero in float64; its logarithm is not
    layer = {(0, 0): math.log(0.001), (0, 1): math.log(0.0005), (1, 1): math.log(0.002), (1, 0): math.log(0.0001)}
    assert viterbi([layer] * 400) == (1,) * 400


def test_steps_that_do_not_exist_have_no_evidence():
    steps = step_evidence(torch.zeros(3, 3, 3), "incoming")
    assert sorted(steps[0]) == [(0, 0), (0, 1)]
    assert sorted(steps[1]) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert (0, 2) not in steps[2]


def test_outgoing_steps_of_a_cell_have_the_logarithms_of_probabilities_as_evidence():
    # from level 1 of the first layer to levels 0, 1, 2 with logits log 2, 0, log 5: 2/8, 1/8, 5/8
    beta = torch.zeros(2, 3, 3, dtype=torch.float64)
    beta[1, 1] = torch.tensor([2.0, 1.0, 5.0]).log()
    steps = step_evidence(beta, "outgoing")
    assert [math.exp(steps[1][1, level]) for level in range(3)] == pytest.approx([0.25, 0.125, 0.625])
    # the stem has two ways, level 0 of the first layer too; to a level below 0 there is none
    assert [math.exp(value) for value in (*steps[0].values(), steps[1][0, 0])] == pytest.approx([0.5] * 3)


def test_before_any_learning_all_paths_are_equal():
    steps = step_evidence(torch.zeros(4, 3, 3, dtype=torch.float64), "incoming")
    assert [value for layer in steps for value in layer.values()] == pytest.approx([0.0] * 21)


def test_a_step_is_measured_against_its_rivals():
    # three cells feed level 1 of the third layer; logits log 2, 0, 0 give p = 1/2, 1/4, 1/4, so n p = 3/2, 3/4, 3/4
    beta = torch.zeros(3, 3, 3, dtype=torch.float64)
    beta[2, 0, 2] = math.log(2)
    steps = step_evidence(beta, "incoming")
    assert steps[2][0, 1] == pytest.approx(math.log(1.5))
    assert steps[2][1, 1] == steps[2][2, 1] == pytest.approx(math.log(0.75))


@pytest.mark.parametrize("path", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_learning_reaches_every_path_whose_steps_have_rivals(path):
    beta = torch.zeros(2, 3, 3, dtype=torch.float64)
    beta[1, path[0], path[1] - path[0] + 1] = 2.0
    assert viterbi(step_evidence(beta, "incoming")) == path


def test_where_the_rivals_are_refused_the_step_without_rival_wins():
    # (1, 2) has no rival in layer 2; it wins once no other step is above its uniform share
    beta = torch.zeros(3, 3, 3, dtype=torch.float64)
    beta[2, 2, 1] = 2.0  # the widest cell of the last layer reads the widest before it
    assert viterbi(step_evidence(beta, "incoming")) == (1, 2, 2)


def test_none_never_wins_and_equal_weights_keep_the_order_of_inputs():
    # one node, two edges: `none` is strongest on both; among the others skip wins on input 1, conv ties on input 0
    weights = torch.tensor([[0.1, 0.1, 0.1, 0.1, 0.1, 0.5], [0.05, 0.05, 0.05, 0.05, 0.2, 0.6]])
    (kept,) = strongest_edges(weights, 1, NAMES, 2)
    assert kept == (Edge(input=1, operation="skip"), Edge(input=0, operation="conv_3x3"))


def test_a_node_keeps_the_two_inputs_with_the_strongest_operation():
    weights = torch.full((5, 6), 0.1)
    weights[2, NAMES.index("def_3x3")] = 0.3  # node 1, input 0
    weights[4, NAMES.index("dil_3x3")] = 0.5  # node 1, input 2
    weights[3, NAMES.index("none")] = 0.9  # node 1, input 1: `none` says nothing
    kept = strongest_edges(weights, 2, NAMES, 2)[1]
    assert kept == (Edge(input=2, operation="dil_3x3"), Edge(input=0, operation="def_3x3"))


def test_a_genotype_comes_out_whole():
    alpha = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    beta = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    found = derived(alpha, beta)
    assert (found.nodes, found.layers, found.residual, found.activation) == (3, 4, True, "leaky_relu")
    assert len(found.cells) == 1
    assert all(len(kept) == 2 and kept[0].input != kept[1].input for kept in found.cells[0])


def test_an_alpha_for_each_layer_gives_a_cell_for_each_layer():
    alpha = torch.randn(4, 9, 7, generator=torch.Generator().manual_seed(0))
    beta = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    found = derived(alpha, beta, space="hinas", beta_norm="outgoing")
    assert len(set(found.cells)) == 4
    for layer in range(4):
        assert found.cell_of(layer) == derived(alpha[layer], beta, space="hinas").cells[0]


def test_the_norm_of_beta_can_change_the_path():
    # into level 1 of layer 2 from level 0 (logit 1) or level 1 (logit 2): incoming prefers level 1; but of level 1's own
    # three steps the one to level 2 has logit 4, so outgoing the step to level 1 is unlikely there, and likely from level 0
    beta = torch.zeros(2, 3, 3)
    beta[1, 0, 2], beta[1, 1, 1], beta[1, 1, 2] = 1, 2, 4
    beta[0, 0, 1] = 3  # the stem stays at level 0, where a cell's own steps are compared
    alpha = torch.zeros(9, 6)
    assert derived(alpha, beta, beta_norm="incoming").path == (1, 1)
    assert derived(alpha, beta, beta_norm="outgoing").path == (0, 1)


@pytest.mark.parametrize(
    ("alpha", "beta", "message"),
    [
        (torch.zeros(8, 6), torch.zeros(4, 3, 3), r"alpha must have the shape \(9, 6\).*got \(8, 6\)"),
        (torch.zeros(3, 9, 6), torch.zeros(4, 3, 3), r"or that for each of 4 layers, got \(3, 9, 6\)"),
        (torch.zeros(9, 6), torch.zeros(4, 2, 3), r"beta must have the shape \(layers, 3, 3\).*got \(4, 2, 3\)"),
        (torch.full((9, 6), math.nan), torch.zeros(4, 3, 3), "must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(alpha, beta, message):
    with pytest.raises(ValueError, match=message):
        derived(alpha, beta)
