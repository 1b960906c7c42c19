"""RED30: which maps its skips join, worked as digits of a number."""

import pytest
import torch
from torch import nn

from nasir.layers.cost import parameters
from nasir.networks.red30 import RED30


def scaling(out: float, back: list[float]) -> RED30:
    """A network of multiplications: each convolution by `out`, the j-th transposed one by `back[j]`, on channel 0 alone."""
    network = RED30(1).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for layer in network.convolutions:
            layer.weight[0, 0, 1, 1] = out
        for layer, factor in zip(network.transposed, back, strict=True):
            layer.weight[0, 0, 1, 1] = factor
    return network


def test_parameters():
    # first 9 * 64 + 64, last 64 * 9 + 1, and 14 + 14 of 9 * 64 * 64 + 64
    assert parameters(RED30(1)) == 640 + 577 + 28 * 36_928 == 1_035_201


def test_fifteen_convolutions_and_fifteen_transposed_ones():
    kinds = [type(module) for module in RED30(1).modules()]
    assert kinds.count(nn.Conv2d) == kinds.count(nn.ConvTranspose2d) == 15


def test_every_second_map_is_added_to_its_mirror():
    # The map of level k is 2^k x, and from level k back to the image there are k factors of 3: what is added at level k
    # arrives as 6^k x. The deepest map arrives as 6^15 x. In base 6 the sum shows which levels were joined: 0, 2, ..., 14.
    network = scaling(2, [3] * 15)
    x = torch.rand(1, 1, 5, 4, dtype=torch.float64)
    expected = 6**15 + sum(6**level for level in range(0, 15, 2))
    torch.testing.assert_close(network(x), expected * x, rtol=1e-14, atol=0)


def test_a_skip_is_added_before_the_relu():
    # The first transposed convolution gives -3/4 x and level 14 adds x: 1/4 x before the ReLU, where x after it would remain.
    # Levels 12 to 0 add x each, 7 times.
    network = scaling(1, [-0.75] + [1] * 14)
    x = torch.rand(1, 1, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(network(x), 7.25 * x)


def test_a_layer_without_skip_has_its_relu():
    # the transposed convolution back to level 13 gives -2 x, which is cut to 0; levels 12 to 0 add x each, 7 times
    network = scaling(1, [1, -1] + [1] * 13)
    x = torch.rand(1, 1, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(network(x), 7 * x)


def test_negative_pixels_stop_at_the_first_relu_and_pass_as_input():
    x = -torch.rand(1, 1, 5, 4, dtype=torch.float64)
    assert torch.equal(scaling(1, [1] * 15)(x), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_without_weights_returns_its_input(channels):
    network = RED30(channels)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    x = torch.randn(2, channels, 6, 5)
    assert torch.equal(network(x), x)


def test_a_fresh_network_is_near_the_identity_and_its_middle_can_learn():
    # He's start keeps the size of features and gradients, and the skips add at most 8 of them: no layer's gradient falls
    # below a hundredth of the first one's (under torch's default start it falls below a hundred-thousandth)
    torch.manual_seed(0)
    network = RED30(1)
    x = torch.rand(2, 1, 12, 12)

    restored = network(x)
    restored.square().mean().backward()

    assert (restored - x).detach().std() < 0.03
    sizes = [layer.weight.grad.norm() for layer in (*network.convolutions, *network.transposed)]
    assert min(sizes) > 0.01 * sizes[0] > 0
