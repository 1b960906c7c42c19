"""Genotypes of cells as sequences of choices, by hand and by law."""

import dataclasses
import itertools

import pytest
import torch

from nasir.spaces import hinas, irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSection, CellsSizes
from nasir.spaces.cells.space import CellSpace
from nasir.spaces.contract import Token, random_tokens
from tests.spaces.cells.small import SMALL

SPACE = irnas.SPACE
USABLE = ("conv_3x3", "sep_3x3", "dil_3x3", "def_3x3", "skip")  # `none` is no choice
TINY = dataclasses.replace(SMALL, layers=2, nodes=2, inputs=1, width_factors=(1.0, 2.0, 4.0))
PAIRS = dataclasses.replace(SMALL, layers=3, nodes=2, inputs=2, width_factors=(1.0, 2.0, 4.0))


def allowed(section: CellsSection, *chosen: int) -> list[int]:
    return [number for number, is_allowed in enumerate(SPACE.mask(section, chosen)) if is_allowed]


def all_sequences(section: CellsSection, *chosen: int) -> list[tuple[int, ...]]:
    """Every sequence of allowed choices that begins so."""
    if len(chosen) == len(SPACE.tokens(section)):
        return [chosen]
    return [one for number in allowed(section, *chosen) for one in all_sequences(section, *chosen, number)]


def test_tokens_of_a_tiny_section_by_hand():
    # each of two nodes has one edge, node 0 of two inputs and node 1 of three; then the levels of two layers
    assert SPACE.tokens(TINY) == (
        Token(name="cell 0, node 0, edge 0: input", choices=("0", "1")),
        Token(name="cell 0, node 0, edge 0: operation", choices=USABLE),
        Token(name="cell 0, node 1, edge 0: input", choices=("0", "1", "2")),
        Token(name="cell 0, node 1, edge 0: operation", choices=USABLE),
        Token(name="layer 0: level", choices=("0", "1", "2")),
        Token(name="layer 1: level", choices=("0", "1", "2")),
    )


@pytest.mark.parametrize(
    ("layers", "nodes", "inputs", "share_alpha", "count"),
    [
        (2, 2, 1, True, 2 * 2 * 1 + 2),  # an input and an operation for each edge, a level for each layer
        (2, 2, 2, True, 2 * 2 * 2 + 2),
        (4, 5, 2, True, 2 * 5 * 2 + 4),
        (4, 5, 2, False, 4 * 2 * 5 * 2 + 4),  # a cell for each layer
    ],
)
def test_a_section_has_so_many_tokens(layers, nodes, inputs, share_alpha, count):
    section = dataclasses.replace(TINY, layers=layers, nodes=nodes, inputs=inputs, share_alpha=share_alpha)
    assert len(SPACE.tokens(section)) == count


def test_a_node_s_second_edge_may_not_read_what_its_first_one_reads():
    assert allowed(PAIRS) == [0, 1]
    assert allowed(PAIRS, 1) == [0, 1, 2, 3, 4]  # any operation
    assert allowed(PAIRS, 1, 4) == [0]
    assert allowed(PAIRS, 1, 4, 0) == [0, 1, 2, 3, 4]
    # the next node is free again: it may read what the node before reads
    assert allowed(PAIRS, 1, 4, 0, 4) == [0, 1, 2]
    assert allowed(PAIRS, 1, 4, 0, 4, 1, 2) == [0, 2]


def test_a_level_is_one_that_exists_at_most_one_from_that_before():
    edges = (1, 4, 0, 4, 1, 2, 0, 0)
    assert allowed(PAIRS, *edges) == [0, 1]  # the stem has level 0
    assert allowed(PAIRS, *edges, 0) == [0, 1]
    assert allowed(PAIRS, *edges, 1) == [0, 1, 2]
    assert allowed(PAIRS, *edges, 1, 2) == [1, 2]


def test_the_numbers_stand_for_inputs_operations_and_levels():
    # node 0: skip of input 1, then conv of input 0; node 1: def of input 2, then sep of input 0
    chosen = (1, 4, 0, 0, 2, 3, 0, 1, 1, 2, 1)
    cell = (
        (Edge(input=1, operation="skip"), Edge(input=0, operation="conv_3x3")),
        (Edge(input=2, operation="def_3x3"), Edge(input=0, operation="sep_3x3")),
    )
    assert SPACE.from_tokens(PAIRS, chosen) == Genotype(
        space="irnas",
        cells=(cell,),
        path=(1, 2, 1),
        width_factors=(1.0, 2.0, 4.0),
        residual=True,
        activation="relu",
    )


def test_a_cell_for_each_layer_is_written_cell_by_cell():
    section = dataclasses.replace(SMALL, layers=2, nodes=1, inputs=1, share_alpha=False)
    genotype = SPACE.from_tokens(section, (0, 0, 1, 4, 1, 0))
    first, second = genotype.cells
    assert first == ((Edge(input=0, operation="conv_3x3"),),)
    assert second == ((Edge(input=1, operation="skip"),),)
    assert genotype.path == (1, 0)


