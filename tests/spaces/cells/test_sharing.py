"""Shared weights: every part is there from the start, and networks share exactly what they have in common."""

import dataclasses
import itertools

import pytest
import torch

from nasir.spaces import contract
from nasir.spaces.cells.searching import share
from nasir.spaces.cells.section import CellsSection
from nasir.spaces.cells.sharing import cover
from nasir.spaces.contract import random_tokens
from tests.spaces.cells.small import SMALL

FACTORS = {1: (1.0,), 2: (1.0, 2.0), 3: (1.0, 1.5, 2.0)}
SECTIONS = [
    dataclasses.replace(
        SMALL,
        layers=layers,
        width_factors=FACTORS[widths],
        nodes=1 + layers % 2,
        norm="batch" if widths == 2 else "none",
    )
    for layers, widths in itertools.product((1, 2, 3, 4), FACTORS)
]
SECTIONS += [
    dataclasses.replace(SMALL, layers=3, share_alpha=False, nodes=2),
    dataclasses.replace(SMALL, layers=3, inputs=1, nodes=3, width_factors=FACTORS[3]),
    dataclasses.replace(SMALL, operations=("skip", "conv_3x3"), reads_stem=True, downscale=2, nodes=2),
]
SPACES = ["irnas", "hinas"]


def name_of(section: CellsSection) -> str:
    extras = [key for key in ("share_alpha", "inputs", "operations") if getattr(section, key) != getattr(SMALL, key)]
    return f"{section.layers} layers, {len(section.width_factors)} widths {' '.join(extras)}"


def draw(space: str, section: CellsSection, seed: int, count: int):
    found, generator = contract.find(space), torch.Generator().manual_seed(seed)
    return [found.from_tokens(section, random_tokens(found, section, generator)) for _ in range(count)]


@pytest.mark.parametrize("section", SECTIONS, ids=name_of)
@pytest.mark.parametrize("space", SPACES)
def test_every_part_of_every_network_is_made_at_the_start_and_none_in_vain(space, section):
    shared = share(space, section, 1, 0)
    parts = set(shared.network)
    used = set()
    taken: list[str] = []
    take = shared._take
    shared._take = lambda name, make: (taken.append(name), take(name, make))[1]
    if section.layers <= 2:  # few enough that every path and operation comes up
        for genotype in draw(space, section, 1, 150):
            shared.path(genotype)
        used |= set(taken)
        assert used == parts
    else:
        for genotype in draw(space, section, 1, 60):
            shared.path(genotype)
        assert set(taken) <= parts
    assert set(shared.network) == parts


@pytest.mark.parametrize("space", SPACES)
def test_every_path_of_levels_has_its_parts(space):
    section = dataclasses.replace(SMALL, layers=4, width_factors=FACTORS[3])
    shared = share(space, section, 1, 0)
    before = len(shared.network)
    [genotype] = draw(space, section, 0, 1)
    paths = [
        path
        for path in itertools.product(range(3), repeat=4)
        if all(abs(a - b) <= 1 for a, b in itertools.pairwise((0, *path)))
    ]
    for path in paths:
        shared.path(dataclasses.replace(genotype, path=path))
    # from the stem's level 0: 2 paths of one layer, then 5, 12 and 29
    assert len(paths) == 29
    assert len(shared.network) == before


def test_the_genotypes_that_cover_a_space_are_of_it():
    section = dataclasses.replace(SMALL, operations=("skip", "sep_3x3"), norm="none", reads_stem=True, downscale=2)
    found = [*cover(contract.find("irnas"), section)]
    operations = {edge.operation for one in found for cell in one.cells for edges in cell for edge in edges}
    assert operations == {"skip", "sep_3x3"}
    assert {(one.norm, one.reads_stem, one.downscale, one.width_factors) for one in found} == {
        ("none", True, 2, (1.0, 2.0))
    }
    assert {one.path for one in found} == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("space", SPACES)
