"""The fading identity beside every mixed operation, and the smoothness of alpha: by hand, in both spaces and both twins."""

import copy
import dataclasses
import math

import pytest
import torch

from nasir.spaces.cells.cell import SuperCell
from nasir.spaces.cells.fast.twin import convert
from nasir.spaces.cells.searching import RelaxedCells, relax
from nasir.training.losses import restoration_loss
from tests.spaces.cells.small import SMALL

FADE = 0.3


class Beside(SuperCell):
    """A cell with an identity of the weight FADE beside every mixed operation, as the paper draws it."""

    def _mix(self, row, x, weights):
        return super()._mix(row, x, weights) + FADE * x


def supernet(space: str = "irnas", **changes) -> RelaxedCells:
    """A supernet of two nodes with random alpha and beta, in float64."""
    relaxed = relax(space, dataclasses.replace(SMALL, nodes=2, residual=False, **changes), 1, 0)
    relaxed.network.double()
    for logits in relaxed.architecture():
        logits.data.normal_(generator=torch.Generator().manual_seed(1))
    for name, parameter in relaxed.network.named_parameters():
        if "predict" in name:  # offsets of deformable convolutions: at whole pixels their gradient jumps
            parameter.data.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
    return relaxed


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, 9, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def step(network) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Output and all gradients of a pass in training mode."""
    restored = network(images())
    names, parameters = zip(*network.named_parameters(), strict=True)
    loss = restoration_loss(restored, images() / 2, 0.5)
    slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
    return restored.detach(), {n: g for n, g in zip(names, slopes, strict=True) if g is not None}


def assert_close(found, expected) -> None:
    assert torch.allclose(found[0], expected[0], rtol=0, atol=1e-9 * expected[0].abs().max().item())
    assert found[1].keys() == expected[1].keys()
    for name, slope in expected[1].items():
        bound = max(1e-9 * slope.abs().max().item(), 1e-13)
        assert torch.allclose(found[1][name], slope, rtol=0, atol=bound), name


VARIANTS = [("irnas", {}), ("irnas", {"share_cells": False, "share_alpha": False}), ("hinas", {"share_alpha": False})]


@pytest.mark.parametrize(("space", "changes"), VARIANTS, ids=str)
def test_it_is_an_identity_beside_every_mixed_operation(space, changes):
    relaxed, drawn = supernet(space, **changes), supernet(space, **changes).network
    for module in drawn.modules():
        if type(module) is SuperCell:
            module.__class__ = Beside
    relaxed.fade(FADE)
    assert_close(step(relaxed.network), step(drawn))
    with torch.no_grad():
        found, expected = relaxed.network.eval()(images()), drawn.eval()(images())
    assert torch.allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("changes", [{}, {"partial": 2}], ids=str)
@pytest.mark.parametrize(("space", "shares"), [("irnas", True), ("hinas", False)])
def test_both_twins_have_the_same_numbers_with_it(space, shares, changes):
    plain = supernet(space, share_alpha=shares, **changes).network
    fast = copy.deepcopy(plain)
    convert(fast, "none")
    plain.fade = fast.fade = FADE
    expected = step(plain)
    assert_close(step(fast), expected)
    plain.fade = 0.0
    assert not torch.allclose(step(plain)[0], expected[0])


@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_at_first_and_at_0_there_is_none_to_the_bit(space):
    relaxed, other = supernet(space), supernet(space)
    assert relaxed.network.fade == 0
    relaxed.fade(FADE)
    relaxed.fade(0.0)
    found, expected = step(relaxed.network), step(other.network)
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(slope, expected[1][name]) for name, slope in found[1].items())
    assert relaxed.network.state_dict().keys() == other.network.state_dict().keys()


def test_discretised_nothing_of_it_is_left_and_afterwards_it_is_back():
    relaxed, other = supernet(), supernet()
    relaxed.fade(FADE)
    with torch.no_grad(), relaxed.discretised(), other.discretised():
        assert torch.equal(relaxed.network.eval()(images()), other.network.eval()(images()))
    assert relaxed.network.fade == FADE


def test_it_says_nothing_of_what_is_derived():
    relaxed, other = supernet(), supernet()
    relaxed.fade(100.0)
    state = relaxed.network.state_dict()
    assert relaxed.decode(state) == other.decode(other.network.state_dict())
    assert relaxed.facts() == other.facts()
    assert relaxed.skips() == other.skips()


@pytest.mark.parametrize("share_alpha", [True, False])
def test_smoothness_is_the_mean_over_all_edges_of_logsumexp(share_alpha):
    # half of the edges have the logits log 1 to log 6, whose sum is log 21, the others six zeros, log 6
    relaxed = relax("irnas", dataclasses.replace(SMALL, share_alpha=share_alpha), 1, 0)
    relaxed.alpha.data.zero_()
    relaxed.alpha.data[..., 0, :] = torch.arange(1.0, 7.0).log()
    smoothness = relaxed.smoothness()
    assert smoothness.item() == pytest.approx((math.log(21) + math.log(6)) / 2)
    [slope] = torch.autograd.grad(smoothness, [relaxed.alpha])
    assert torch.allclose(slope, relaxed.alpha.detach().softmax(dim=-1) / relaxed.alpha[..., 0].numel())
