"""Costs by hand."""

import pytest
import torch
from torch import nn

from nasir.layers.cost import flops_per_pixel, parameters


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 1, 1),
    )


def test_parameters_are_the_trainable_ones():
    # 1*4*9 + 4 and 4 + 4 and 4*9 and 4 + 1; the running statistics do not count
    module = network()
    assert parameters(module) == 40 + 8 + 36 + 5

    module[0].requires_grad_(False)
    assert parameters(module) == 8 + 36 + 5


@pytest.mark.parametrize("size", [16, 64])
def test_flops_of_convolutions_are_two_for_each_multiply_add(size):
    # per pixel 1*4*9 + 4*9 + 4 = 76 multiply-adds
    assert flops_per_pixel(network(), channels=1, size=size) == 2 * 76


def test_a_strided_convolution_costs_a_quarter():
    # 9 multiply-adds at every fourth pixel
    assert flops_per_pixel(nn.Conv2d(1, 1, 3, stride=2, padding=1), channels=1) == 2 * 9 / 4


def test_matrix_products_count():
    class Mix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(3, 5, bias=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.mix(images.movedim(1, -1)).movedim(-1, 1)

    assert flops_per_pixel(Mix(), channels=3) == 2 * 15


def test_counting_leaves_the_module_as_it_was():
    module = network().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}

    flops_per_pixel(module, channels=1)

    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_fresh_network_with_normalised_global_pooling_can_be_counted():
    # batch normalisation of a single value works in evaluation mode only; one multiply-add for each image of 16 pixels
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()

    assert flops_per_pixel(module, channels=1, size=4) == 2 / 16
