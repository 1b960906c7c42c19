"""What a search gets of a space of cells: draws by hand and by law, and the supernet's alpha and beta read by its rules."""

import dataclasses
import math
from collections import Counter

import pytest
import torch

from nasir.spaces import hinas, irnas
from nasir.spaces.cells.complexity import operation_costs, relative_cost
from nasir.spaces.cells.decode import decode, runner_up
from nasir.spaces.cells.fast.cell import FastCell
from nasir.spaces.cells.monitor import architecture_facts, most_skips, ranks
from nasir.spaces.cells.operations import Style
from nasir.spaces.cells.searching import random_genotype, relax
from tests.spaces.cells.small import SMALL

WIDE = dataclasses.replace(SMALL, layers=4, nodes=3, width_factors=(1.0, 2.0, 4.0))
CHANGES = [
    {},
    {"share_alpha": False, "beta_norm": "outgoing"},
    {"inputs": 1},
    {"share_alpha": False, "inputs": 1, "none": "left_out"},
]


def rules(section) -> dict:
    """What decoding takes of a section."""
    names = ("nodes", "width_factors", "residual", "activation", "beta_norm", "inputs", "none")
    return {name: getattr(section, name) for name in names}


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("space", [irnas.SPACE, hinas.SPACE], ids=lambda space: space.name)
def test_a_draw_is_decoded_from_standard_normal_logits(space, changes):
    section = dataclasses.replace(WIDE, **changes)
    generator, twin = (torch.Generator().manual_seed(7) for _ in range(2))
    for _ in range(3):
        table = (2 + 3 + 4, len(space.operations))
        alpha = torch.randn(table if section.share_alpha else (4, *table), generator=twin)
        beta = torch.randn(4, 3, 3, generator=twin)
        assert random_genotype(space.name, section, generator) == decode(
            alpha, beta, space=space.name, **rules(section)
        )


def test_every_operation_and_every_pair_of_inputs_is_drawn_alike():
    # 200 cells of 3 nodes keep 1,200 edges with 5 operations; node 1 keeps one of 3 pairs of its inputs: five deviations
    section = dataclasses.replace(WIDE, layers=200, share_alpha=False)
    cells = random_genotype("irnas", section, torch.Generator().manual_seed(0)).cells
    operations = Counter(edge.operation for cell in cells for kept in cell for edge in kept)
    assert len(operations) == 5
    assert all(abs(count - 240) < 5 * math.sqrt(1200 * 0.2 * 0.8) for count in operations.values())
    pairs = Counter(frozenset(edge.input for edge in cell[1]) for cell in cells)
    assert len(pairs) == 3
    assert all(abs(count - 200 / 3) < 5 * math.sqrt(200 * 2 / 9) for count in pairs.values())


@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_the_seed_decides_weights_and_architecture(space):
    first, again, other = (relax(space, SMALL, channels=3, seed=seed).network.state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    for name in ("alpha", "beta", next(name for name in first if name.startswith("stem"))):
        assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("twin", ["plain", "fast"])
def test_either_twin_has_the_same_tensors_and_its_own_cells(twin):
    section = dataclasses.replace(SMALL, twin=twin)
    plain, network = relax("irnas", SMALL, 1, 0).network, relax("irnas", section, 1, 0).network
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in network.state_dict().items())
    assert any(isinstance(module, FastCell) for module in network.modules()) == (twin == "fast")


def test_weights_and_architecture_divide_the_parameters():
    relaxed = relax("irnas", SMALL, 1, 0)
    parts = [{id(p) for p in part} for part in (relaxed.weights(), relaxed.architecture())]
    assert parts[1] == {id(relaxed.alpha), id(relaxed.beta)}
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {id(p) for p in relaxed.network.parameters()}


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("space", [irnas.SPACE, hinas.SPACE], ids=lambda space: space.name)
def test_alpha_and_beta_are_read_by_the_section_s_rules(space, changes):
    section = dataclasses.replace(WIDE, **changes)
    relaxed = relax(space.name, section, 1, 0)
    for logits in relaxed.architecture():
        logits.data.normal_(generator=torch.Generator().manual_seed(1))
    state, alpha, beta = relaxed.network.state_dict(), relaxed.alpha.detach(), relaxed.beta.detach()

    found = relaxed.decode(state)
    assert found == decode(alpha, beta, space=space.name, **rules(section))
    assert {len(kept) for cell in found.cells for kept in cell} == {section.inputs}
    assert relaxed.runner_up(state) == runner_up(found, alpha, beta, section.beta_norm, section.none)
    assert {name: id(value) for name, value in relaxed.evidence(state).items()} == {
        name: id(state[name]) for name in ("alpha", "beta")
    }
    assert relaxed.facts() == architecture_facts(alpha, beta, space.name, section.beta_norm)
    assert torch.equal(relaxed.ranking(), ranks(alpha, space.name))
    assert relaxed.skips() == most_skips(alpha, 3, space.name, section.inputs, section.none)
    style = Style(activation=section.activation, separable=space.separable)
    for of in ("parameters", "flops"):
        costs = operation_costs(space.operations, [2, 4, 8], style, of)
        assert relaxed.size(of).item() == pytest.approx(relative_cost(alpha, beta, costs).item())


def test_discretised_it_derives_to_what_it_did():
    relaxed = relax("irnas", WIDE, 1, 0)
    for logits in relaxed.architecture():
        logits.data.normal_(generator=torch.Generator().manual_seed(2))
    before, found = relaxed.alpha.detach().clone(), relaxed.decode(relaxed.network.state_dict())

    def edges_of(genotype) -> list[set]:
        return [set(kept) for kept in genotype.cells[0]]

    with relaxed.discretised():
        inside = relaxed.decode(relaxed.network.state_dict())
        assert edges_of(inside) == edges_of(found)
    assert torch.equal(relaxed.alpha, before)


@pytest.mark.parametrize("seed", range(3))
def test_leaving_none_out_changes_what_is_derived_and_what_is_discretised_alike(seed):
    section = dataclasses.replace(WIDE, share_alpha=False, inputs=1)
    ranked, left_out = (
        relax("irnas", dataclasses.replace(section, none=none), 1, 0) for none in ("ranked", "left_out")
    )
    for relaxed in (ranked, left_out):
        relaxed.alpha.data.normal_(generator=torch.Generator().manual_seed(seed))
    assert ranked.decode(ranked.network.state_dict()).cells != left_out.decode(left_out.network.state_dict()).cells
    for relaxed in (ranked, left_out):
        found = relaxed.decode(relaxed.network.state_dict())
        with relaxed.discretised():
            assert relaxed.decode(relaxed.network.state_dict()).cells == found.cells


def test_an_unknown_place_of_none_is_refused():
    with pytest.raises(ValueError, match=r"space\.none must be one of \['ranked', 'left_out'\], got 'kept'"):
        dataclasses.replace(SMALL, none="kept")
