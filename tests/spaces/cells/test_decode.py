"""From alpha and beta to a genotype."""

import itertools
import math

import pytest
import torch

from nasir.spaces import irnas
from nasir.spaces.cells.cell import edges
from nasir.spaces.cells.decode import decode, path_evidence, runner_up, step_evidence, strongest_edges, viterbi
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.monitor import derived_cells, most_skips, one_hot_alpha

NAMES = irnas.OPERATIONS


def derived(alpha, beta, space="irnas", beta_norm="incoming") -> Genotype:
    return decode(
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


def row(**weights: float) -> list[float]:
    """Logits of an edge whose softmax is so; what is left is shared by the other operations."""
    left = (1 - sum(weights.values())) / (len(NAMES) - len(weights))
    return [math.log(weights.get(name, left)) for name in NAMES]


def one_node(table, beta, space="irnas", norm="outgoing", inputs=1, none="ranked", width_factors=(1, 2)) -> Genotype:
    return decode(
        table,
        beta,
        space=space,
        nodes=1,
        width_factors=width_factors,
        residual=True,
        activation="relu",
        beta_norm=norm,
        inputs=inputs,
        none=none,
    )


@pytest.mark.parametrize(
    ("skip", "rival", "narrow", "edge", "path"),
    [
        # conv of input 0 weighs 0.6; skip there 0.39, so times 1.54; sep of input 1 0.35, times 1.71; the wide step times 3
        (0.39, 0.35, 0.75, Edge(input=0, operation="skip"), (0,)),
        # sep of input 1 0.5, times 1.2; skip 0.3, times 2
        (0.30, 0.50, 0.75, Edge(input=1, operation="sep_3x3"), (0,)),
        # the wide step 0.48, times 1.08; the others as before
        (0.30, 0.50, 0.52, Edge(input=0, operation="conv_3x3"), (1,)),
    ],
    ids=["operation", "edge", "level"],
)
def test_the_runner_up_gives_up_the_least_of_one_choice(skip, rival, narrow, edge, path):
    alpha = torch.tensor([row(conv_3x3=0.6, skip=skip), row(sep_3x3=rival, none=0.45)], dtype=torch.float64)
    beta = torch.zeros(1, 2, 3, dtype=torch.float64)
    beta[0, 0, 1:] = torch.tensor([narrow, 1 - narrow]).log()
    found = one_node(alpha, beta)
    assert (found.cells[0], found.path) == (((Edge(input=0, operation="conv_3x3"),),), (0,))

    second = runner_up(found, alpha, beta, "outgoing")

    assert (second.cells[0], second.path) == (((edge,),), path)


def test_of_two_kept_edges_the_weaker_one_leaves_for_another_input():
    # node 1 keeps conv of input 2 (0.8) and of input 0 (0.5); input 1 has sep (0.48): the second edge leaves, times 1.04.
    # Skip of input 0 (0.4) would be times 1.25, and sep in place of the first edge times 1.67
    sure = row(conv_3x3=0.9)
    alpha = torch.tensor(
        [sure, sure, row(conv_3x3=0.5, skip=0.4), row(sep_3x3=0.48), row(conv_3x3=0.8)], dtype=torch.float64
    )
    beta = torch.zeros(1, 1, 3, dtype=torch.float64)
    found = decode(
        alpha, beta, space="irnas", nodes=2, width_factors=(1,), residual=True, activation="relu",
        beta_norm="incoming", inputs=2,
    )  # fmt: skip
    first, kept = found.cells[0]
    assert kept == (Edge(input=2, operation="conv_3x3"), Edge(input=0, operation="conv_3x3"))
    second = runner_up(found, alpha, beta, "incoming")
    assert second.cells[0] == (first, (Edge(input=2, operation="conv_3x3"), Edge(input=1, operation="sep_3x3")))


def test_a_runner_up_changes_the_cell_of_one_layer():
    # three layers with cells of their own; the middle one's conv has skip closest behind
    certain, close = [row(conv_3x3=0.9), row(none=0.9)], [row(conv_3x3=0.45, skip=0.4), row(none=0.9)]
    alpha = torch.tensor([certain, close, certain], dtype=torch.float64)
    beta = torch.zeros(3, 2, 3, dtype=torch.float64)
    beta[:, 0, 1] = 9.0
    found = one_node(alpha, beta)
    second = runner_up(found, alpha, beta, "outgoing")
    assert [one == other for one, other in zip(found.cells, second.cells, strict=True)] == [True, False, True]
    assert second.cells[1] == ((Edge(input=0, operation="skip"),),)
    assert second.path == found.path == (0, 0, 0)


def test_a_path_that_differs_in_two_levels_is_no_runner_up():
    # incoming, layer 2: into level 0 from 0 and 1 with 0.7 and 0.3, into level 1 with 0.4 and 0.6; each times 2 feeders.
    # 0 0 has 1.4; 1 1 has 1.2, but differs twice; 0 1 has 0.8 and 1 0 has 0.6
    alpha = torch.tensor([row(conv_3x3=0.9), row(none=0.9)], dtype=torch.float64)
    beta = torch.zeros(2, 2, 3, dtype=torch.float64)
    beta[1, 0, 1], beta[1, 1, 0] = math.log(0.7), math.log(0.3)
    beta[1, 0, 2], beta[1, 1, 1] = math.log(0.4), math.log(0.6)
    steps = step_evidence(beta, "incoming")
    found = {path: math.exp(path_evidence(path, steps)) for path in itertools.product(range(2), repeat=2)}
    assert found == pytest.approx({(0, 0): 1.4, (0, 1): 0.8, (1, 0): 0.6, (1, 1): 1.2})
    assert one_node(alpha, beta, norm="incoming").path == (0, 0)
    assert runner_up(one_node(alpha, beta, norm="incoming"), alpha, beta, "incoming").path == (0, 1)


def test_a_path_with_a_step_that_does_not_exist_has_no_evidence():
    steps = step_evidence(torch.zeros(2, 3, 3), "outgoing")
    assert path_evidence((0, 2), steps) == path_evidence((2, 2), steps) == -math.inf


@pytest.mark.parametrize("norm", ["incoming", "outgoing"])
@pytest.mark.parametrize("seed", range(10))
def test_the_runner_up_is_the_best_of_all_genotypes_that_differ_in_one_place(seed, norm):
    generator = torch.Generator().manual_seed(seed)
    alpha = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    beta = torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)
    found = decode(
        alpha, beta, space="irnas", nodes=2, width_factors=(1, 2, 4), residual=True, activation="relu",
        beta_norm=norm, inputs=1,
    )  # fmt: skip

    table, rows, steps = alpha.log_softmax(dim=-1), edges(2), step_evidence(beta, norm)
    choices = [[(n, i, name) for i in range(n + 2) for name in NAMES if name != "none"] for n in range(2)]
    scores = {}
    for places in itertools.product(*choices, range(3), range(3), range(3)):
        logs = [table[rows.index((n, i)), NAMES.index(name)].item() for n, i, name in places[:2]]
        scores[places] = sum(logs) + path_evidence(places[2:], steps)
    [own] = [(*((n, e.input, e.operation) for n, (e,) in enumerate(found.cells[0])), *found.path)]
    near = [places for places in scores if sum(a != b for a, b in zip(places, own, strict=True)) == 1]
    best = max(near, key=lambda places: scores[places])

    second = runner_up(found, alpha, beta, norm)
    assert (*((n, e.input, e.operation) for n, (e,) in enumerate(second.cells[0])), *second.path) == best