def test_two_networks_share_exactly_the_parts_that_they_have_in_common(space):
    section = dataclasses.replace(SMALL, layers=3, nodes=2, width_factors=FACTORS[3])
    shared = share(space, section, 1, 0)
    of_part = {id(p): name for name, part in shared.network.items() for p in part.parameters()}
    by_names = []
    for genotype in draw(space, section, 4, 12):
        network = shared.path(genotype)
        own = {id(parameter) for parameter in network.parameters()}
        assert own <= set(of_part)  # it has nothing of its own
        used = {of_part[one] for one in own}
        assert own == {one for one, name in of_part.items() if name in used}  # and parts as a whole
        by_names.append((genotype, own, used))
    for (one, ours, our_names), (other, theirs, their_names) in itertools.combinations(by_names, 2):
        assert {of_part[shared_one] for shared_one in ours & theirs} == our_names & their_names
        operations = [
            {
                f"layer {layer} at level {level}, node {node}, input {edge.input}, {edge.operation}"
                for layer, level in enumerate(genotype.path)
                for node, edges in enumerate(genotype.cell_of(layer))
                for edge in edges
                if edge.operation != "skip"
            }
            for genotype in (one, other)
        ]
        assert operations[0] & operations[1] == {name for name in our_names & their_names if ", node " in name}


@pytest.mark.parametrize("space", SPACES)
def test_training_a_path_changes_its_parameters_alone(space):
    section = dataclasses.replace(SMALL, layers=3, residual=False)
    shared = share(space, section, 1, 0)
    network = shared.path(draw(space, section, 5, 1)[0])
    before = {name: value.clone() for name, value in shared.network.state_dict().items()}
    optimiser = torch.optim.AdamW(shared.network.parameters(), lr=0.1, weight_decay=0.1)  # of all
    network.train()(torch.rand(2, 1, 8, 8)).square().mean().backward()
    optimiser.step()
    own = {id(parameter) for parameter in network.parameters() if parameter.grad is not None}
    moved = {name for name, p in shared.network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in shared.network.named_parameters() if id(p) in own}
    assert 0 < len(moved) < len(list(shared.network.parameters()))


@pytest.mark.parametrize("space", SPACES)
def test_a_path_is_the_network_that_the_space_builds_with_these_weights(space):
    section = dataclasses.replace(SMALL, layers=3, residual=False)
    found = contract.find(space)
    shared = share(space, section, 1, 0)
    for genotype in draw(space, section, 6, 3):
        path = shared.path(genotype).eval()
        alone = found.build(genotype, found.candidate_sizes(section), 1).eval()
        alone.load_state_dict(path.state_dict())
        x = torch.rand(1, 1, 8, 8)
        assert torch.equal(path(x), alone(x))
        assert shared.path(genotype).state_dict().keys() == path.state_dict().keys()


@pytest.mark.parametrize("space", SPACES)
def test_shared_parts_are_normalised_whatever_the_networks_are_that_are_trained_alone(space):
    found, names = contract.find(space), {}
    for norm in ("batch", "none"):
        section = dataclasses.replace(SMALL, norm=norm)
        [genotype] = draw(space, section, 7, 1)
        assert genotype.norm == norm
        shared = share(space, section, 1, 0)
        names[norm] = shared.path(genotype).state_dict().keys()
        built = found.build(genotype, found.candidate_sizes(section), 1).state_dict().keys()
        assert (names[norm] == built) is (norm == "batch")
    assert names["batch"] == names["none"]


@pytest.mark.parametrize("space", SPACES)
def test_the_seed_gives_the_weights(space):
    first, again, other = (share(space, SMALL, 1, seed).network.state_dict() for seed in (0, 0, 1))
    assert list(first) == list(again) == list(other)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert any(not torch.equal(other[name], value) for name, value in first.items())


def test_a_part_that_is_taken_twice_is_made_once():
    shared = share("irnas", SMALL, 1, 0)
    made: list[str] = []

    def make() -> torch.nn.Module:
        made.append("made")
        return torch.nn.Identity()

    assert shared._take("new", make) is shared._take("new", make)
    assert made == ["made"]
