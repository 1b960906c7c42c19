"""A trained network survives its folder and refuses what it was not trained for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nasir.genotype import Edge, Genotype
from nasir.training import model

GENOTYPE = Genotype(
    space="irnas",
    cells=(((Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="def_3x3")),),),
    path=(0, 1),
    width_factors=(1.0, 2.0, 4.0),
    residual=True,
    activation="relu",
)
SHAPE = model.Shape(channels=1, width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    network = model.build(GENOTYPE, SHAPE)
    model.save(tmp_path / "model", GENOTYPE, SHAPE, "denoise", 50.0, {"best": network.state_dict()})
    return tmp_path / "model"


def test_the_same_network_comes_back(folder):
    torch.manual_seed(0)
    expected = model.build(GENOTYPE, SHAPE).eval()
    noisy = torch.rand(1, 1, 9, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.load(folder)(noisy, 50), expected(noisy), rtol=0, atol=1e-6)  # fused


def test_networks_with_a_genotype_of_version_1_are_read():
    denoise = model.load(Path(__file__).parents[2] / "benchmarks/tables-small/model-50")
    assert denoise(torch.rand(1, 1, 9, 7), 50).shape == (1, 1, 9, 7)


def test_the_same_weights_are_the_same_bytes(folder, tmp_path):
    weights = model.read_tensors(folder / "best.safetensors")
    model.write_tensors(tmp_path / "again.safetensors", weights)
    assert (tmp_path / "again.safetensors").read_bytes() == (folder / "best.safetensors").read_bytes()


def test_colour_images_are_restored_channel_by_channel(folder):
    denoise = model.load(folder)
    image = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    restored = model.restore_image(denoise, image, 50)
    for channel in range(3):
        alone = model.restore_image(denoise, image[..., channel], 50)
        assert np.abs(restored[..., channel].astype(int) - alone).max() <= 1  # rounding of a half-way value


def test_another_sigma_is_refused(folder):
    with pytest.raises(ValueError, match="trained for sigma 50, got 30"):
        model.load(folder)(torch.zeros(1, 1, 8, 8), 30)


def test_another_number_of_channels_is_refused(folder):
    with pytest.raises(ValueError, match=r"shape \(N, 1, H, W\), got \(1, 3, 8, 8\)"):
        model.load(folder)(torch.zeros(1, 3, 8, 8), 50)


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
    (folder / "model.json").write_text(json.dumps(value | {"width": 4}))
    with pytest.raises(ValueError, match=r"best.safetensors must hold the weights that model.json describes"):
        model.load(folder)
