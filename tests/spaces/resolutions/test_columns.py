"""CLEARER's search space: genotypes as text and tokens, what is read from alpha, its losses, shared weights, the drawing."""

import dataclasses
import json
import math

import pytest
import torch

from nasir.spaces import contract
from nasir.spaces.clearer import SPACE
from nasir.spaces.resolutions import drawing, searching
from nasir.spaces.resolutions.searching import RelaxedColumns
from tests.spaces.resolutions.little import AUTHORS, LITTLE


def relaxed(alpha: list[list[float]], **changes: object) -> RelaxedColumns:
    """A supernet of this alpha."""
    found = searching.relax("clearer", dataclasses.replace(LITTLE, **changes), 1, 0)
    found.alpha.data.copy_(torch.tensor(alpha))
    return found


def test_a_genotype_is_read_back_from_its_json():
    genotype = SPACE.genotype(LITTLE, "FPPF")
    assert (genotype.cells, genotype.text) == (("FP", "P", "F"), "FP P F")
    assert contract.of_json(json.loads(json.dumps(SPACE.to_json(genotype)))) is SPACE
    assert SPACE.from_json(SPACE.to_json(genotype)) == genotype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": ["FX", "P"]}, r"a word of the letters P \(parallel\) and F \(fusion\) for each cell, got 'FX P'"),
        ({"cells": []}, r"for each cell, got ''"),
        ({"cells": "FP"}, r"genotype: cells must be a list of str, got 'FP'"),
        ({"norm": "group"}, r"norm must be one of \['batch', 'none'\], got 'group'"),
        ({"transition": "within"}, r"transition must be one of \['before', 'after'\], got 'within'"),
        ({"downscale": 0}, r"downscale must be a whole number, 1 to 64, got 0"),
        ({"downscale": True}, r"genotype: downscale must be a int, got True"),
        ({"residual": "no"}, r"genotype: residual must be a bool, got 'no'"),
        ({"cells": ["P" * 200_000]}, r"a genotype may have 300 columns, got 200000"),
        ({"version": 2}, r"reads version 1 of such genotypes, got 2"),
        ({"path": [0]}, r"must have exactly the keys"),
    ],
)
def test_a_genotype_that_is_none_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SPACE.from_json(SPACE.to_json(SPACE.genotype(LITTLE, "FPPF")) | change)