@pytest.mark.parametrize(("none", "source", "operation"), [("ranked", 1, "sep_3x3"), ("left_out", 0, "skip")])
def test_a_strong_none_weakens_its_edge_unless_it_is_left_out(none, source, operation):
    # skip of input 0 weighs 0.45 beside 0.5 of none, sep of input 1 0.48 beside 0.13: without none 0.9 and 0.55
    alpha = torch.tensor([row(skip=0.45, none=0.5), row(sep_3x3=0.48, none=0.13)], dtype=torch.float64)
    beta = torch.zeros(1, 2, 3, dtype=torch.float64)
    assert one_node(alpha, beta, none=none).cells == (((Edge(input=source, operation=operation),),),)
    assert derived_cells(alpha, 1, "irnas", 1, none) == [((Edge(input=source, operation=operation),),)]
    assert most_skips(alpha, 1, "irnas", 1, none) == (operation == "skip")
    kept = one_hot_alpha(alpha, 1, "irnas", 1, none).argmax(dim=-1).tolist()
    assert kept[source] == NAMES.index(operation) and kept[1 - source] == NAMES.index("none")


@pytest.mark.parametrize(
    ("none", "expected"),
    [("ranked", Edge(input=0, operation="skip")), ("left_out", Edge(input=1, operation="sep_3x3"))],
)
def test_the_runner_up_ranks_none_as_the_genotype_does(none, expected):
    # conv of input 0 weighs 0.6 and skip there 0.3, times 2; sep of input 1 0.2, times 3. Without none, 0.6 / 0.975 is times
    # 1.23 of 0.2 / 0.4
    alpha = torch.tensor([row(conv_3x3=0.6, skip=0.3), row(sep_3x3=0.2, none=0.6)], dtype=torch.float64)
    beta = torch.zeros(1, 1, 3, dtype=torch.float64)
    found = one_node(alpha, beta, none=none, width_factors=(1,))
    assert found.cells == (((Edge(input=0, operation="conv_3x3"),),),)
    assert runner_up(found, alpha, beta, "outgoing", none).cells == (((expected,),),)
