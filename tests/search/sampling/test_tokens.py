"""Tokens: drawn uniformly, changed a little, in fair groups, and kept within a window of what their networks have."""

import dataclasses
import itertools
from collections import Counter

import pytest
import torch

from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search.sampling import tokens as sampling
from nasir.search.sampling.tokens import Window, draw, fair, mutate
from nasir.spaces import contract
from nasir.spaces.contract import random_tokens
from tests.spaces.cells.small import SMALL
from tests.toys import toy_space

ALL = Window(of="parameters", lowest=0, highest=1e12)
NARROW = Window(of="parameters", lowest=300, highest=1400)
IRNAS = contract.find("irnas")
DEEPER = dataclasses.replace(SMALL, layers=3, nodes=2, width_factors=(1.0, 2.0, 4.0), share_alpha=False)
FREE = dataclasses.replace(SMALL, inputs=1, layers=1)  # input 2, operation 5, level 2, and no mask forbids any
CHAIN = toy_space.ChainSection(layers=3, kernels=(1, 3, 5), width=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("space", ["irnas", "hinas"])
@pytest.mark.parametrize("changes", [{}, {"operations": ("sep_3x3", "skip"), "norm": "none", "downscale": 2}])
def test_a_window_measures_what_the_candidates_network_has(space, changes):
    chosen, section, source = contract.find(space), dataclasses.replace(SMALL, **changes), generator()
    flops = dataclasses.replace(ALL, of="flops")
    for _ in range(3):
        genotype = chosen.from_tokens(section, random_tokens(chosen, section, source))
        network = chosen.build(genotype, chosen.candidate_sizes(section), 3)
        assert ALL.measure(chosen, section, 3, genotype) == parameters(network)
        assert flops.measure(chosen, section, 3, genotype) == pytest.approx(flops_per_pixel(network, 3))


def test_a_window_holds_its_bounds():
    genotype = IRNAS.from_tokens(SMALL, (0, 0, 1, 0, 0, 0))
    size = ALL.measure(IRNAS, SMALL, 1, genotype)
    for lowest, highest, is_within in [(size, size, True), (size + 1, 1e9, False), (0, size - 1, False)]:
        window = Window(of="parameters", lowest=lowest, highest=highest)
        assert window.holds(IRNAS, SMALL, 1, genotype) is is_within


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"of": "seconds"}, r"strategy\.window_of must be parameters or flops, got 'seconds'"),
        (
            {"lowest": -1},
            r"strategy\.window must hold two numbers, 0 or more, the second not below the first, got \[-1",
        ),
        ({"lowest": 3, "highest": 2}, r"the second not below the first, got \[3, 2\]"),
    ],
)
def test_bad_windows_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ALL, **changes)


def test_what_is_drawn_is_uniform_over_what_the_window_holds():
    tokens = [*itertools.product(range(2), range(5), range(2))]
    inside = {one for one in tokens if NARROW.holds(IRNAS, FREE, 1, IRNAS.from_tokens(FREE, one))}
    assert 0 < len(inside) < len(tokens)
    source, draws = generator(1), 30 * len(inside)
    found = Counter(draw(IRNAS, FREE, 1, NARROW, source) for _ in range(draws))
    assert set(found) == inside
    chi_squared = sum((count - 30) ** 2 / 30 for count in found.values())
    assert chi_squared < 3 * len(inside)  # its mean is one less than their number


def test_a_window_that_nothing_is_in_is_refused_with_what_there_is(monkeypatch):
    monkeypatch.setattr(sampling, "TRIES", 30)
    empty = Window(of="parameters", lowest=1, highest=2)
    message = r"leave room for candidates, got none of 30 with 1 to 2 parameters; widen it \(this one has \d+\)"
    with pytest.raises(ValueError, match=message):
        draw(IRNAS, FREE, 1, empty, generator())
    with pytest.raises(ValueError, match=message):
        mutate((0, 0, 0), IRNAS, FREE, 1, empty, generator())


