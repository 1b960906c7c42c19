"""A picture's tone: told from its texture, and taken back."""

import numpy as np
import pytest
import torch
from rainy_pairs import GENOTYPE
from torch import nn

from nasir.commands import subjects
from nasir.data.pictures.collection import to_clean
from nasir.inference import exporting, model, tone
from nasir.inference.tone import FEATURES, LEVELS, Tone
from nasir.inference.traced_tone import TracedTone
from nasir.spaces import irnas
from nasir.spaces.cells.section import CellsSizes

SIZES = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))
MIDDLES = (torch.arange(LEVELS) + 0.5) / LEVELS
DARKER, BRIGHTER = -0.5 * MIDDLES * (1 - MIDDLES), 0.5 * MIDDLES * (1 - MIDDLES)


def lines(seed: int, down: int, right: int, height: int = 120, width: int = 150) -> torch.Tensor:
    """Noise drawn out along a direction, a colour image."""
    noise = torch.rand(height, width, generator=torch.Generator().manual_seed(seed))
    drawn = sum(noise.roll((down * n, right * n), (0, 1)) for n in range(8)) / 8
    return drawn.expand(3, -1, -1).contiguous()


def by_direction() -> Tone:
    """Lines that stand are of a darker picture, lines that lie of a brighter one."""
    standing, lying = (tone.texture(lines(0, *way)) for way in ((1, 0), (0, 1)))
    weight = torch.stack([standing - lying, lying - standing])
    bias = -weight @ (standing + lying) / 2
    return Tone(weight=weight, bias=bias, curves=torch.stack([DARKER, BRIGHTER]))


def toned(clean: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    points = np.concatenate([[0], MIDDLES, [1]])
    added = curve.numpy()[[0, *range(LEVELS), -1]]
    return torch.from_numpy(np.interp(clean.numpy(), points, points + added).astype(np.float32))


def build() -> nn.Module:
    torch.manual_seed(0)
    network = irnas.SPACE.build(GENOTYPE, SIZES, channels=3)
    network.output[1].reset_parameters()  # it starts at zero
    return network.eval()


@pytest.fixture
def folder(tmp_path):
    """Of a network behind an estimate of tone."""
    weights = {"best": build().state_dict()}
    model.save(tmp_path / "model", irnas.SPACE.to_json(GENOTYPE), SIZES, 3, "derain", 0.0, weights, by_direction())
    return tmp_path / "model"


def test_a_curve_is_what_a_degradation_adds_to_each_level():
    clean = np.arange(256, dtype=np.uint8).repeat(40).reshape(64, 160)
    degraded = np.clip(clean.astype(int) + np.where(clean < 128, -10, 20), 0, 255).astype(np.uint8)

    curve = tone.curve_of(clean, degraded) * 255

    assert np.allclose(curve[1:8], -10) and np.allclose(curve[8:13], 20)
    assert -10 < curve[0] < 0 < curve[15] < 20  # black gets no darker, white no brighter


def test_levels_that_do_not_occur_lie_between_their_neighbours():
    clean = np.full((100, 100), 8, dtype=np.uint8)
    clean[:, 50:] = 8 + 4 * 16
    degraded = np.where(clean == 8, 28, 8 + 4 * 16 + 60).astype(np.uint8)

    curve = tone.curve_of(clean, degraded) * 255

    assert np.allclose(curve, [20, 30, 40, 50, *[60] * 12])


@pytest.mark.parametrize("curve", [DARKER, BRIGHTER])
def test_a_curve_is_taken_back(curve):
    clean = torch.rand(3, 300, 7, generator=torch.Generator().manual_seed(0))  # of more rows than are changed at a time
    degraded = toned(clean, curve)
    assert (degraded - clean).abs().max() > 0.1

    tone.take_back(degraded, curve, degraded)

    torch.testing.assert_close(degraded, clean, rtol=0, atol=1e-4)


def test_where_a_curve_is_level_the_lowest_clean_intensity_is_taken():
    curve = torch.where(MIDDLES > 0.5, MIDDLES[8] - MIDDLES, 0)  # everything from the middle on has one intensity
    out = torch.empty(1, 1, 2)

    tone.take_back(torch.tensor([[[0.25, float(MIDDLES[8])]]]), curve, out)

    torch.testing.assert_close(out[0, 0], torch.tensor([0.25, float(MIDDLES[8])]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (20, 24), (1, 200), (200, 90)])
def test_pictures_of_any_size_have_a_texture(height, width):
    found = tone.texture(torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)))

    assert found.shape == (FEATURES,) and found.dtype == torch.float32
    assert bool(found.isfinite().all())


