"""The expected size, by hand."""

import math

import pytest
import torch

from nasir.layers.cost import flops_per_pixel
from nasir.spaces import hinas, irnas
from nasir.spaces.cells.complexity import expected_cost, level_probabilities, operation_costs, relative_cost
from nasir.spaces.cells.operations import Style

STYLE = Style(activation="relu", separable=1)
COSTS = torch.tensor([[10.0, 2.0, 0.0], [40.0, 4.0, 0.0]], dtype=torch.float64)  # three operations at two widths


def logits(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def test_parameters_of_each_operation_at_each_width():
    # At C channels, with 2C of batch normalisation: 9 C^2 + 2C; 9C + C^2 + 2C; as the first; deformable has the 3x3
    # convolution to 27 offsets and masks more, 9 * 27 C + 27. C = 4: 152, 60, 152, 152 + 999.
    costs = operation_costs(irnas.OPERATIONS, [4, 8], STYLE, "parameters")
    assert costs[0].tolist() == [152, 60, 152, 1151, 0, 0]
    assert costs[1].tolist() == [592, 152, 592, 592 + 9 * 27 * 8 + 27, 0, 0]


def test_operations_of_a_twice_applied_separable_convolution():
    # per pixel two operations for each multiply-add: 2 * (25 C + C^2), twice; C = 4: 464. A convolution: 2 * 9 * 16
    twice = Style(activation="leaky_relu", separable=2)
    costs = operation_costs(("sep_5x5", "conv_3x3", "skip", "none"), [4], twice, "flops")
    assert costs.tolist() == [[464, 288, 0, 0]]


@pytest.mark.parametrize("space", [irnas.SPACE, hinas.SPACE], ids=lambda space: space.name)
def test_a_space_is_priced_as_its_supernet_is_built(space):
    shape = {"channels": 1, "nodes": 1, "layers": 1, "width": 4, "width_factors": (1,), "stem_channels": 3}
    kind = {
        "share_alpha": True,
        "beta_norm": "incoming",
        "activation": "relu",
        "sigmoid": False,
        "partial": 1,
        "residual": True,
    }
    more = {"share_cells": True} if space.has_unshared else {}
    net = space.Supernet(**shape, **kind, **more, generator=torch.Generator().manual_seed(0))
    style = Style(activation="relu", separable=space.separable)
    costs = operation_costs(space.operations, [4], style, "flops")
    built = [flops_per_pixel(module, 4, 16) for module in net.cells[0]["0"].operations[0]]
    assert costs.tolist() == [built]


def test_counting_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    operation_costs(("conv_3x3",), [4], STYLE, "parameters")
    assert torch.equal(torch.rand(4), expected)


def test_one_layer_and_one_node_by_hand():
    # two edges with weights (1/2, 1/4, 1/4) and (1/5, 4/5, 0): at the lower width 10/2 + 2/4 + 10/5 + 8/5 = 9.1, at the
    # upper one 40/2 + 4/4 + 40/5 + 16/5 = 32.2. The step to the same level has the chance 1/4: 9.1/4 + 32.2 * 3/4.
    alpha = torch.tensor([logits(0.5, 0.25, 0.25), [*logits(0.2, 0.8), -1000.0]], dtype=torch.float64)
    beta = torch.zeros(1, 2, 3, dtype=torch.float64)
    beta[0, 0] = torch.tensor([99.0, *logits(0.25, 0.75)])  # level -1 does not exist: its logit is not read
    assert expected_cost(alpha, beta, COSTS).item() == pytest.approx(9.1 / 4 + 32.2 * 3 / 4)
    # uniform: an edge costs 4 or 44/3, two edges 8 or 88/3, both levels alike
    assert relative_cost(alpha, beta, COSTS).item() == pytest.approx((9.1 / 4 + 32.2 * 3 / 4) / ((8 + 88 / 3) / 2))


def test_the_walk_spreads_from_the_stem_over_the_levels():
    # without learning: layer 1: 1/2, 1/2. Layer 2: level 0 sends 1/2 to each of two, level 1 1/3 to each of three:
    # 1/4 + 1/6, 1/4 + 1/6, 1/6. Layer 3: level 2 sends 1/2 to each of two.
    found = level_probabilities(torch.zeros(3, 3, 3, dtype=torch.float64))
    first, second = 5 / 12, 1 / 6
    third = [first / 2 + first / 3, first / 2 + first / 3 + second / 2, first / 3 + second / 2]
    expected = torch.tensor([[1 / 2, 1 / 2, 0], [first, first, second], third], dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3, dtype=torch.float64))


def test_an_alpha_for_each_layer_is_priced_layer_by_layer():
    # one width, so every layer is at it: layer 1 takes the dear operation on both edges, layer 2 the cheap one
    alpha = torch.zeros(2, 2, 3, dtype=torch.float64)
    alpha[0, :, 0], alpha[1, :, 1] = 1000.0, 1000.0
    beta = torch.zeros(2, 1, 3, dtype=torch.float64)
    assert expected_cost(alpha, beta, COSTS[:1]).item() == pytest.approx(2 * 10 + 2 * 2)
    tied = expected_cost(alpha[0], beta, COSTS[:1])
    assert tied.item() == pytest.approx(2 * 2 * 10)


def test_before_any_learning_the_relative_cost_is_one():
    assert relative_cost(torch.zeros(5, 3), torch.zeros(4, 2, 3), COSTS).item() == pytest.approx(1.0)


def test_its_gradient_lowers_the_dear_operation_and_the_wide_step():
    alpha = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    beta = torch.zeros(1, 2, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda a, b: relative_cost(a, b, COSTS), (alpha, beta))
    by_alpha, by_beta = torch.autograd.grad(relative_cost(alpha, beta, COSTS), (alpha, beta))
    assert (by_alpha[:, 0] > 0).all() and (by_alpha[:, 2] < 0).all()
    assert by_beta[0, 0, 2] > 0 > by_beta[0, 0, 1]
    assert by_beta[0, 1].abs().max() == 0  # nothing leads from level 1 into the first layer
