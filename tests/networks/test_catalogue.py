"""What every baseline has in common."""

import pytest
import safetensors.torch
import torch
from torch import nn

from nasir.evaluation.cost import parameters
from nasir.networks.catalogue import NETWORKS, build

EVERY = pytest.mark.parametrize("name", NETWORKS)


def test_names():
    assert list(NETWORKS) == [
        *("dncnn", "red30", "memnet", "memnet-shared"),
        *("ddn", "scan", "rescan-conv", "rescan-rnn", "rescan-gru", "rescan-lstm"),
    ]


@pytest.mark.parametrize(
    ("name", "count"),
    # those of denoising as for grey, where each end has two channels more: 2 * 9 * 64 weights at each end and 2 biases at the
    # last; MemNet's first batch normalisation has 2 * 2 more. Those of de-raining are published for colour.
    [
        ("dncnn", 556_097 + 2306),
        ("red30", 1_035_201 + 2306),
        ("memnet", 2_911_177 + 2310),
        ("memnet-shared", 695_497 + 2310),
        ("ddn", 57_369),
        ("scan", 28_695),
        ("rescan-conv", 28_695),
        ("rescan-rnn", 54_735),
        ("rescan-gru", 149_823),
        ("rescan-lstm", 197_367),
    ],
)
def test_parameters_for_colour(name, count):
    assert parameters(build(name, 3)) == count


@EVERY
@pytest.mark.parametrize("shape", [(2, 1, 7, 11), (1, 3, 9, 6), (1, 1, 1, 1)], ids=str)
def test_images_of_any_size_keep_their_shape(name, shape):
    network = build(name, shape[1]).eval()
    with torch.no_grad():
        assert network(torch.rand(shape)).shape == shape


@EVERY
def test_every_parameter_gets_a_gradient(name):
    # in evaluation mode: in training mode batch normalisation takes away a bias before it, and its gradient is 0;
    # the six ReLUs of an attention are opened, because by chance all may start closed
    torch.manual_seed(0)
    network = build(name, 1).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.ones_(module.bias)
    network(torch.rand(2, 1, 8, 8, dtype=torch.float64)).square().mean().backward()
    assert [key for key, parameter in network.named_parameters() if not parameter.grad.any()] == []


@EVERY
def test_weights_survive_a_file(name):
    # safetensors refuses tensors that share memory: a shared convolution must stand in the state once
    torch.manual_seed(0)
    network, twin = build(name, 1).eval(), build(name, 1).eval()
    twin.load_state_dict(safetensors.torch.load(safetensors.torch.save(network.state_dict())))
    x = torch.rand(1, 1, 6, 5)
    with torch.no_grad():
        assert torch.equal(twin(x), network(x))


@EVERY
def test_the_same_seed_gives_the_same_weights(name):
    networks = []
    for _ in range(2):
        torch.manual_seed(7)
        networks.append(build(name, 1))
    assert all(torch.equal(a, b) for a, b in zip(*(network.parameters() for network in networks), strict=True))


def test_dncnn_runs_with_its_batch_normalisation_merged_and_the_others_as_they_are():
    counts = {
        name: sum(p.numel() for p in baseline.finish(build(name, 1)).parameters())
        for name, baseline in NETWORKS.items()
    }
    # those of de-raining have two channels less at each end than for colour: DDN 2 * 144 weights, 2 * 144 and 2 * 3 more;
    # the others 2 * 9 * 24 for each gate of the first layer, 2 * 24 + 2 at the end
    assert counts == {
        "dncnn": 555_137,
        "red30": 1_035_201,
        "memnet": 2_911_177,
        "memnet-shared": 695_497,
        "ddn": 57_369 - 2 * 144 - 2 * 144 - 2 * 3,
        "scan": 28_695 - 432 - 50,
        "rescan-conv": 28_695 - 432 - 50,
        "rescan-rnn": 54_735 - 432 - 50,
        "rescan-gru": 149_823 - 3 * 432 - 50,
        "rescan-lstm": 197_367 - 4 * 432 - 50,
    }


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"must be one of dncnn, red30, memnet, .*, rescan-lstm; got 'dncnn-b'"):
        build("dncnn-b", 1)


def test_a_number_of_channels_that_no_image_has_is_refused():
    with pytest.raises(ValueError, match=r"channels must be 1 \(grey\) or 3 \(RGB\), got 4"):
        build("red30", 4)
