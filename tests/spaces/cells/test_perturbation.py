"""Selection by removal, on scores made by hand: what was planted is found, whatever alpha says."""

import dataclasses

import pytest
import torch

from nasir.spaces.cells.genotype import Edge
from nasir.spaces.cells.perturbation import without
from nasir.spaces.cells.searching import RelaxedCells, relax
from nasir.spaces.irnas import OPERATIONS
from tests.spaces.cells.small import SMALL

TWO = dataclasses.replace(SMALL, nodes=2, width_factors=(1.0,))
"""Two nodes: edges 0 and 1 into the first, 2 to 4 into the second; two layers."""


def supernet(**changes) -> RelaxedCells:
    """A supernet with other logits on each edge, `skip` the largest on all."""
    relaxed = relax("irnas", dataclasses.replace(TWO, **changes), 1, 0)
    relaxed.alpha.data.normal_(generator=torch.Generator().manual_seed(1))
    relaxed.alpha.data[..., OPERATIONS.index("skip")] = 5.0
    return relaxed


def planted(relaxed: RelaxedCells, names: list[str], values: list[float]):
    """A score that misses one operation of each edge, by a value of the edge, all tables' edges in order; and no other."""
    columns = torch.tensor([OPERATIONS.index(name) for name in names])

    def score() -> float:
        weights = relaxed.alpha.detach().softmax(dim=-1).flatten(0, -2)
        is_there = weights[torch.arange(len(names)), columns] > 0
        return (torch.tensor(values) * is_there).sum().item()

    return score


def select(relaxed: RelaxedCells, score, tune=lambda: None, seed: int = 0) -> None:
    relaxed.select(score, tune, torch.Generator().manual_seed(seed))


def edge(source: int, operation: str) -> Edge:
    return Edge(input=source, operation=operation)


def test_what_is_removed_goes_to_none_and_the_rest_stays():
    # weights 0.5, 0.3 and 0.2 of none: without the first 0, 0.3 and 0.7, and not 0, 0.6 and 0.4
    weights = without(torch.tensor([0.5, 0.3, 0.2]).log(), 0, none=2).softmax(dim=-1)
    assert weights.tolist() == pytest.approx([0.0, 0.3, 0.7])
    assert weights[0].item() == 0


def test_a_fixed_edge_without_its_operation_is_none_alone():
    assert without(torch.tensor([0.0, 1000.0, 0.0]), 1, none=2).softmax(dim=-1).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_operations_and_edges_are_found_in_any_order(seed):
    relaxed = supernet()
    beta = relaxed.beta.detach().clone()
    names = ["conv_3x3", "dil_3x3", "sep_3x3", "skip", "def_3x3"]
    select(relaxed, planted(relaxed, names, [1.0, 2.0, 3.0, 1.0, 2.0]), seed=seed)

    # node 1 does without its second edge, the one that is missed the least
    [cell] = relaxed.decode(relaxed.network.state_dict()).cells
    assert [set(kept) for kept in cell] == [
        {edge(0, "conv_3x3"), edge(1, "dil_3x3")},
        {edge(0, "sep_3x3"), edge(2, "def_3x3")},
    ]
    kept = [OPERATIONS.index(name) for name in [*names[:3], "none", names[4]]]
    assert torch.equal(relaxed.alpha.softmax(dim=-1), torch.nn.functional.one_hot(torch.tensor(kept), 6).float())
    assert torch.equal(relaxed.beta, beta)


@pytest.mark.parametrize("none", ["ranked", "left_out"])
def test_each_layer_has_its_own_with_an_alpha_for_each(none):
    relaxed = supernet(share_alpha=False, inputs=1, none=none)
    names = ["conv_3x3", "sep_3x3", "dil_3x3", "def_3x3", "skip", "skip", "def_3x3", "dil_3x3", "sep_3x3", "conv_3x3"]
    select(relaxed, planted(relaxed, names, [1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.0]))
    assert relaxed.decode(relaxed.network.state_dict()).cells == (
        ((edge(1, "sep_3x3"),), (edge(2, "skip"),)),
        ((edge(0, "skip"),), (edge(0, "dil_3x3"),)),
    )


def test_of_equal_scores_the_first_is_kept():
    relaxed = supernet()
    select(relaxed, lambda: 0.25)
    [cell] = relaxed.decode(relaxed.network.state_dict()).cells
    assert cell == ((edge(0, "conv_3x3"), edge(1, "conv_3x3")),) * 2


@pytest.mark.parametrize(("inputs", "tunings"), [(2, 6), (1, 7)])
def test_after_each_edge_and_each_node_that_loses_some_the_weights_are_tuned(inputs, tunings):
    # five edges; with two inputs the second node alone has one to lose
    relaxed = supernet(inputs=inputs)
    before = relaxed.alpha.detach().clone()
    seen: list[int] = []
    fixed: list[int] = []

    def tune() -> None:
        rows = [row for row in range(5) if not torch.equal(relaxed.alpha[row], before[row])]
        seen.append(len(rows))
        fixed.extend(row for row in rows if row not in fixed)
        assert all(relaxed.alpha[row].detach().softmax(dim=-1).max() == 1 for row in rows)

    select(relaxed, lambda: 0.0, tune, seed=4)
    assert seen == [1, 2, 3, 4, 5, *[5] * (tunings - 5)]
    # a random order, that of the seed
    assert fixed == torch.randperm(5, generator=torch.Generator().manual_seed(4)).tolist() != list(range(5))


def test_each_score_is_of_the_supernet_without_one_thing():
    relaxed, alphas = supernet(), []
    select(relaxed, lambda: alphas.append(relaxed.alpha.detach().clone()) or 0.0, seed=4)
    # five edges of five operations, then three edges of the second node, each of them while the two others are there
    assert len(alphas) == 5 * 5 + 3
    first = torch.randperm(5, generator=torch.Generator().manual_seed(4))[0].item()
    original = supernet().alpha.detach()
    for column, alpha in enumerate(alphas[:5]):
        changed = [row for row in range(5) if not torch.equal(alpha[row], original[row])]
        assert changed == [first]
        assert alpha[first].softmax(dim=-1)[column] == 0
    for place, alpha in enumerate(alphas[25:]):
        is_none = alpha.softmax(dim=-1)[:, OPERATIONS.index("none")] == 1
        assert is_none.nonzero().flatten().tolist() == [2 + place]