def test_texture_does_not_tell_brightness_but_direction():
    image = lines(0, 1, 0) / 2

    found = tone.texture(image)

    torch.testing.assert_close(tone.texture(image + 0.4), found, rtol=0, atol=0.01)
    assert (tone.texture(lines(1, 1, 0) / 2) - found).abs().mean() < (
        tone.texture(lines(1, 0, 1) / 2) - found
    ).abs().mean() / 2


def test_a_large_picture_has_no_more_windows_than_a_smaller_one():
    assert len(tone._windows(torch.zeros(3, 2000, 3000))) == len(tone._windows(torch.zeros(3, 600, 700))) == 256


def test_each_image_of_a_batch_has_its_own_tone():
    estimate = by_direction()
    clean = torch.stack([lines(5, 1, 0), lines(6, 0, 1)])
    degraded = torch.stack([toned(clean[0], DARKER), toned(clean[1], BRIGHTER)])
    before = degraded.clone()

    undone = estimate.undo(degraded)

    assert torch.equal(degraded, before)
    assert ((undone - clean) ** 2).mean() < ((degraded - clean) ** 2).mean() / 100


def test_a_network_comes_back_with_its_tone(folder):
    noisy = torch.stack([toned(lines(5, 1, 0), DARKER)])
    expected = build()(by_direction().undo(noisy))

    denoise = model.load(folder)

    assert model.describe(folder)["tone"] == {"kinds": 2}
    torch.testing.assert_close(denoise(noisy), expected, rtol=0, atol=1e-5)
    assert denoise.parameters == sum(p.numel() for p in build().parameters()) + 2 * FEATURES + 2 + 2 * LEVELS


def test_tiles_fit_as_a_tone_is_of_the_whole_picture(folder):
    noisy = torch.cat([lines(5, 1, 0), lines(6, 0, 1)], dim=2)[None]

    whole, tiled = model.load(folder, tile=0), model.load(folder, tile=64)

    torch.testing.assert_close(tiled(noisy), whole(noisy), rtol=0, atol=1e-5)
    assert tiled.tiling.tiles == 10


def test_a_self_ensemble_estimates_the_tone_of_the_picture_as_it_stands(folder):
    denoise = model.load(folder)
    noisy = toned(lines(5, 1, 0), DARKER)[None]
    undone = by_direction().undo(noisy)
    turned = [torch.rot90(build()(torch.rot90(undone, n, (2, 3))), -n, (2, 3)) for n in range(4)]
    mirrored = [torch.rot90(build()(torch.rot90(undone.flip(3), n, (2, 3))), -n, (2, 3)).flip(3) for n in range(4)]

    found = denoise.ensembled(is_turned=True)(noisy, 0.0)

    torch.testing.assert_close(found, sum(turned + mirrored) / 8, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tone": {"kinds": 1}}, r"kinds must lie in 2 to 1000, got 1"),
        ({"tone": {"kinds": 20_000}}, r"kinds must lie in 2 to 1000, got 20000"),
        ({"tone": 2}, r"model.json: tone must be a mapping"),
        ({"tone": {"kinds": 3}}, r"tone.weight of shape \(2, 176\) in place of \(3, 176\) and 2 more"),
        ({"channels": 1}, r"model.json: tone must be of a network for colours, of 3 channels, got 2"),
        ({"tone": None}, r"model.json: tone must be a mapping"),
    ],
)
def test_a_tone_that_does_not_fit_is_refused(folder, change, message):
    described = model.read_json(folder / "model.json")
    model.write_json(folder / "model.json", described | change)

    with pytest.raises(ValueError, match=message):
        model.load(folder)


