"""SCAN and RESCAN: their published sizes, and every stage against a restatement with matrices."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasir.inference.reach import radius
from nasir.layers.cost import parameters
from nasir.networks.rescan import UNITS, Attention, Rescan, Rnn

SHAPES = [("conv", 1), ("conv", 4), ("rnn", 4), ("gru", 4), ("lstm", 4)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def affine(layer: nn.Conv2d | nn.Linear, x: np.ndarray) -> np.ndarray:
    """What a layer makes of one pixel that has no neighbours: of a 3x3 convolution only the middle tap counts."""
    weight = layer.weight.detach().numpy()
    middle = weight if weight.ndim == 2 else weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2]
    return middle @ x + layer.bias.detach().numpy()


def attend(attention: Attention, x: np.ndarray) -> np.ndarray:
    squeeze, excite = (layer for layer in attention.weigh if isinstance(layer, nn.Linear))
    x = x * sigmoid(affine(excite, np.maximum(affine(squeeze, x), 0)))
    return np.where(x > 0, x, 0.2 * x)


def apply_unit(name: str, unit: nn.Module, x: np.ndarray, h: np.ndarray | None, c: np.ndarray | None):
    """h and c of a unit, from the equations of its docstring, one gate at a time; h and c are None in the first stage."""
    read = np.split(affine(unit.read, x), UNITS[name].gates)
    if name == "conv":
        return read[0], None
    if name == "rnn":
        return np.tanh(read[0] if h is None else read[0] + affine(unit.recall, h)), None
    if name == "gru":
        if h is None:
            return sigmoid(read[0]) * np.tanh(read[2]), None
        z, r = (sigmoid(a + b) for a, b in zip(read[:2], np.split(affine(unit.recall_gates, h), 2), strict=True))
        return h + z * (np.tanh(read[2] + affine(unit.recall_new, r * h)) - h), None
    if h is None:
        _, i, o, j = read
        c = sigmoid(i) * np.tanh(j)
        return sigmoid(o) * c, c
    f, i, o, j = (a + b for a, b in zip(read, np.split(affine(unit.recall, h), 4), strict=True))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
    return sigmoid(o) * np.tanh(c), c


def restate(network: Rescan, name: str, stages: int, frame: str, image: np.ndarray) -> list[np.ndarray]:
    """The restored pixels of every stage."""
    memory: list = [(None, None)] * 5
    rain, restored = np.zeros_like(image), []
    for _ in range(stages):
        x = image - rain
        for index, layer in enumerate(network.layers):
            h, c = apply_unit(name, layer.unit, x, *memory[index])
            x = attend(layer.attend[0], h)
            memory[index] = (x, c)
        x = attend(network.decode[1], affine(network.decode[0], x))
        rain = affine(network.decode[3], x) + (rain if frame == "add" else 0)
        restored.append(image - rain)
    return restored


@pytest.mark.parametrize(
    ("unit", "count"), [("conv", 28_695), ("rnn", 54_735), ("gru", 149_823), ("lstm", 197_367)], ids=list(UNITS)
)
def test_parameters_as_published(unit, count):
    # a gate of the first layer: 9 * 3 * 24 + 24 = 672; of the others and of a state: 9 * 24 * 24 + 24 = 5208;
    # attention (5 layers and the end) 24 * 6 + 6 + 6 * 24 + 24 = 318; the end 5208 and 24 * 3 + 3 = 75
    gates = {"conv": 1, "rnn": 1, "gru": 3, "lstm": 4}[unit]
    states = 0 if unit == "conv" else 5 * gates
    hand = gates * (672 + 4 * 5208) + states * 5208 + 6 * 318 + 5208 + 75
    assert [parameters(Rescan(3, unit=unit, stages=stages)) for stages in (2, 4)] == [hand] * 2 == [count] * 2


@pytest.mark.parametrize("frame", ["full", "add"])
@pytest.mark.parametrize(("unit", "stages"), SHAPES)
def test_every_stage_is_its_restatement(unit, stages, frame):
    # weights six times as large as they start, so that gates and stages differ
    torch.manual_seed(0)
    network = Rescan(3, unit=unit, stages=stages, frame=frame).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(6)
    pixel = torch.tensor([0.9, 0.2, 0.6], dtype=torch.float64)

    with torch.no_grad():
        outputs = network.outputs(pixel.view(1, 3, 1, 1))
        assert torch.equal(network(pixel.view(1, 3, 1, 1)), outputs[-1])

    expected = restate(network, unit, stages, frame, pixel.numpy())
    assert len(outputs) == stages
    for output, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output.flatten().numpy(), wanted, rtol=0, atol=1e-12)
    assert len({round(float(wanted[0]), 5) for wanted in expected}) == stages  # no stage can stand for another


def test_attention_weighs_a_channel_by_the_mean_of_all_pixels():
    # channel 0 has the mean (0 + 4) / 2 = 2; it alone is read, and channel 1 is weighed by it: sigmoid(3 * 2); others by 1/2
    attention = Attention()
    squeeze, excite = (layer for layer in attention.weigh if isinstance(layer, nn.Linear))
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        squeeze.weight[5, 0] = 1
        excite.weight[1, 5] = 3
    x = torch.ones(1, 24, 1, 2)
    x[0, 0, 0] = torch.tensor([0.0, 4.0])

    weighed = attention(x)

    torch.testing.assert_close(weighed[0, 0, 0], torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(weighed[0, 1, 0], torch.full((2,), 1 / (1 + np.exp(-6)), dtype=torch.float32))
    torch.testing.assert_close(weighed[0, 2:], torch.full((22, 1, 2), 0.5))


@pytest.mark.parametrize(("frame", "expected"), [("full", [0.1, 0.1, 0.1]), ("add", [0.1, 0.2, 0.3])])
def test_stages_estimate_all_rain_or_what_is_left(frame, expected):
    # without weights every stage estimates the last bias, 0.1
    network = Rescan(1, unit="rnn", stages=3, frame=frame)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.decode[3].bias.fill_(0.1)
    x = torch.rand(2, 1, 4, 3)

    outputs = network.outputs(x)

    for output, rain in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, x - rain)
    # d(x - rain) / d(bias) is -1 from the last stage alone: what is added up is not traced back
    outputs[-1].mean().backward()
    assert network.decode[3].bias.grad.item() == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("unit", "stages", "expected"),
    [("conv", 1, 17), ("conv", 4, 4 * 17), ("rnn", 4, 4 * 17), ("gru", 4, 17 + 3 * 22), ("lstm", 4, 4 * 17)],
)
def test_without_attention_a_stage_reaches_17_pixels(unit, stages, expected):
    # 1 + 1 + 2 + 4 + 8 of the dilated layers and 1 of the end. From the second stage on a GRU convolves its reset state, whose
    # gate has read the image, once more: 1 more in each of 5 layers.
    network = Rescan(1, unit=unit, stages=stages)
    for layer in network.layers:
        layer.attend[0] = nn.Identity()
    network.decode[1] = nn.Identity()
    assert radius(network, 1) == expected


def test_with_attention_every_pixel_counts():
    with pytest.raises(ValueError, match=r"must be bounded.*global pooling"):
        radius(Rescan(1, unit="conv", stages=1), 1)


def test_the_memory_is_not_dilated():
    unit = Rnn(24, 8).eval()

    class OfState(nn.Module):
        def forward(self, state: Tensor) -> Tensor:
            return unit(torch.zeros_like(state), (state,))[0]

    unit.double()
    assert radius(OfState(), 24) == 1


@pytest.mark.parametrize(
    ("unit", "stages", "frame", "message"),
    [
        ("mlp", 4, "full", r"unit must be one of \['conv', 'rnn', 'gru', 'lstm'\], got 'mlp'"),
        ("gru", 4, "half", r"frame must be one of \['full', 'add'\], got 'half'"),
        ("lstm", 1, "full", "stages must be 2 or more with the unit lstm, got 1; for one stage take the unit conv"),
        ("conv", 0, "full", "stages must be 1 or more with the unit conv, got 0"),
    ],
)
def test_what_makes_no_network_is_refused(unit, stages, frame, message):
    with pytest.raises(ValueError, match=message):
        Rescan(3, unit=unit, stages=stages, frame=frame)
