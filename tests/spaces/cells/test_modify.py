"""Modified genotypes: what changes, what stays, and that no wiring is preferred."""

import math
import random
from collections import Counter
from dataclasses import replace

import pytest

from nasir.spaces.cells.genotype import Edge, Genotype, from_json, operations_of, to_json
from nasir.spaces.cells.modify import modify


def cell_of(*nodes):
    return tuple(tuple(Edge(input=source, operation=name) for source, name in node) for node in nodes)


def genotype_of(*cells, space="irnas", layers=None):
    path = (0,) * (layers or max(len(cells), 2))
    return Genotype(
        space=space, cells=cells, path=path, width_factors=(1.0, 2.0), residual=False, activation="leaky_relu"
    )


def draw(seed: int, cells: int, nodes: int = 4, space: str = "irnas") -> Genotype:
    """A random genotype as a search derives them: two edges for each node, from different inputs."""
    rng = random.Random(seed)
    names = [name for name in operations_of(space) if name != "none"]
    return genotype_of(
        *(
            cell_of(*([(i, rng.choice(names)) for i in rng.sample(range(n + 2), 2)] for n in range(nodes)))
            for _ in range(cells)
        ),
        space=space,
    )


def wiring(cell):
    return [Counter((edge.input, edge.operation) for edge in edges) for edges in cell]


SMALL = genotype_of(cell_of([(0, "conv_3x3"), (1, "skip")], [(0, "dil_3x3"), (2, "sep_3x3")]))


def test_none_changes_nothing():
    assert modify(SMALL, "none", 3) is SMALL


def test_r1_makes_every_conventional_convolution_deformable_by_hand():
    before = genotype_of(cell_of([(0, "conv_3x3"), (1, "dil_3x3")], [(2, "def_3x3"), (1, "conv_3x3")]))
    expected = cell_of([(0, "def_3x3"), (1, "dil_3x3")], [(2, "def_3x3"), (1, "def_3x3")])
    assert modify(before, "r1", 0) == replace(before, cells=(expected,))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cells", [1, 3])
def test_r1_moves_the_counts_of_two_operations_and_nothing_else(seed, cells):
    before = draw(seed, cells)
    after = modify(before, "r1", seed)

    assert [[[e.input for e in edges] for edges in c] for c in after.cells] == [
        [[e.input for e in edges] for edges in c] for c in before.cells
    ]
    for old, new in zip(before.cells, after.cells, strict=True):
        counts, found = (Counter(e.operation for edges in c for e in edges) for c in (old, new))
        counts["def_3x3"] += counts.pop("conv_3x3", 0)
        assert found == +counts
    assert replace(after, cells=before.cells) == before


@pytest.mark.parametrize("kind", ["r1", "r2"])
def test_the_seed_decides_r2_and_r1_has_none(kind):
    before = draw(1, 1)
    found = {modify(before, kind, seed) for seed in range(20)}
    assert [modify(before, kind, 7), modify(before, kind, 7)] == [modify(before, kind, 7)] * 2
    assert len(found) == 1 if kind == "r1" else len(found) > 15


@pytest.mark.parametrize("space", ["irnas", "hinas"])
@pytest.mark.parametrize("cells", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_r2_keeps_operations_and_reads_other_inputs(seed, cells, space):
    before = draw(seed, cells, space=space)
    after = modify(before, "r2", seed)

    assert replace(after, cells=before.cells) == before  # path, widths and the rest stay
    assert from_json(to_json(after)) == after  # and it is a legal genotype
    for old, new in zip(before.cells, after.cells, strict=True):
        assert [[e.operation for e in edges] for edges in new] == [[e.operation for e in edges] for edges in old]
        assert all(len({e.input for e in edges}) == len(edges) for edges in new)
        assert wiring(new) != wiring(old)


def test_r2_prefers_none_of_the_other_wirings():
    # node 0 can be wired in 2 ways and node 1 in 3 * 2, so 12 in all, less the one that it is: 11, each of 2,200 draws with
    # probability 1/11. Expected 200 times, deviation sqrt(200 * 10/11) = 13.5; five of them.
    found = Counter(modify(SMALL, "r2", seed).cells[0] for seed in range(2200))
    assert len(found) == 11
    assert SMALL.cells[0] not in found
    assert all(abs(count - 200) < 5 * math.sqrt(200 * 10 / 11) for count in found.values())


def test_the_order_of_a_nodes_edges_is_no_difference():
    # node 0 reads both inputs through the same operation: swapping them is no change, so node 1 has to change, and of its
    # three pairs of inputs two are others
    one = genotype_of(cell_of([(0, "skip"), (1, "skip")], [(0, "skip"), (1, "skip")]))
    found = {frozenset(e.input for e in modify(one, "r2", seed).cells[0][1]) for seed in range(40)}
    assert found == {frozenset({0, 2}), frozenset({1, 2})}


def test_a_cell_that_cannot_change_stays_beside_one_that_can():
    fixed, free = cell_of([(0, "skip"), (1, "skip")]), cell_of([(0, "skip"), (1, "conv_3x3")])
    after = modify(genotype_of(fixed, free), "r2", 0)
    assert after.cells == (fixed, cell_of([(1, "skip"), (0, "conv_3x3")]))


def test_an_input_that_was_read_twice_is_read_once():
    # as no search derives it: the draw follows the rule of deriving, not the slip
    after = modify(genotype_of(cell_of([(1, "skip"), (1, "skip")])), "r2", 0)
    assert {edge.input for edge in after.cells[0][0]} == {0, 1}


@pytest.mark.parametrize(
    ("before", "kind", "message"),
    [
        (draw(0, 1, space="hinas"), "r1", "r1 needs a space with def_3x3, got a genotype of hinas; take one of irnas"),
        (
            genotype_of(cell_of([(0, "skip"), (1, "def_3x3")])),
            "r1",
            "needs a genotype with a conv_3x3, got one without",
        ),
        (genotype_of(cell_of([(0, "skip"), (1, "skip")])), "r2", "needs a cell that can be wired in another way"),
        (
            genotype_of(cell_of([(0, "skip"), (1, "conv_3x3")], [(i, "skip") for i in (0, 1, 2, 2)])),
            "r2",
            "got node 1 with 4 edges and 3 inputs",
        ),
        (SMALL, "r3", "must be one of none, r1, r2; got 'r3'"),
    ],
)
def test_what_cannot_be_modified_is_refused(before, kind, message):
    with pytest.raises(ValueError, match=message):
        modify(before, kind, 0)
