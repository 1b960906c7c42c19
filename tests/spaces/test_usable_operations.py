"""`space.cells.operations`: what is left out of a space is in no genotype, no token and no output of its supernet."""

import dataclasses
import math

import pytest
import torch

from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search import darts
from nasir.spaces import contract
from nasir.spaces.cells.cell import EXCLUDED, exclude
from nasir.spaces.cells.genotype import Edge
from nasir.spaces.cells.operations import usable_or_none
from nasir.spaces.cells.searching import random_genotype, relax
from nasir.spaces.contract import random_tokens
from tests.search.test_darts import change
from tests.spaces.cells.small import SMALL
from tests.toys import toy_space

KEPT = ("skip", "conv_3x3", "dil_3x3")
SECTION = dataclasses.replace(SMALL, operations=KEPT, nodes=2, layers=3)
SPACES = ["irnas", "hinas"]


def operations_of(genotype) -> set[str]:
    return {edge.operation for cell in genotype.cells for edges in cell for edge in edges}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("space", SPACES)
def test_the_usable_operations_are_those_named_in_the_spaces_order_and_never_none(space):
    found = contract.find(space)
    assert found.usable(SECTION) == ("conv_3x3", "dil_3x3", "skip")
    assert found.usable(SMALL) == found.operations[:-1]
    assert found.operations[-1] == "none"


@pytest.mark.parametrize("name", ["conv_7x7", "none", "sep_5x5"])
def test_an_operation_that_the_space_does_not_have_is_refused(name):
    section = dataclasses.replace(SMALL, operations=("skip", name))
    message = rf"space\.operations may have .*'def_3x3', 'skip'\] of the space irnas, got \['{name}'\]"
    for use in (contract.find("irnas").usable, contract.find("irnas").tokens, lambda one: relax("irnas", one, 1, 0)):
        with pytest.raises(ValueError, match=message):
            use(section)


@pytest.mark.parametrize("share_alpha", [True, False])
@pytest.mark.parametrize("space", SPACES)
def test_what_is_left_out_is_in_no_token_and_no_random_genotype(space, share_alpha):
    section, source = dataclasses.replace(SECTION, share_alpha=share_alpha), generator()
    found = contract.find(space)
    for token in found.tokens(section):
        if token.name.endswith("operation"):
            assert token.choices == ("conv_3x3", "dil_3x3", "skip")
    drawn, decoded = set(), set()
    for _ in range(15):
        drawn |= operations_of(found.from_tokens(section, random_tokens(found, section, source)))
        decoded |= operations_of(random_genotype(space, section, source))
    assert drawn == decoded == set(KEPT)


@pytest.mark.parametrize("space", SPACES)
def test_what_is_left_out_is_in_nothing_that_a_differentiable_search_finds(space):
    problem = change(
        space, operations=KEPT, nodes=2, share_alpha=False, steps=3, keep_from=3, val_period=3,
        lr_max=0.1, architecture_lr=0.5,
    )  # fmt: skip
    found = darts.STRATEGY.search(problem)
    assert operations_of(found.genotype) <= set(KEPT)
    assert operations_of(found.runner_up) <= set(KEPT)
    alpha = found.tensors["supernet"]["alpha"].softmax(dim=-1)
    left_out = [name not in (*KEPT, "none") for name in contract.find(space).operations]
    assert (alpha[..., torch.tensor(left_out)] == 0).all()


@pytest.mark.parametrize("twin", ["plain", "fast"])
@pytest.mark.parametrize("space", SPACES)
def test_the_output_is_that_of_the_whole_supernet_with_alpha_at_minus_infinity(space, twin):
    section = dataclasses.replace(SECTION, twin=twin, residual=False)
    names = contract.find(space).operations
    fewer = relax(space, section, 1, 0).network
    whole = relax(space, dataclasses.replace(section, operations=()), 1, 1).network
    state = fewer.state_dict()
    assert set(state) < set(whole.state_dict())  # its operations are not there
    whole.load_state_dict(whole.state_dict() | state)
    for logits in (fewer.alpha, whole.alpha):
        values = torch.randn(logits.shape, generator=generator(3))
        values[..., [column for column, name in enumerate(names) if name not in (*KEPT, "none")]] = (
            -math.inf if logits is whole.alpha else EXCLUDED
        )
        logits.data.copy_(values)
    x = torch.rand(2, 1, 9, 10, generator=generator(4))
    for is_training in (False, True):
        outputs, slopes = [], []
        for network in (fewer, whole):
            network.train(is_training)
            output = network(x)
            outputs.append(output)
            slopes.append(torch.autograd.grad(output.square().mean(), [network.beta, network.alpha]))
        assert torch.allclose(*outputs, rtol=1e-5, atol=1e-6)
        assert outputs[0].abs().max() > 0.01
        for one, other in zip(*slopes, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)
    assert parameters(fewer) < parameters(whole)


