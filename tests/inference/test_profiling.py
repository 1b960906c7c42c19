"""What a forward pass takes, by kinds of layers."""

import pytest
import torch
from torch import nn

from nasir.inference.profiling import kind_of, profile
from nasir.layers.deformable import DeformableConv


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(4, 4, 3, dilation=2), "convolution"),
        (nn.ConvTranspose2d(4, 2, 3), "convolution"),
        (nn.Conv2d(1, 4, 3), "convolution"),
        (nn.Conv2d(4, 4, 3, groups=2), "convolution"),
        (nn.Conv2d(4, 4, 1, groups=4), "depthwise"),
        (nn.Conv2d(4, 2, 1), "pointwise"),
        (DeformableConv(2, 2), "deformable"),
        (nn.ReLU(), "other"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "other"),
    ],
)
def test_the_kind_of_a_layer(layer, kind):
    assert kind_of(layer) == kind


def test_parameters_and_operations_by_kind_are_those_worked_by_hand():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), DeformableConv(4, 4),
        nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.Conv2d(4, 1, 1)),
    )  # fmt: skip

    found = profile(network.eval(), 1, (10, 16), rounds=2)

    kinds = {kind.name: (kind.layers, kind.parameters, kind.flops) for kind in found.kinds}
    pixels = 160  # two operations for a multiply-add at each
    assert kinds == {
        "convolution": (1, 40, 2 * pixels * 36),
        "depthwise": (1, 36, 2 * pixels * 36),
        "pointwise": (1, 5, 2 * pixels * 4),
        # 144 weights and its prediction of 27 values: 9 * 4 * 27 + 27
        "deformable": (1, 144 + 999, 2 * pixels * (144 + 972)),
        "other": (0, 8, 0),  # scale and shift of batch normalisation, which is folded away when it runs
    }
    assert found.parameters == sum(kind.parameters for kind in found.kinds)
    assert found.flops == sum(kind.flops for kind in found.kinds)
    assert sum(kind.share for kind in found.kinds) == pytest.approx(1)
    assert all(kind.share > 0 for kind in found.kinds) and found.seconds > 0
    assert sum(kind.seconds for kind in found.kinds) == pytest.approx(found.seconds)
    assert max(kind.tensors_mib for kind in found.kinds) == found.tensors_mib > 0
    assert network[1].training is False and isinstance(network[1], nn.BatchNorm2d)  # it is left as it is


def test_memory_is_the_most_that_tensors_take_at_one_time():
    # 4 channels of 64x64 pixels of 4 bytes are 1/16 MiB; of a chain a layer's input and output live at once, and the first input
    # is the image, which does not count
    network = nn.Sequential(nn.PReLU(), nn.PReLU(), nn.PReLU())
    assert profile(network, 4, (64, 64), rounds=1).tensors_mib == pytest.approx(2 / 16, rel=1e-3)
    assert profile(network[:1], 4, (64, 64), rounds=1).tensors_mib == pytest.approx(1 / 16, rel=1e-3)


def test_memory_of_a_kind_is_the_most_while_one_of_its_layers_runs():
    # 64x64 pixels of 4 bytes are 1/64 MiB for a channel. A 1x1 convolution without bias makes 8 channels of the image, then 2 of
    # those; activations keep their number.
    wide, narrow = nn.Conv2d(4, 8, 1, bias=False), nn.Conv2d(8, 2, 1, bias=False)
    depthwise = nn.Conv2d(2, 2, 3, padding=1, groups=2, bias=False)
    found = profile(nn.Sequential(nn.PReLU(), wide, narrow, depthwise), 4, (64, 64), rounds=1)
    mib = {kind.name: 64 * kind.tensors_mib for kind in found.kinds}
    # at the widest its input and output; before it the activation's output alone; the depthwise one's two of two channels
    assert mib == pytest.approx({"other": 4, "pointwise": 4 + 8, "depthwise": 2 + 2}, rel=0.02)


def test_an_image_that_the_network_cannot_take_is_told():
    with pytest.raises(ValueError, match=r"must take an image of 2x3 pixels in one piece, got .*; choose another size"):
        profile(nn.Conv2d(1, 1, 5), 1, (2, 3), rounds=1)
    with pytest.raises(ValueError, match=r"1000000x1000000 pixels in one piece, got .*allocate"):
        profile(nn.Conv2d(1, 1, 1), 1, (1_000_000, 1_000_000), rounds=1)


def test_a_layer_that_runs_twice_stands_once_in_the_number_and_twice_in_the_operations():
    layer = nn.Conv2d(1, 1, 3, padding=1)
    with torch.no_grad():
        found = profile(nn.Sequential(layer, layer), 1, (8, 8), rounds=1)
    assert (found.kinds[0].layers, found.kinds[0].flops) == (1, 2 * 2 * 64 * 9)
