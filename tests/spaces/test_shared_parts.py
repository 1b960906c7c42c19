"""Two networks out of one store of parts share those that stand at the same place, and no others."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nasir.spaces import hinas, irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSizes
from nasir.spaces.cells.space import CellSpace
from nasir.spaces.shared.parts import Take

SIZES = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))
SPACES = {"irnas": irnas.SPACE, "hinas": hinas.SPACE}


def edges(*operations: str) -> tuple[Edge, ...]:
    return tuple(Edge(input=number, operation=name) for number, name in enumerate(operations))


ONE = Genotype(
    space="irnas",
    cells=((edges("conv_3x3", "sep_3x3"),),),
    path=(0, 1),
    width_factors=(1.0, 2.0),
    residual=True,
    activation="relu",
)
LONGER = dataclasses.replace(ONE, path=(0, 1, 1))


def out_of(parts: dict[str, nn.Module]) -> Take:
    def take(name: str, make: Callable[[], nn.Module]) -> nn.Module:
        if name not in parts:
            parts[name] = make()
        return parts[name]

    return take


def assemble(genotype: Genotype, space: str, parts: dict[str, nn.Module]) -> nn.Module:
    chosen: CellSpace = SPACES[space]
    return chosen.assemble(dataclasses.replace(genotype, space=space), SIZES, 1, out_of(parts))


def shared(one: nn.Module, other: nn.Module) -> tuple[set[str], set[str]]:
    """The names of the parameters that two networks share, and of the other ones of the second."""
    ours, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    ids = {id(parameter): name for name, parameter in ours.items()}
    assert len(ids) == len(ours)
    common = {name for name, parameter in theirs.items() if id(parameter) in ids}
    assert {ids[id(theirs[name])] for name in common} == common  # under the same names
    return common, set(theirs) - common


def begin_with(names: set[str], *places: str) -> bool:
    """Whether each name begins with one of the places, and each place is one of some name."""
    return all(name.startswith(places) for name in names) and all(
        any(name.startswith(place) for name in names) for place in places
    )


@pytest.mark.parametrize(
    ("change", "irnas_own", "hinas_own"),
    [
        # another operation on the second edge, in both layers
        ({"cells": ((edges("conv_3x3", "dil_3x3"),),)}, ["cells.0.operations.0.1.", "cells.1.operations.0.1."], None),
        # the same operations on the inputs the other way round
        ({"cells": ((edges("sep_3x3", "conv_3x3"),),)}, ["cells.0.", "cells.1."], None),
        # one edge fewer
        ({"cells": ((edges("conv_3x3"),),)}, [], None),
        # another width in the second layer: its cell, and what makes and reads it
        (
            {"path": (0, 0)},
            ["from_before_last.1.", "from_last.1.", "cells.1.", "aspp."],
            ["from_before_last.1.", "from_last.1.", "cells.1.", "tail.", "reduce."],
        ),
        # another width in the first layer, which the second one reads alone
        (
            {"path": (1, 1)},
            ["from_before_last.0.", "from_last.0.", "cells.0.", "from_last.1."],
            ["from_before_last.0.", "from_last.0.", "cells.0.", "from_last.1.", "reduce."],
        ),
        ({}, [], None),
    ],
    ids=["operation", "inputs", "fewer", "last width", "first width", "same"],
)
@pytest.mark.parametrize("space", list(SPACES))
def test_two_networks_share_what_stands_at_the_same_place_and_nothing_else(space, change, irnas_own, hinas_own):
    parts: dict[str, nn.Module] = {}
    one = assemble(ONE, space, parts)
    other = assemble(dataclasses.replace(ONE, **change), space, parts)
    common, own = shared(one, other)
    assert begin_with(own, *(hinas_own if space == "hinas" and hinas_own is not None else irnas_own))
    assert {"stem", "output"} <= {name.split(".")[0] for name in common}


@pytest.mark.parametrize("reads_stem", [False, True])
def test_a_network_with_one_layer_more_shares_those_before(reads_stem):
    parts: dict[str, nn.Module] = {}
    one, other = (
        assemble(dataclasses.replace(genotype, reads_stem=reads_stem), "irnas", parts) for genotype in (ONE, LONGER)
    )
    common, own = shared(one, other)
    assert begin_with(own, "from_before_last.2.", "from_last.2.", "cells.2.")
    assert {"aspp", "output"} | ({"tail"} if reads_stem else set()) <= {name.split(".")[0] for name in common}


@pytest.mark.parametrize("space", list(SPACES))
def test_a_network_out_of_a_store_of_its_own_is_the_one_that_is_built(space):
    genotype = dataclasses.replace(ONE, space=space)
    torch.manual_seed(0)
    built = SPACES[space].build(genotype, SIZES, 1)
    torch.manual_seed(0)
    assembled = assemble(genotype, space, {})
    state = assembled.state_dict()
    assert list(state) == list(built.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())
    assert shared(built, assembled)[0] == set()


@pytest.mark.parametrize("space", list(SPACES))
def test_a_step_of_one_network_moves_the_shared_weights_of_the_other(space):
    parts: dict[str, nn.Module] = {}
    one = assemble(ONE, space, parts)
    other = assemble(dataclasses.replace(ONE, path=(0, 0)), space, parts)
    before = {name: parameter.detach().clone() for name, parameter in other.named_parameters()}
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1.0)
    moved = {name for name, parameter in other.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == shared(one, other)[0]
