"""MemNet against a re-statement with plain numbers, its size, and what its recursions share."""

import random

import pytest
import torch
from torch import nn

from nasir.layers.cost import parameters
from nasir.networks.memnet import MemNet

BOTH = pytest.mark.parametrize("share", [False, True], ids=["own", "shared"])


def scalar(share: bool) -> tuple[MemNet, list[float]]:
    """A network of multiplications on channel 0, and what it makes of a pixel of 1: x_1 to x_6 and their weighted sum.

    Every convolution and every batch normalisation (running mean 0 and variance 1) multiplies by a number of its own, some
    below 0. For a pixel x >= 0 all features are multiples of x, because relu(a x) = relu(a) x.
    """
    network = MemNet(1, share).double().eval()
    rng = random.Random(3)

    def draw() -> float:
        return rng.choice([-1, 1, 1]) * rng.uniform(0.5, 1.5)

    def multiply(conv: nn.Conv2d, channel: int = 0) -> float:
        factor = draw()
        conv.weight[0, channel, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = factor
        return factor

    def norm(module: nn.BatchNorm2d, channel: int = 0) -> float:
        module.weight[channel] = factor = draw()
        module.running_var.fill_(1 - module.eps)
        return factor

    def relu(x: float) -> float:
        return max(x, 0.0)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
        network.input[0].weight.fill_(1.2)
        network.input[0].running_var.fill_(1 - network.input[0].eps)
        memories = [multiply(network.input[2]) * 1.2]
        for block in network.blocks:
            a, b = [[multiply(conv) for conv in convs] for convs in (block.convs_a, block.convs_b)]
            if share:
                a, b = a * 6, b * 6
            h, read = memories[-1], list(memories)
            for r in range(6):
                norm_a, norm_b = norm(block.norms_a[r]), norm(block.norms_b[r])
                h = h + b[r] * relu(norm_b * a[r] * relu(norm_a * h))
                read.append(h)
            gate = 0.0
            for position, value in enumerate(read):
                scale = norm(block.gate[0], 64 * position)
                gate += multiply(block.gate[2], 64 * position) * relu(scale * value)
            memories.append(gate)
        recon = multiply(network.recon)
        images = [
            1 + recon * relu(norm(module) * b) for module, b in zip(network.recon_norms, memories[1:], strict=True)
        ]
        weights = [draw() for _ in images]
        network.image_weights.copy_(torch.tensor(weights, dtype=torch.float64))
    return network, [*images, sum(w * image for w, image in zip(weights, images, strict=True))]


@BOTH
def test_the_network_is_its_restatement_with_plain_numbers(share):
    network, expected = scalar(share)
    assert len({round(value, 6) for value in expected}) >= 5  # most images differ, so no block can stand for another
    x = torch.rand(1, 1, 4, 5, dtype=torch.float64)

    with torch.no_grad():
        outputs = network.outputs(x)
        assert torch.equal(network(x), outputs[-1])

    assert len(outputs) == 7
    for output, factor in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, factor * x, rtol=1e-10, atol=1e-10)


def test_parameters_as_released():
    # input: 2 + 9 * 64 + 64; 36 residuals of 2 * (128 + 36,864 + 64); gates of 7 to 12 times 64 features f: 2 f + 64 f + 64;
    # end: 6 * 128, 9 * 64 + 1 and the 6 weights
    gates = sum(66 * 64 * k + 64 for k in range(7, 13))
    assert parameters(MemNet(1, share=False)) == 642 + 36 * 2 * 37_056 + gates + 768 + 577 + 6 == 2_911_177


def test_parameters_with_shared_recursion():
    # 30 of the 36 residuals' 2 * (36,864 + 64) are gone; their batch normalisations stay
    network = MemNet(1, share=True)
    assert parameters(network) == 2_911_177 - 30 * 2 * 36_928 == 695_497
    kernels = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d))
    assert kernels + network.image_weights.numel() == 676_998


@pytest.mark.parametrize(("share", "count"), [(False, 80), (True, 20)], ids=["own", "shared"])
def test_number_of_distinct_convolutions(share, count):
    # 1 + 6 * (2 * 6 + 1) + 1, the 80 of the name M6R6_80C64; shared 1 + 6 * (2 + 1) + 1
    assert sum(isinstance(module, nn.Conv2d) for module in MemNet(1, share).modules()) == count


@pytest.mark.parametrize(("share", "same"), [(False, 1), (True, 6)], ids=["own", "shared"])
def test_changing_one_convolution_changes_every_recursion_that_shares_it(share, same):
    # without its second convolution a recursion returns its input: the shared one silences all six, its own only the first
    network = MemNet(1, share).eval()
    with torch.no_grad():
        network.blocks[0].convs_b[0].weight.zero_()
    read = []
    network.blocks[0].gate.register_forward_pre_hook(lambda _, args: read.append(args[0]))

    with torch.no_grad():
        network(torch.rand(1, 1, 4, 5))

    start, *recursions = read[0].split(64, dim=1)
    assert [torch.equal(h, start) for h in recursions] == [True] * same + [False] * (6 - same)


@BOTH
def test_without_reconstruction_the_input_is_weighted(share):
    # every x_m is x, so the result is (0.5 + 5 * 0.25) x = 1.75 x
    network = MemNet(1, share).eval()
    with torch.no_grad():
        network.recon.weight.zero_()
        network.image_weights.fill_(0.25)
        network.image_weights[2] = 0.5
    x = torch.randn(2, 1, 6, 5)
    with torch.no_grad():
        *images, total = network.outputs(x)
    assert all(torch.equal(image, x) for image in images)
    torch.testing.assert_close(total, 1.75 * x)


def test_a_fresh_network_averages_its_six_images():
    network = MemNet(1, share=True).eval()
    with torch.no_grad():
        *images, total = network.outputs(torch.rand(1, 1, 6, 5))
    torch.testing.assert_close(total, torch.stack(images).mean(dim=0))
