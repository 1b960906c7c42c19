"""A trained network survives its folder and refuses what it was not trained for."""

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nasir.inference import model
from nasir.layers.cost import parameters
from nasir.networks import catalogue
from nasir.spaces import clearer, irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSizes

ROOT = Path(__file__).parents[2]

GENOTYPE = Genotype(
    space="irnas",
    cells=(((Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="def_3x3")),),),
    path=(0, 1),
    width_factors=(1.0, 2.0, 4.0),
    residual=True,
    activation="relu",
)
SIZES = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))


def build(genotype: Genotype) -> nn.Module:
    torch.manual_seed(0)
    network = irnas.SPACE.build(genotype, SIZES, channels=1)
    network.output[1].reset_parameters()  # it starts at zero
    return network.eval()


def save(genotype: Genotype, folder: Path) -> Path:
    weights = {"best": build(genotype).state_dict()}
    model.save(folder, irnas.SPACE.to_json(genotype), SIZES, 1, "denoise", 50.0, weights)
    return folder


@pytest.fixture
def folder(tmp_path):
    return save(GENOTYPE, tmp_path / "model")


def test_the_same_network_comes_back(folder):
    expected = build(GENOTYPE)
    noisy = torch.rand(1, 1, 9, 7, generator=torch.Generator().manual_seed(1))
    assert (expected(noisy) - noisy).abs().max() > 0.01
    torch.testing.assert_close(model.load(folder)(noisy, 50), expected(noisy), rtol=0, atol=1e-6)  # fused


def test_a_network_of_blocks_without_normalisation_that_reads_its_stem_comes_back(tmp_path):
    genotype = dataclasses.replace(GENOTYPE, downscale=2, norm="none", reads_stem=True)
    folder, expected = save(genotype, tmp_path / "model"), build(genotype)
    noisy = torch.rand(1, 1, 9, 7, generator=torch.Generator().manual_seed(1))

    described = model.describe(folder)["genotype"]
    assert {key: described[key] for key in ("version", "downscale", "norm", "reads_stem")} == {
        "version": 3, "downscale": 2, "norm": "none", "reads_stem": True,
    }  # fmt: skip
    assert irnas.SPACE.from_json(described) == genotype
    denoise = model.load(folder)
    assert list(denoise.network.state_dict()) == list(expected.state_dict())
    assert (expected(noisy) - noisy).abs().max() > 0.01
    torch.testing.assert_close(denoise(noisy, 50), expected(noisy), rtol=0, atol=1e-6)


def test_a_network_is_described_by_its_sizes_and_its_genotype(folder):
    described = json.loads((folder / "model.json").read_text())

    assert (
        described
        == model.describe(folder)
        == {
            "version": 2,
            "task": "denoise",
            "sigma": 50.0,
            "channels": 1,
            "sizes": {"width": 2, "stem_channels": 3, "aspp_channels": 2, "aspp_rates": [2]},
            "genotype": irnas.SPACE.to_json(GENOTYPE),
        }
    )


def test_networks_of_version_1_are_read():
    folder = ROOT / "benchmarks/tables-small/model-50"
    written = json.loads((folder / "model.json").read_text())
    assert written["version"] == 1 and "sizes" not in written

    described = model.describe(folder)
    denoise = model.load(folder)

    assert described["version"] == 2
    assert described["sizes"] == {
        name: written[name] for name in ("width", "stem_channels", "aspp_channels", "aspp_rates")
    }
    assert not set(described["sizes"]) & set(described)
    assert described["genotype"] == written["genotype"]
    assert parameters(denoise.network) == 84_386  # as when it was trained (benchmarks/README.md)
    assert denoise(torch.rand(1, 1, 9, 7), 50).shape == (1, 1, 9, 7)


def test_baselines_of_version_1_are_read(tmp_path):
    torch.manual_seed(0)
    network = catalogue.build("dncnn", 1)
    model.save_baseline(tmp_path, "dncnn", 1, "denoise", 50.0, {"best": network.state_dict()})
    described = json.loads((tmp_path / "model.json").read_text())
    noisy = torch.rand(1, 1, 9, 7)
    expected = model.load(tmp_path)(noisy, 50)

    (tmp_path / "model.json").write_text(json.dumps(described | {"version": 1}))

    assert torch.equal(model.load(tmp_path)(noisy, 50), expected)


@pytest.mark.parametrize("change", [{"version": 3}, {"version": None}, {"depth": 4}])
def test_a_description_of_another_version_or_with_other_keys_is_refused(folder, change):
    value = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(value | change))
    with pytest.raises(ValueError, match=r"model.json must have the keys \['channels', 'genotype', 'sigma', 'sizes', "):
        model.load(folder)