def test_a_child_differs_in_exactly_one_token_where_no_mask_forbids_any_and_in_each_equally_often():
    parent, source = (1, 3, 0), generator()
    found = Counter()
    for _ in range(600):
        child = mutate(parent, IRNAS, FREE, 1, ALL, source)
        [place] = [place for place in range(3) if child[place] != parent[place]]
        found[place, child[place]] += 1
    assert set(found) == {(0, 0), (2, 1), *((1, operation) for operation in (0, 1, 2, 4))}
    places = Counter()
    for (place, _), count in found.items():
        places[place] += count
    assert all(150 < count < 250 for count in places.values())  # a third of 600 each
    assert all(25 < found[1, operation] < 80 for operation in (0, 1, 2, 4))


@pytest.mark.parametrize("section", [SMALL, DEEPER], ids=["small", "deeper"])
def test_a_child_keeps_every_token_that_the_masks_allow(section):
    source, changed = generator(2), Counter()
    for _ in range(60):
        parent = tuple(random_tokens(IRNAS, section, source))
        child = mutate(parent, IRNAS, section, 1, ALL, source)
        IRNAS.from_tokens(section, child)  # it is allowed
        places = [place for place in range(len(parent)) if child[place] != parent[place]]
        changed[len(places)] += 1
        for place in places[1:]:  # only what has become impossible is another
            assert not IRNAS.mask(section, child[:place])[parent[place]]
        if not places:  # only a token that has no other choice is changed into itself
            assert any(sum(IRNAS.mask(section, parent[:place])) == 1 for place in range(len(parent)))
    assert changed[1] > 30


def test_a_child_lies_within_the_window():
    source = generator(3)
    parent = draw(IRNAS, SMALL, 1, NARROW, source)
    children = {mutate(parent, IRNAS, SMALL, 1, NARROW, source) for _ in range(40)}
    assert all(NARROW.holds(IRNAS, SMALL, 1, IRNAS.from_tokens(SMALL, child)) for child in children)
    others = [IRNAS.from_tokens(SMALL, mutate(parent, IRNAS, SMALL, 1, ALL, source)) for _ in range(40)]
    assert any(not NARROW.holds(IRNAS, SMALL, 1, other) for other in others)


def test_in_a_group_every_token_takes_each_of_its_choices_equally_often():
    # irnas has 5 operations but none: two rounds of them are ten paths, of the others five rounds of two
    for seed in range(4):
        source = generator(seed)
        groups = [fair(IRNAS, FREE, source) for _ in range(2)]
        for group in groups:
            assert len(group) == 5
            assert sorted(path[1] for path in group) == [0, 1, 2, 3, 4]
            for place in (0, 2):
                assert sorted(Counter(path[place] for path in group).values()) == [2, 3]  # as equal as five can be
        assert groups[0] != groups[1]


def test_where_the_numbers_of_choices_divide_the_group_every_count_is_the_same():
    section = dataclasses.replace(FREE, operations=("conv_3x3", "sep_3x3", "dil_3x3", "skip"))
    for seed in range(4):
        group = fair(IRNAS, section, generator(seed))
        assert [sorted(Counter(path[place] for path in group).values()) for place in range(3)] == [
            [2, 2],
            [1, 1, 1, 1],
            [2, 2],
        ]
    pairs = Counter((path[0], path[1]) for seed in range(400) for path in fair(IRNAS, section, generator(seed)))
    assert all(150 < count < 250 for count in pairs.values()) and len(pairs) == 8  # and no choice goes with another


@pytest.mark.parametrize(
    ("space", "section"), [(IRNAS, SMALL), (IRNAS, DEEPER), (toy_space.SPACE, CHAIN)], ids=["small", "deeper", "toy"]
)
def test_paths_of_a_group_are_allowed_and_only_a_forbidden_choice_is_replaced(space, section):
    tokens = space.tokens(section)
    count = max(len(token.choices) for token in tokens)
    for seed in range(5):
        group = fair(space, section, generator(seed))
        assert len(group) == count
        for path in group:
            space.from_tokens(section, path)
        for place, token in enumerate(tokens):
            free = [path for path in group if all(space.mask(section, path[:place]))]
            if len(free) == count:
                counts = Counter(path[place] for path in group)
                assert max(counts.values()) - min(counts[number] for number in range(len(token.choices))) <= 1