def test_it_is_exported_with_its_weights(folder, tmp_path):
    denoise = model.load(folder)

    exporting.export(denoise.network, 3, "safetensors", {}, tmp_path / "out.safetensors", denoise.tone)

    written, own = model.read_tensors(tmp_path / "out.safetensors"), model.read_tensors(folder / "best.safetensors")
    assert set(written) == set(own) and all(torch.equal(written[name], own[name]) for name in own)


def test_a_graph_begins_with_it(folder, tmp_path):
    denoise = model.load(folder)

    found = exporting.export(denoise.network, 3, "torch-export", {}, tmp_path / "out.pt2", denoise.tone)

    program = torch.export.load(tmp_path / "out.pt2").module()
    rainy = torch.stack([lines(1, 1, 0), lines(1, 0, 1)])  # a darker picture and a brighter one
    assert found.largest_difference is not None and found.largest_difference < 1e-5
    assert (program(rainy) - denoise(rainy, 0.0)).abs().max() < 1e-5
    assert (program(rainy) - denoise.network(rainy)).abs().max() > 0.05


@pytest.mark.parametrize(
    "sides", [(1, 1), (5, 9), (31, 130), (64, 64), (65, 97), (128, 63), (240, 160), (700, 640), (33, 1200)], ids=str
)
def test_as_a_graph_it_takes_the_same_back_from_every_size(sides):
    images = torch.stack([lines(2, 1, 0, *sides), lines(3, 0, 1, *sides), lines(4, 1, 1, *sides)])
    for kinds in (by_direction(), model.load("clearer-rain800").tone):
        with torch.no_grad():
            assert (TracedTone(kinds)(images) - kinds.undo(images)).abs().max() < 1e-5


def test_as_a_graph_a_level_that_leads_nowhere_goes_to_its_lowest_clean_intensity():
    falling = torch.where(MIDDLES < 0.5, 0.0, -0.5)  # levels of the upper half come out below those of the lower
    kind = Tone(weight=torch.zeros(1, FEATURES), bias=torch.zeros(1), curves=falling[None])
    images = torch.linspace(0, 1, 64 * 64).expand(1, 3, -1).reshape(1, 3, 64, 64)
    with torch.no_grad():
        assert (TracedTone(kind)(images) - kind.undo(images)).abs().max() < 1e-5


def test_it_is_shown(folder):
    assert subjects.read(str(folder)).facts["kinds of tone"] == 2


def test_weights_without_the_tone_that_is_described_are_refused(folder):
    model.write_tensors(folder / "best.safetensors", build().state_dict())

    with pytest.raises(ValueError, match=r"best.safetensors must hold .*, got no tone.weight and 2 more"):
        model.load(folder)


def test_weights_with_a_tone_that_is_not_described_are_refused(folder):
    described = model.read_json(folder / "model.json")
    model.write_json(folder / "model.json", {key: value for key, value in described.items() if key != "tone"})

    with pytest.raises(
        ValueError, match=r"best.safetensors must hold .*, got tone.bias that it does not have and 2 more"
    ):
        model.load(folder)


def test_an_8_bit_picture_goes_through_it(folder):
    levels = (lines(5, 1, 0) * 255).byte().permute(1, 2, 0).numpy()

    restored = model.load(folder)(levels)

    expected = build()(by_direction().undo(to_clean(levels)[None]))[0].clamp(0, 1).mul(255).round()
    assert restored.dtype == np.uint8
    assert np.abs(restored.astype(int) - expected.detach().permute(1, 2, 0).numpy()).max() <= 1