def test_a_network_of_normal_first_values_comes_back_and_its_sketch_draws_none(tmp_path, monkeypatch):
    genotype = clearer.SPACE.from_json(
        {"version": 1, "space": "clearer", "cells": ["P", "F"], "residual": True, "norm": "batch", "downscale": 1,
         "transition": "before"}
    )  # fmt: skip
    sizes = clearer.SPACE.Sizes(widths=(2, 4), stem_blocks=1, initial_std=0.1)
    network = clearer.SPACE.build(genotype, sizes, 1).eval()
    model.save(tmp_path, clearer.SPACE.to_json(genotype), sizes, 1, "denoise", 50.0, {"best": network.state_dict()})
    noisy = torch.rand(1, 1, 9, 7)
    drawn, draw = [], torch.Tensor.normal_

    def normal_(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        drawn.append(tensor.device.type)
        return draw(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "normal_", normal_)
    found = model.load(tmp_path)

    torch.testing.assert_close(found(noisy, 50), network(noisy), rtol=0, atol=1e-6)  # fused
    assert set(drawn) == {"cpu"}


WIDE = 10**9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": "50"}, "model.json: sigma must be a float, got '50'"),
        ({"sigma": None}, "model.json: sigma must be a float, got None"),
        ({"sigma": -1}, "model.json: sigma must be 0 or more .*, got -1.0"),
        ({"sigma": -0.0}, "model.json: sigma must be 0 or more .*, got -0.0"),
        ({"sigma": 10**400}, "model.json: sigma must be a number of at most 9223372036854775807, got a larger one"),
        ({"channels": 0}, r"model.json: channels must be 1 \(grey\) or 3 \(RGB\), got 0"),
        ({"channels": True}, "model.json: channels must be a int, got True"),
        ({"task": "denoize"}, r"model.json: task must be one of \['denoise', 'derain', .*\], got 'denoize'"),
        ({"task": ["denoise"]}, r"model.json: task must be a str, got \['denoise'\]"),
        ({"sizes": None}, "model.json: sizes must be a mapping of keys to values, got None"),
        ({"sizes": {}}, r"model.json: sizes must have exactly the keys .*; missing \['width'"),
        ({"sizes.width": "2"}, "model.json: sizes: width must be a int, got '2'"),
        ({"sizes.width": 0}, "model.json: sizes: network.width must be 1 or more and at most 16384, got 0"),
        ({"sizes.width": -2}, "model.json: sizes: network.width must be 1 or more and at most 16384, got -2"),
        ({"sizes.width": WIDE}, "model.json: sizes: network.width must be 1 or more and at most 16384, got 1000000000"),
        ({"sizes.aspp_rates": [WIDE]}, "model.json: sizes: network.aspp_rates must be 1 or more and at most 256"),
        ({"genotype": []}, "model.json: space must be one of .*, got None"),
        ({"genotype.space": 5}, "model.json: space must be one of .*, got 5"),
        ({"genotype.path": []}, "model.json: genotype: a genotype needs at least one node and one layer"),
        ({"genotype.path": [0] * 200_000}, "model.json: genotype: .* may have 300 layers .*, got 200000 layers"),
        ({"genotype.cells": [[]]}, "model.json: genotype: a genotype needs at least one node"),
        ({"genotype.width_factors": [0.1, 1]}, r"width_factors must be 1 channel or more, got \[0, 2\]"),
        ({"genotype.residual": "false"}, "model.json: genotype: residual must be a bool, got 'false'"),
    ],
)
def test_a_value_that_no_network_has_is_named_with_its_file(folder, change, message):
    value = json.loads((folder / "model.json").read_text())
    for key, changed in change.items():
        part, _, name = key.rpartition(".")
        (value[part] if part else value)[name] = changed
    (folder / "model.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match=message) as refused:
        model.load(folder)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 1000


@pytest.mark.parametrize("key", ["sigma", "sizes", "genotype", "version"])
def test_a_missing_key_is_named(folder, key):
    value = json.loads((folder / "model.json").read_text())
    del value[key]
    (folder / "model.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match=rf"model.json must have the keys .*'{key}'.*, got \[") as refused:
        model.load(folder)
    assert key not in str(refused.value).partition(", got ")[2].partition(" of version")[0]


def test_a_baseline_must_have_a_name(tmp_path):
    model.save_baseline(tmp_path, "dncnn", 1, "denoise", 50.0, {})
    described = json.loads((tmp_path / "model.json").read_text())
    for name, message in ((None, "network must be a str, got None"), ("u-net", "a baseline network must be one of")):
        (tmp_path / "model.json").write_text(json.dumps(described | {"network": name}))
        model.write_tensors(tmp_path / "best.safetensors", {})
        with pytest.raises(ValueError, match=f"model.json: {message}"):
            model.load(tmp_path)


def test_weights_that_the_description_asks_for_take_no_memory_before_the_file_is_known_to_have_them(folder):
    # a 3x3 convolution of 16384 channels on 16384: 9 GiB
    value = json.loads((folder / "model.json").read_text())
    value["sizes"]["width"] = 16_384
    (folder / "model.json").write_text(json.dumps(value))
    with pytest.raises(
        ValueError, match=r"best.safetensors must hold .*, got .* of shape .* in place of \(16384, 3, 3, 3\)"
    ):
        model.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda own: {**own, "output.1.weight": own["output.1.weight"][:, :1]},
            r"output.1.weight of shape .* in place of",
        ),
        (
            lambda own: {**own, "output.1.bias": torch.tensor([torch.nan])},
            "output.1.bias with values that are not finite",
        ),
        (
            lambda own: {**own, "output.1.bias": torch.tensor([3])},
            r"output.1.bias of torch.int64 in place of torch.float32",
        ),
        (lambda own: {**own, "more": torch.zeros(1)}, "more that it does not have"),
        (lambda own: {}, r"no stem.input.0.weight and \d+ more"),
    ],
    ids=["shape", "nan", "type", "unknown", "none"],
)
def test_weights_that_do_not_fit_are_named_one_by_one(folder, change, message):
    path = folder / "best.safetensors"
    model.write_tensors(path, change(model.read_tensors(path)))
    with pytest.raises(ValueError, match=f"best.safetensors must hold the weights .*, got {message}") as refused:
        model.load(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}',
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":' * 3000,
        b"",
    ],
    ids=["huge", "short", "type", "negative", "deep", "empty"],
)
@pytest.mark.parametrize("length", [None, 2**62])
def test_a_lying_header_of_weights_is_named(folder, header, length):
    size = struct.pack("<Q", len(header) if length is None else length)
    (folder / "best.safetensors").write_bytes(size + header + bytes(4))
    with pytest.raises(ValueError, match=r"best.safetensors must be a safetensors file, got"):
        model.load(folder)


