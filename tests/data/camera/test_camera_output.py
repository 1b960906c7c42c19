"""Sharpening, the sRGB curve, 8 bits and JPEG against closed forms, scipy and Pillow's reading of its own files."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from nasir.data.camera.jpeg_tables import QUALITIES, tables
from nasir.data.camera.output import blur, compress, linearise, sharpen, to_codes, to_srgb


def test_srgb_curve_has_the_values_of_the_standard():
    # 12.92 * 0.002 = 0.02584; 1.055 * 0.5^(1 / 2.4) - 0.055 = 0.735357.
    found = to_srgb(torch.tensor([0.0, 0.002, 0.5, 1.0]))

    assert found.tolist() == pytest.approx([0.0, 0.02584, 0.735357, 1.0], abs=1e-6)


def test_srgb_and_linear_light_are_an_exact_pair():
    light = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    codes = torch.arange(256, dtype=torch.float32) / 255

    # at the joint the standard's rounded constants leave a gap of 3e-8
    assert torch.allclose(linearise(to_srgb(light)), light, rtol=0, atol=1e-7)
    assert torch.equal((to_srgb(linearise(codes)) * 255).round(), torch.arange(256.0))


def test_blur_is_scipys_gaussian_cut_off_at_the_same_reach():
    planes = torch.rand(1, 2, 15, 17, generator=torch.Generator().manual_seed(0))

    found = blur(planes, 4, 4)[0].numpy()

    for plane, blurred in zip(planes[0].numpy(), found, strict=True):
        expected = ndimage.gaussian_filter(plane.astype(np.float64), 4, radius=4, mode="nearest")
        assert np.abs(blurred - expected).max() < 1e-6


def test_unsharp_mask_leaves_one_colour_and_small_differences_alone():
    colour = torch.full((1, 3, 12, 12), 0.5)
    faint = colour.clone()
    faint[..., 6, 6] += 2 / 255

    assert torch.allclose(sharpen(colour, torch.tensor([0.25])), colour, atol=1e-6)
    assert torch.allclose(sharpen(faint, torch.tensor([0.25])), faint, atol=1e-6)


def test_unsharp_mask_adds_its_amount_of_what_the_blur_took():
    # A dot of height 0.4 keeps c^2 of it under the blur, c = 0.13 the middle tap, so it gains a 0.4 (1 - c^2). Its neighbours
    # differ from their blur by 0.4 * 0.018 = 0.007, which is under 3/255 = 0.0118.
    taps = np.exp(-(np.arange(-4, 5) ** 2) / 32.0)
    middle = taps[4] / taps.sum()
    colour = torch.full((2, 3, 21, 21), 0.5)
    colour[..., 10, 10] += 0.4

    sharp = sharpen(colour, torch.tensor([0.0, 0.2]))

    assert torch.equal(sharp[0], colour[0])
    assert sharp[1, 0, 10, 10].item() == pytest.approx(0.9 + 0.2 * 0.4 * (1 - middle**2), abs=1e-6)
    assert sharp[1, 0, 10, 11].item() == 0.5


def test_codes_cut_the_unit_interval_into_256_equal_parts():
    codes = to_codes(torch.tensor([0.0, 1 / 256 - 1e-6, 1 / 256, 0.5, 1.0]))

    assert codes.dtype == torch.uint8 and codes.tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("quality", QUALITIES)
def test_tables_are_symmetric_and_begin_with_the_published_rows(quality):
    first = {
        4: ([16, 11, 17, 27, 34, 39, 34, 17], [17, 17, 22, 34, 20, 20, 17, 17]),
        5: ([12, 8, 13, 21, 26, 32, 34, 17], [13, 13, 17, 27, 20, 20, 17, 17]),
        6: ([8, 6, 9, 14, 17, 21, 28, 17], [9, 9, 11, 18, 20, 20, 17, 17]),
        7: ([10, 7, 11, 18, 22, 27, 34, 17], [11, 14, 31, 34, 20, 20, 17, 17]),
    }
    for steps, row in zip(tables(quality), first[quality], strict=True):
        table = np.array(steps).reshape(8, 8)
        assert table[0].tolist() == row
        assert np.array_equal(table, table.T)
        assert table[7].tolist() == [17] + 7 * [12]


def test_other_qualities_are_refused():
    with pytest.raises(ValueError, match=r"quality must be one of \(4, 5, 6, 7\) .* got 75"):
        tables(75)


def test_pillow_takes_the_tables_row_by_row():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", qtables=list(tables(4)), subsampling="4:2:0")

    with Image.open(file) as image:
        assert [list(image.quantization[number]) for number in (0, 1)] == list(tables(4))


@pytest.mark.parametrize("quality", QUALITIES)
def test_jpeg_of_grey_is_within_half_a_step_of_the_mean(quality):
    # A flat block has one coefficient, 8 (grey - 128), rounded to a multiple of the table's first step.
    step = tables(quality)[0][0]
    grey = 93
    expected = 128 + round(8 * (grey - 128) / step) * step / 8

    found = compress(torch.full((1, 3, 20, 24), grey, dtype=torch.uint8), [quality])

    assert found.shape == (1, 3, 20, 24) and found.dtype == torch.uint8
    assert (found == found[0, 0, 0, 0]).all()
    assert abs(int(found[0, 0, 0, 0]) - expected) <= 0.5


def test_jpeg_of_each_image_has_its_own_quality_and_only_quality_7_keeps_fine_chroma():
    # Columns of red and green in turn: halving the chroma planes mixes each pair of columns, quality 7 does not.
    stripes = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    stripes[:, 0, :, ::2] = stripes[:, 1, :, 1::2] = 200

    coarse, fine = compress(stripes, [6, 7]).int()

    red_and_green = [(image[0] - image[1])[:, ::2].float().mean().item() for image in (coarse, fine)]
    assert red_and_green[0] < 40 and red_and_green[1] > 150
