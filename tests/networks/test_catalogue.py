"""What every baseline has in common; and that a file more is a baseline more."""

import sys

import pytest
import safetensors.torch
import torch
from torch import nn

from nasir import networks
from nasir.inference import model
from nasir.layers.cost import parameters
from nasir.networks import catalogue
from nasir.networks.catalogue import build, find, names

EVERY = pytest.mark.parametrize("name", names())


def test_names():
    assert names() == [
        *("ddn", "dncnn", "memnet", "memnet-shared", "red30"),
        *("rescan-conv", "rescan-rnn", "rescan-gru", "rescan-lstm", "scan"),
    ]


def test_every_baseline_says_which_task_it_was_made_for():
    denoising = {"dncnn", "memnet", "memnet-shared", "red30"}
    assert {name for name in names() if find(name).task == "denoise"} == denoising
    assert {name for name in names() if find(name).task == "derain"} == set(names()) - denoising


def test_every_baseline_is_in_the_file_that_its_name_begins_with():
    assert {name: catalogue.module(name) for name in ("memnet-shared", "rescan-gru", "scan")} == {
        "memnet-shared": "nasir.networks.memnet",
        "rescan-gru": "nasir.networks.rescan",
        "scan": "nasir.networks.scan",
    }


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
    counts = {name: sum(p.numel() for p in find(name).finish(build(name, 1)).parameters()) for name in names()}
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
    with pytest.raises(ValueError, match=r"must be one of ddn, dncnn, memnet, .*, rescan-lstm, scan; got 'dncnn-b'"):
        build("dncnn-b", 1)


def test_a_number_of_channels_that_no_image_has_is_refused():
    with pytest.raises(ValueError, match=r"channels must be 1 \(grey\) or 3 \(RGB\), got 4"):
        build("red30", 4)


BRIGHTEN = """
import torch
from torch import nn

from nasir.networks.baseline import Baseline


class Brighten(nn.Module):
    def __init__(self, channels, by):
        super().__init__()
        self.by = nn.Parameter(torch.full((channels, 1, 1), by))

    def forward(self, x):
        return x + self.by


BASELINES = {
    "brighten": Baseline(task="denoise", build=lambda channels: Brighten(channels, 0.25), lr_max=1e-3),
    "brighten-twice": Baseline(task="derain", build=lambda channels: Brighten(channels, 0.5), lr_max=2e-3),
}
"""


@pytest.fixture
def brighten(tmp_path, monkeypatch):
    """A baseline with a variant, in a folder of its own."""
    (tmp_path / "brighten.py").write_text(BRIGHTEN)
    (tmp_path / "_notes.py").write_text("raise RuntimeError('this is no baseline')")
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    yield
    sys.modules.pop("nasir.networks.brighten", None)
    vars(networks).pop("brighten", None)


def test_a_file_more_is_a_baseline_and_its_variants_more(brighten, tmp_path):
    assert names()[:2] == ["brighten", "brighten-twice"] and "_notes" not in names()
    assert [find(name).lr_max for name in ("brighten", "brighten-twice")] == [1e-3, 2e-3]
    assert catalogue.module("brighten-twice") == "nasir.networks.brighten"
    x = torch.zeros(1, 3, 2, 2)
    assert build("brighten-twice", 3)(x).tolist() == torch.full_like(x, 0.5).tolist()
    with pytest.raises(ValueError, match=r"must be one of brighten, brighten-twice, ddn, .*; got 'brighten-thrice'"):
        find("brighten-thrice")

    weights = {"best": {"by": torch.full((1, 1, 1), 0.75)}}
    model.save_baseline(tmp_path / "model", "brighten-twice", 1, "derain", 0.0, weights)
    assert model.load(tmp_path / "model")(torch.zeros(1, 1, 1, 1), 0.0).item() == 0.75


def test_without_the_file_there_is_no_such_baseline():
    with pytest.raises(ValueError, match="got 'brighten'"):
        find("brighten")