def test_the_same_weights_are_the_same_bytes(folder, tmp_path):
    weights = model.read_tensors(folder / "best.safetensors")
    model.write_tensors(tmp_path / "again.safetensors", weights)
    assert (tmp_path / "again.safetensors").read_bytes() == (folder / "best.safetensors").read_bytes()


def test_colour_images_are_restored_channel_by_channel(folder):
    denoise = model.load(folder)
    image = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    restored = denoise(image, 50)
    for channel in range(3):
        alone = denoise(image[..., channel], 50)
        assert np.abs(restored[..., channel].astype(int) - alone).max() <= 1  # rounding of a half-way value


def test_another_sigma_is_refused(folder):
    with pytest.raises(ValueError, match="trained for sigma 50, got 30"):
        model.load(folder)(torch.zeros(1, 1, 8, 8), 30)


def test_another_number_of_channels_is_refused(folder):
    with pytest.raises(ValueError, match=r"shape \(N, 1, H, W\), got \(1, 3, 8, 8\)"):
        model.load(folder)(torch.zeros(1, 3, 8, 8), 50)


@pytest.mark.parametrize("folder", [None, 3, b"irnas-bsd500-50"])
def test_what_is_neither_a_name_nor_a_path_is_refused(folder):
    with pytest.raises(
        ValueError, match=r"a network must be the name of a shipped one or a folder's path, got .*irnas-rain800"
    ):
        model.load(folder)


@pytest.mark.parametrize("device", ["foo", "cuda:99", "auto"])
def test_a_device_that_is_not_there_is_refused(folder, device):
    with pytest.raises(ValueError, match=rf"device must be one that torch has here, got '{device}' \(.*; pass cpu"):
        model.load(folder, device)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"got no model.json there"):
        model.load(tmp_path)


def test_damaged_weights_are_named(folder):
    path = folder / "best.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"best.safetensors must be a safetensors file"):
        model.load(folder)


def test_weights_of_another_network_are_refused(folder):
    value = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(value | {"sizes": value["sizes"] | {"width": 4}}))
    with pytest.raises(ValueError, match=r"best.safetensors must hold the weights that model.json describes"):
        model.load(folder)
