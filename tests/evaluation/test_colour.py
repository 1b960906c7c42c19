"""Y against corners of the colour cube and scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr

from nasir.evaluation.colour import luma
from nasir.evaluation.metrics import psnr


def colours(*triples: tuple[float, float, float]) -> torch.Tensor:
    """A row of pixels, shape (1, 3, 1, len(triples)), float64."""
    return torch.tensor(triples, dtype=torch.float64).T[None, :, None, :]


def test_luma_of_the_corners_of_the_colour_cube():
    # black 16; red 65.481 + 16, green 128.553 + 16, blue 24.966 + 16; white 219 + 16, all over 255
    corners = colours((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))

    assert (255 * luma(corners)).flatten().tolist() == pytest.approx([16, 81.481, 144.553, 40.966, 235])


def test_luma_shrinks_a_grey_difference_to_219_of_255():
    # PSNR of a difference of 0.1 is 20 dB; of 0.1 * 219/255 it is 20 + 20 log10(255/219) = 21.3219 dB
    clean = torch.full((2, 3, 4, 5), 0.5, dtype=torch.float64)

    assert psnr(luma(clean + 0.1), luma(clean)).tolist() == pytest.approx([20 + 20 * math.log10(255 / 219)] * 2)


def test_luma_equals_scikit_image():
    images = np.random.default_rng(0).random((2, 7, 9, 3))

    expected = rgb2ycbcr(images)[..., 0] / 255

    ours = luma(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert ours.shape == (2, 1, 7, 9)
    assert ours[:, 0].numpy() == pytest.approx(expected, abs=1e-12)


def test_the_dtype_stays_and_other_shapes_are_refused():
    assert luma(torch.zeros(1, 3, 2, 2)).dtype == torch.float32
    with pytest.raises(ValueError, match=r"shape \(N, 3, H, W\), got torch.float32 of shape \(1, 1, 2, 2\)"):
        luma(torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"got torch.float32 of shape \(3, 2, 2\)"):
        luma(torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match=r"must be floats .* got torch.uint8"):
        luma(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