def test_tokens_are_a_letter_for_each_column():
    assert [token.name for token in SPACE.tokens(LITTLE)] == [
        "cell 0, column 0", "cell 0, column 1", "cell 1, column 0", "cell 2, column 0",
    ]  # fmt: skip
    assert SPACE.from_tokens(LITTLE, (1, 0, 0, 1)).text == "FP P F"
    for chosen, message in (
        ((1, 0, 0), "has 4 columns, got 3"),
        ((1, 0, 2, 0), r"column 2 may be one of \[0, 1\], got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            SPACE.from_tokens(LITTLE, chosen)


def test_random_genotypes_have_each_letter_as_often():
    generator = torch.Generator().manual_seed(0)
    drawn = "".join(searching.random_genotype("clearer", LITTLE, generator).letters for _ in range(300))
    assert abs(drawn.count("P") - 600) < 5 * math.sqrt(1200 / 4)


def test_alpha_is_decoded_by_its_largest_logit_and_the_least_decided_column_is_the_runner_up():
    net = relaxed([[0.0, 1.0], [0.5, 0.5], [0.2, 0.1], [-3.0, 3.0]])
    tensors = {name: value.clone() for name, value in net.network.state_dict().items()}
    assert net.decode(tensors).text == "FP P F"  # a tie is P
    assert net.runner_up(tensors).text == "FF P F"
    assert net.ranking().tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert net.evidence(tensors).keys() == {"alpha"}
    with net.discretised():
        assert net.alpha.softmax(dim=-1).round().tolist() == [[0, 1], [1, 0], [1, 0], [0, 1]]
        assert net.alpha.softmax(dim=-1).min() < 1e-20
    with net.shuffled(torch.Generator().manual_seed(0)):
        assert not torch.equal(net.alpha, tensors["alpha"])
    assert net.alpha.tolist()[0] == [0.0, 1.0]


def test_a_column_whose_weight_is_one_computes_its_module_alone():
    x = torch.rand(1, 1, 16, 16)
    net = relaxed([[50.0, 0.0], [0.0, 50.0], [50.0, 0.0], [0.0, 50.0]]).network.eval()
    aliased = relaxed([[50.0, 0.0], [0.0, 50.0], [50.0, 0.0], [0.0, 50.0]], aliasing="released").network.eval()
    torch.manual_seed(0)
    alone = SPACE.build(SPACE.genotype(LITTLE, "PFPF"), SPACE.candidate_sizes(LITTLE), 1)
    names = {"cells.0.0": 0, "cells.0.1": 1, "cells.1.0": 0, "cells.2.0": 1}
    tensors = net.state_dict()
    for place, letter in names.items():
        for name in list(alone.state_dict()):
            if name.startswith(place):
                tensors[name] = tensors[name.replace(place, f"{place}.{letter}", 1)]
    alone.load_state_dict({name: tensors[name] for name in alone.state_dict()})
    assert torch.allclose(net(x), alone.eval()(x), atol=1e-6)
    assert not torch.allclose(aliased(x), net(x), atol=1e-3)  # there a fusion follows a parallel module


def test_the_losses_of_alpha_have_their_values_by_hand():
    net = relaxed([[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0], [0.0, 0.0]])
    half = -math.log10(0.5)
    quarter = -0.25 * math.log10(0.25) - 0.75 * math.log10(0.75)
    assert net.indecision().item() == pytest.approx((3 * half + quarter) / 4)
    complexity = (3 * 0.5 + 0.75 * 0.7 + 0.25 * 0.3) / 4
    assert net.size("parameters").item() == pytest.approx(complexity / 0.5)
    assert net.smoothness().item() == pytest.approx((3 * math.log(2) + math.log(4)) / 4, rel=1e-5)
    decided = relaxed([[900.0, 0.0]] * 4)
    assert torch.autograd.grad(decided.indecision(), decided.alpha)[0].isfinite().all()


def test_costs_are_those_published_or_counted_by_column():
    assert searching.column_costs(AUTHORS, "flops").tolist() == [[0.7, 0.3]] * 12
    counted = dataclasses.replace(AUTHORS, costs="counted")
    of_cells = [[92_544, 20_672], [387_968, 153_536], [1_568_640, 784_512]]
    assert searching.column_costs(counted, "parameters").tolist() == [pair for pair in of_cells for _ in range(4)]
    per_pixel = [[73_728, 10_240], [110_592, 30_208], [147_456, 58_496]]
    assert searching.column_costs(counted, "flops").tolist() == [pair for pair in per_pixel for _ in range(4)]


def test_networks_share_the_weights_of_what_they_have_in_common():
    shared = searching.share("clearer", dataclasses.replace(LITTLE, norm="none"), 1, 0)
    first, second = (shared.path(SPACE.genotype(LITTLE, letters)) for letters in ("PFPF", "PPPP"))
    assert first.cells[0][0] is second.cells[0][0] and first.head is second.head
    own = {
        id(parameter)
        for letters in ("PPPP", "FFFF")
        for parameter in shared.path(SPACE.genotype(LITTLE, letters)).parameters()
    }
    assert own == {id(parameter) for parameter in shared.network.parameters()}
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in first.modules())


def test_the_drawing_is_the_same_bytes_for_the_same_genotype(tmp_path):
    for name in ("one", "other"):
        section = dataclasses.asdict(LITTLE)
        drawing.draw(SPACE.genotype(LITTLE, "PFPF"), section, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    for kind in ("svg", "png"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"other.{kind}").read_bytes()
    other = SPACE.genotype(LITTLE, "PFPP")
    drawing.draw(other, dataclasses.asdict(LITTLE), tmp_path / "third.svg", tmp_path / "third.png")
    assert (tmp_path / "third.png").read_bytes() != (tmp_path / "one.png").read_bytes()


@pytest.mark.parametrize(
    ("transition", "branches"), [("before", ("2 branches", "2 branches")), ("after", ("1 branch", "2 branches"))]
)
def test_in_words_the_drawing_says_the_same_choices(transition, branches):
    section = dataclasses.replace(LITTLE, columns=(2, 2), widths=(4, 8), downscale=2, transition=transition)
    said = drawing.outline(SPACE.genotype(section, "PFFF"), SPACE.candidate_sizes(section))
    assert said["branch 2"] == "8 channels at 1/4 resolution"
    assert said["cell 1"] == f"parallel, fusion; on {branches[0]}"
    assert said["cell 2"] == f"fusion, fusion; on {branches[1]}"
