"""`nasir export`: a network as a file for other programs."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from nasir.files import read_json
from nasir.inference import exporting, model, zoo
from nasir.spaces import contract

ODD = ((1, 1), (5, 9), (67, 130))
"""Sizes that no file was checked with as it was written."""


@pytest.fixture(scope="module")
def deformable(tmp_path_factory):
    """A layer of the shipped network with deformable convolutions, which read between pixels, in place of the dilated ones."""
    folder = tmp_path_factory.mktemp("deformable") / "model"
    value = read_json(zoo.SHELF / "irnas-bsd500-50" / "model.json")
    for node in value["genotype"]["cells"][0]:
        for edge in node:
            edge["operation"] = edge["operation"].replace("dil_3x3", "def_3x3")
    value["genotype"]["path"] = [0]
    space = contract.find("irnas")
    sizes = space.Sizes(width=4, stem_channels=4, aspp_channels=0, aspp_rates=())
    torch.manual_seed(0)
    network = space.build(space.from_json(value["genotype"]), sizes, 1)
    for name, parameter in network.named_parameters():
        if ".predict." in name or name.startswith("output"):
            nn.init.normal_(parameter, std=0.3)
    model.save(folder, value["genotype"], sizes, 1, "denoise", 50.0, {"best": network.state_dict()})
    return folder


def test_weights_are_the_same_bits_and_say_what_network_they_are_of(nasir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = nasir("export", "irnas-bsd500-50", "--to", "safetensors", "--json")
    told = json.loads(out)
    assert status == 0 and told["file"] == "irnas-bsd500-50.safetensors" and told["largest_difference"] is None
    with safe_open("irnas-bsd500-50.safetensors", "pt") as file:
        assert json.loads(file.metadata()["nasir"]) == read_json(zoo.SHELF / "irnas-bsd500-50" / "model.json")
        wanted = model.read_tensors(zoo.SHELF / "irnas-bsd500-50" / "best.safetensors")
        assert set(file.keys()) == set(wanted)
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in wanted.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosuch", "--to", "safetensors"), "expected a trained network in nosuch, got no model.json there"),
        (("irnas-bsd500-50", "--to", "tflite"), "--to must be one of ['onnx', 'torch-export', 'safetensors'], got 'tflite'"),
        (("irnas-bsd500-50", "--to", "onnx", "--out", "a.pt2"), "--out must name a file that ends in .onnx, got a.pt2"),
        (("irnas-bsd500-50", "--to", "onnx"), "got no onnx, onnxscript, onnxruntime; pip install 'nasir[export]'"),
    ],
)  # fmt: skip
def test_a_wrong_argument_gets_one_line_and_no_file(nasir, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, out, told = nasir("export", *words)
    assert (status, out) == (2, "") and message in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_a_file_that_computes_something_else_is_not_put_in_place(nasir, tmp_path, monkeypatch, wrong):
    out = tmp_path / "network.pt2"
    out.write_text("the one before")
    monkeypatch.setattr(exporting, "_program", lambda network, channels: None)
    shipped = model.load("irnas-bsd500-50").network
    monkeypatch.setattr(exporting, "_to_archive", lambda program, note: (b"new", lambda noisy: shipped(noisy) + wrong))
    monkeypatch.setattr(exporting, "_smallest_side", lambda program: 1)
    status, _, told = nasir("export", "irnas-bsd500-50", "--to", "torch-export", "--out", out)
    assert status == 2 and "must restore as the network does, up to 0.0001, got a difference of" in told
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the one before"]


def test_what_torch_cannot_follow_is_refused_with_its_reason(tmp_path, monkeypatch):
    def refuse(*given, **options):
        raise RuntimeError("a branch on data\nand more lines")

    monkeypatch.setattr(torch.export, "export", refuse)
    message = r"follow the network for images of every size, got RuntimeError \(a branch on data\); export its weights"
    with pytest.raises(ValueError, match=message):
        exporting.export(nn.Conv2d(1, 1, 1), 1, "torch-export", {}, tmp_path / "a.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["irnas-bsd500-50", "irnas-rain800", "clearer-rain800", "clearer-bsd500-50", "deformable"]
)
def test_onnx_runtime_restores_every_size_as_torch_does(nasir, tmp_path, deformable, name):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    named, out = (deformable if name == "deformable" else name), tmp_path / "network.onnx"
    status, said, _ = nasir("export", named, "--to", "onnx", "--out", out, "--json")
    told = json.loads(said)
    assert status == 0 and told["largest_difference"] < 1e-5 and told["bytes"] == out.stat().st_size
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["nasir"])["task"] in ("denoise", "derain")
    [taken] = session.get_inputs()
    denoiser = model.load(named)
    assert (taken.name, taken.shape) == ("noisy", ["images", denoiser.channels, "height", "width"])
    for images, sides in enumerate(ODD, 1):
        noisy = torch.rand(images, denoiser.channels, *sides, generator=torch.Generator().manual_seed(2))
        [restored] = session.run(["restored"], {"noisy": noisy.numpy()})
        assert np.abs(restored - denoiser(noisy, denoiser.sigma).numpy()).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clearer-bsd500-50", "deformable"])
def test_a_torch_program_restores_every_size_from_its_smallest_on(nasir, tmp_path, deformable, name):
    named, out = (deformable if name == "deformable" else name), tmp_path / "network.pt2"
    told = json.loads(nasir("export", named, "--to", "torch-export", "--out", out, "--json")[1])
    note = {"nasir": ""}
    program = torch.export.load(out, extra_files=note).module()
    denoiser = model.load(named)
    assert told["smallest_side"] <= 5 and json.loads(note["nasir"])["sigma"] == 50.0
    for images, sides in ((1, (told["smallest_side"], 11)), (3, (66, 131))):
        noisy = torch.rand(images, denoiser.channels, *sides, generator=torch.Generator().manual_seed(2))
        assert (program(noisy) - denoiser(noisy, denoiser.sigma)).abs().max() < 1e-4
