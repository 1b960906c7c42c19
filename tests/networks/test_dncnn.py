"""DnCNN: its size before and after merging, its reach, and that merging changes nothing but the size."""

import copy

import pytest
import torch
from torch import nn

from nasir.layers.cost import parameters
from nasir.networks.dncnn import DnCNN, merge_batch_norm


def trained(channels: int = 1) -> DnCNN:
    """A network whose batch normalisations are far from the identity, as after training."""
    torch.manual_seed(0)
    network = DnCNN(channels)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(0.5 + torch.rand(64, generator=g))
                module.bias.copy_(0.2 * torch.randn(64, generator=g))
                module.running_mean.copy_(0.3 * torch.randn(64, generator=g))
                module.running_var.copy_(0.5 + torch.rand(64, generator=g))
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.copy_(0.1 * torch.randn(module.bias.shape, generator=g))
    return network


def test_parameters_before_and_after_merging():
    # first 9 * 64 + 64, last 64 * 9 + 1; 15 in between of 9 * 64 * 64 and a scale and a shift, merged a bias
    ends, middle = 9 * 64 + 64 + 64 * 9 + 1, 15 * 9 * 64 * 64
    assert parameters(DnCNN(1)) == ends + middle + 15 * 128 == 556_097
    assert parameters(merge_batch_norm(DnCNN(1))) == ends + middle + 15 * 64 == 555_137


def test_seventeen_convolutions_of_which_the_two_ends_lack_batch_normalisation():
    kinds = [type(layer) for layer in DnCNN(1).layers]
    assert kinds == [nn.Conv2d, nn.ReLU, *[nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 15, nn.Conv2d]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_merged_network_computes_the_same(channels):
    network = trained(channels).eval()
    x = torch.rand(2, channels, 13, 10, generator=torch.Generator().manual_seed(2))

    merged = merge_batch_norm(network)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in merged.modules())
    with torch.no_grad():
        expected = network(x)
        assert (expected - x).std() > 0.01  # the noise estimate is not nothing
        torch.testing.assert_close(merged(x), expected, rtol=0, atol=1e-5)


def test_merging_leaves_the_network_as_it_was():
    network = trained().train()
    before = copy.deepcopy(network.state_dict())

    merge_batch_norm(network)

    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_without_weights_returns_its_input():
    network = DnCNN(1).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
    x = torch.randn(2, 1, 6, 5)
    assert torch.equal(network(x), x)


def test_the_last_bias_is_noise_and_is_subtracted():
    network = DnCNN(1).eval()
    with torch.no_grad():
        network.layers[-1].weight.zero_()
        network.layers[-1].bias.fill_(0.25)
    x = torch.randn(1, 1, 6, 5)
    torch.testing.assert_close(network(x), x - 0.25)


def test_a_pixel_sees_35_by_35_pixels():
    # 17 layers of 3x3: 1 + 17 * 2 = 35; positive weights and images keep every ReLU open
    network = DnCNN(1).double().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1 / (9 * module.in_channels))
    x = torch.rand(1, 1, 41, 41, dtype=torch.float64).requires_grad_()

    network(x)[0, 0, 20, 20].backward()

    seen = torch.zeros(41, 41, dtype=torch.bool)
    seen[20 - 17 : 20 + 18, 20 - 17 : 20 + 18] = True
    assert torch.equal(x.grad[0, 0] != 0, seen)


def test_weights_start_at_the_authors_spread():
    # N(0, 2 / 576) in every layer: 0.0589; one middle layer has 36,864 draws, so its spread is known to 0.4 % (one sigma)
    torch.manual_seed(0)
    network = DnCNN(1)
    for index in (0, 2, 20, -1):
        draws = network.layers[index].weight
        assert draws.std().item() == pytest.approx(0.0589, rel=5 / (2 * draws.numel()) ** 0.5)
    assert network.layers[0].bias.abs().max() == 0
