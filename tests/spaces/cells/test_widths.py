"""Width levels: what feeds what, and the two norms of beta, by hand."""

import math

import pytest
import torch
from torch import nn

from nasir.spaces.cells.widths import levels, mix_paths, sources, step_weights, targets, width_entropy, width_weights


def test_a_layer_has_one_level_more_than_the_one_before():
    assert [list(levels(layer, 3)) for layer in range(4)] == [[0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    assert [list(levels(layer, 1)) for layer in range(2)] == [[0], [0]]


def test_steps_go_to_the_narrower_the_same_and_the_wider_level():
    assert sources(0, 1, 3) == [0]
    assert sources(1, 2, 3) == [1]  # level 2 does not exist in the first layer
    assert sources(2, 1, 3) == [0, 1, 2]
    assert targets(0, 0, 3) == [0, 1]
    assert targets(1, 1, 3) == [0, 1, 2]
    assert targets(2, 2, 3) == [1, 2]
    for layer in range(4):  # the same steps, seen from both ends
        into = {(source, level) for level in levels(layer, 3) for source in sources(layer, level, 3)}
        before = levels(layer - 1, 3) if layer else range(1)
        assert into == {(source, level) for source in before for level in targets(layer, source, 3)}


def test_incoming_weights_are_normalised_over_the_cells_that_feed_a_cell():
    beta = torch.zeros(4, 3, 3)
    assert width_weights(beta, 0, 1, "incoming").tolist() == [1.0]
    beta[2, 2, 0] = math.log(2)  # from level 2 to the narrower level 1
    torch.testing.assert_close(width_weights(beta, 2, 1, "incoming"), torch.tensor([0.25, 0.25, 0.5]))


def test_outgoing_weights_are_normalised_over_the_steps_that_a_cell_can_take():
    beta = torch.full((4, 3, 3), 7.0)
    beta[2, 0] = torch.tensor([99.0, 0.0, math.log(3)])  # there is no level below 0: 99 is not read
    beta[2, 1] = torch.tensor([0.0, math.log(2), 0.0])
    beta[2, 2] = torch.tensor([math.log(4), 0.0, 99.0])
    torch.testing.assert_close(torch.stack([*step_weights(beta, 2, 0).values()]), torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(width_weights(beta, 2, 1, "outgoing"), torch.tensor([0.75, 0.5, 0.8]))
    torch.testing.assert_close(width_weights(beta, 2, 2, "outgoing"), torch.tensor([0.25, 0.2]))


def test_entropies_are_means_over_what_is_normalised_together():
    # two layers of two widths, all logits 0. Incoming: the second layer's two cells have two feeders each. Outgoing: the stem
    # and the first layer's two cells have two steps each.
    beta = torch.zeros(2, 2, 3)
    assert width_entropy(beta, "incoming") == pytest.approx(math.log(2))
    beta[1, 0, 1:] = torch.tensor([math.log(3), 0.0])  # 3/4 and 1/4 outgoing; 3/4, 1/4 into level 0 and 1/2, 1/2 into 1
    uneven = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert width_entropy(beta, "outgoing") == pytest.approx((2 * math.log(2) + uneven) / 3)
    assert width_entropy(beta, "incoming") == pytest.approx((math.log(2) + uneven) / 2)
    assert width_entropy(torch.zeros(3, 1, 3), "incoming") == width_entropy(torch.zeros(3, 1, 3), "outgoing") == 0


@pytest.mark.parametrize(
    ("norm", "expected"), [("incoming", [0.5 * 1 + 0.5 * 10, 5.5]), ("outgoing", [0.5 * 1 + 0.25 * 10, 0.5 + 7.5])]
)
def test_paths_are_mixed_by_their_weights(norm, expected):
    routes = nn.ModuleDict({str(level): nn.ModuleDict({str(s): nn.Identity() for s in (0, 1)}) for level in (0, 1)})
    last = {0: torch.ones(1, 1, 2, 2), 1: torch.full((1, 1, 2, 2), 10.0)}
    beta = torch.zeros(2, 2, 3)
    if norm == "outgoing":
        beta[1, 1, 1] = math.log(3)  # level 1 stays: 3/4
    mixed = mix_paths(routes, last, beta, 1, norm)
    assert [mixed[level][0, 0, 0, 0].item() for level in (0, 1)] == pytest.approx(expected)