@pytest.mark.parametrize("space", SPACES)
def test_an_operation_that_is_left_out_costs_nothing(space):
    fewer, whole = (relax(space, dataclasses.replace(SECTION, operations=names), 1, 0).network for names in (KEPT, ()))
    assert flops_per_pixel(fewer, 1, 8) < flops_per_pixel(whole, 1, 8)


@pytest.mark.parametrize("of", ["parameters", "flops"])
@pytest.mark.parametrize("share_alpha", [True, False])
def test_before_any_learning_the_expected_size_is_1_and_over_usable_operations_alone(of, share_alpha):
    relaxed = relax("irnas", dataclasses.replace(SECTION, share_alpha=share_alpha), 1, 0)
    relaxed.beta.data.zero_()
    relaxed.alpha.data.zero_()
    exclude(relaxed.alpha, contract.find("irnas").operations, KEPT)
    assert relaxed.size(of).item() == pytest.approx(1)
    relaxed.alpha.data[..., 0] = 5.0  # conv_3x3, the largest of the three
    assert relaxed.size(of).item() > 1.5
    [slope] = torch.autograd.grad(relaxed.size(of), [relaxed.alpha])
    assert (slope[..., 0] > 0).all()


@pytest.mark.parametrize("share_alpha", [True, False])
def test_a_shuffled_architecture_derives_to_a_random_genotype_and_is_put_back(share_alpha):
    section = dataclasses.replace(SECTION, share_alpha=share_alpha)
    relaxed = relax("irnas", section, 1, 0)
    before = {name: value.clone() for name, value in relaxed.network.state_dict().items()}
    source, expected = generator(7), generator(7)
    for _ in range(5):
        with relaxed.shuffled(source):
            found = relaxed.decode(relaxed.network.state_dict())
            assert operations_of(found) <= set(KEPT)
        assert found == random_genotype("irnas", section, expected)
    assert all(torch.equal(before[name], value) for name, value in relaxed.network.state_dict().items())


def test_shuffled_is_put_back_after_an_error():
    relaxed = relax("irnas", SECTION, 1, 0)
    before = relaxed.alpha.detach().clone()
    with pytest.raises(RuntimeError, match="inside"), relaxed.shuffled(generator()):
        assert not torch.equal(relaxed.alpha, before)
        raise RuntimeError("inside")
    assert torch.equal(relaxed.alpha, before)


def test_excluding_nothing_leaves_alpha_as_it_is():
    alpha = torch.randn(2, 3)
    before = alpha.clone()
    exclude(alpha, ("a", "b", "none"), ())
    assert torch.equal(alpha, before)
    exclude(alpha, ("a", "b", "none"), ("b",))
    assert alpha[:, 0].tolist() == [EXCLUDED] * 2 and torch.equal(alpha[:, 1:], before[:, 1:])
    assert usable_or_none(("a", "b", "none"), ("b",)) == ("none", "b", "none")
    assert usable_or_none(("a", "b", "none"), ()) == ("a", "b", "none")


@pytest.mark.parametrize(
    ("operations", "share"),
    [(("conv_3x3", "sep_3x3"), 0), (("skip", "conv_3x3"), 0.5), (("skip", "skip"), 1)],
)
def test_the_idle_share_is_that_of_skip_over_all_cells(operations, share):
    found = contract.find("irnas")
    genotype = found.from_tokens(SMALL, (0, 0, 1, 0, 0, 0))
    kept = tuple(Edge(input=number, operation=name) for number, name in enumerate(operations))
    busy = tuple(Edge(input=number, operation="conv_3x3") for number in range(2))
    assert found.idle_share(dataclasses.replace(genotype, cells=((kept,),))) == share
    assert found.idle_share(dataclasses.replace(genotype, cells=((kept,), (busy,)))) == share / 2


def test_a_space_without_idle_operations_says_so():
    assert toy_space.SPACE.idle_share((1, 3, 5)) == 0.0