def test_the_sequences_of_a_tiny_section_are_its_genotypes_each_once():
    # cells: 2 inputs * 5 operations, then 3 * 5; paths 00, 01, 10, 11, 12
    sequences = all_sequences(TINY)
    assert len(sequences) == 10 * 15 * 5
    assert len({SPACE.from_tokens(TINY, chosen) for chosen in sequences}) == len(sequences)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ((2, 0, 0, 0, 0, 0), r"cell 0, node 0, edge 0: input may be one of \[0, 1\] after what was chosen, got 2"),
        ((-1, 0, 0, 0, 0, 0), r"cell 0, node 0, edge 0: input may be one of \[0, 1\] .*, got -1"),
        ((0, 5, 0, 0, 0, 0), r"cell 0, node 0, edge 0: operation may be one of \[0, 1, 2, 3, 4\] .*, got 5"),
        ((0, 0, 3, 0, 0, 0), r"cell 0, node 1, edge 0: input may be one of \[0, 1, 2\] .*, got 3"),
        ((0, 0, 0, 0, 2, 2), r"layer 0: level may be one of \[0, 1\] .*, got 2"),
        ((0, 0, 0, 0, 0, 2), r"layer 1: level may be one of \[0, 1\] .*, got 2"),
        ((0, 0, 0, 0, 0), "has 6 tokens, got 5"),
        ((0, 0, 0, 0, 0, 0, 0), "has 6 tokens, got 7"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(chosen, message):
    with pytest.raises(ValueError, match=message):
        SPACE.from_tokens(TINY, chosen)


def test_an_input_that_is_read_twice_is_refused_by_name():
    message = r"cell 0, node 1, edge 1: input may be one of \[0, 2\] after what was chosen, got 1"
    with pytest.raises(ValueError, match=message):
        SPACE.from_tokens(PAIRS, (1, 4, 0, 4, 1, 2, 1, 0, 0, 0, 0))


@pytest.mark.parametrize("share_alpha", [True, False])
@pytest.mark.parametrize("space", [irnas.SPACE, hinas.SPACE], ids=lambda space: space.name)
def test_random_tokens_give_a_genotype_of_the_section_s_shape(space: CellSpace, share_alpha):
    section = dataclasses.replace(PAIRS, layers=4, nodes=3, share_alpha=share_alpha)
    found = set()
    for seed in range(200):
        chosen = random_tokens(space, section, torch.Generator().manual_seed(seed))
        genotype = space.from_tokens(section, chosen)
        found.add(genotype)
        assert space.from_json(space.to_json(genotype)) == genotype
        assert (genotype.space, genotype.layers, genotype.nodes) == (space.name, 4, 3)
        assert len(genotype.cells) == (1 if share_alpha else 4)
        for edges in (edges for cell in genotype.cells for edges in cell):
            assert len({edge.input for edge in edges}) == len(edges) == 2
        assert all(abs(level - before) <= 1 for before, level in itertools.pairwise((0, *genotype.path)))
    # one cell of irnas: 2 * 6 * 12 ordered inputs times 5^6 operations, on 29 paths: 65 million; 19,900 pairs of draws
    assert len(found) == 200


def test_random_tokens_reach_every_choice():
    drawn = [random_tokens(SPACE, TINY, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert [set(column) for column in zip(*drawn, strict=True)] == [
        {0, 1}, {0, 1, 2, 3, 4}, {0, 1, 2}, {0, 1, 2, 3, 4}, {0, 1}, {0, 1, 2},
    ]  # fmt: skip


@pytest.mark.parametrize("space", [irnas.SPACE, hinas.SPACE], ids=lambda space: space.name)
def test_a_random_genotype_builds_into_a_network_of_the_candidate_s_sizes(space: CellSpace):
    section = dataclasses.replace(PAIRS, width=2, stem_channels=3)
    genotype = space.from_tokens(section, random_tokens(space, section, torch.Generator().manual_seed(0)))
    sizes = space.candidate_sizes(section)
    assert sizes == CellsSizes(width=2, stem_channels=3, aspp_channels=0, aspp_rates=())
    images = torch.zeros(1, 3, 7, 6)
    assert space.build(genotype, sizes, channels=3).eval()(images).shape == images.shape


def test_a_network_is_described_with_its_cells_channels():
    genotype = SPACE.from_tokens(PAIRS, (1, 4, 0, 0, 2, 3, 0, 1, 1, 2, 1))
    sizes = CellsSizes(width=6, stem_channels=3, aspp_channels=0, aspp_rates=())
    text = SPACE.describe(genotype, sizes)
    assert text.startswith("3 cells of 2 nodes, a global residual.")
    assert text.endswith("retrained with W = 6, which gives cells of 12, 24, 12 channels.")
