"""Deformable convolution against a loop written from its definition."""

import math

import pytest
import torch
import torch.nn.functional as F

from nasir.spaces import deformable
from nasir.spaces.deformable import DeformableConv, deformable_conv


def direct(x, offset, mask, weight):
    """Equation 1 of Deformable ConvNets v2, one output value at a time."""
    n, channels, h, w = x.shape
    out = torch.zeros(n, weight.shape[0], h, w, dtype=x.dtype)

    def pixel(image, row, column):
        return image[row, column] if 0 <= row < h and 0 <= column < w else torch.zeros((), dtype=x.dtype)

    def bilinear(image, row, column):
        top, left = math.floor(row), math.floor(column)
        down, right = row - top, column - left
        return (
            (1 - down) * (1 - right) * pixel(image, top, left)
            + (1 - down) * right * pixel(image, top, left + 1)
            + down * (1 - right) * pixel(image, top + 1, left)
            + down * right * pixel(image, top + 1, left + 1)
        )

    for b in range(n):
        for o in range(weight.shape[0]):
            for i in range(h):
                for j in range(w):
                    for k in range(9):
                        row = i + k // 3 - 1 + offset[b, 2 * k, i, j].item()
                        column = j + k % 3 - 1 + offset[b, 2 * k + 1, i, j].item()
                        for c in range(channels):
                            value = bilinear(x[b, c], row, column)
                            out[b, o, i, j] += weight[o, c, k // 3, k % 3] * value * mask[b, k, i, j]
    return out


def draws(n=2, c=2, o=3, h=4, w=5, reach=1.6):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, c, h, w, generator=g, dtype=torch.float64)
    offset = reach * torch.randn(n, 18, h, w, generator=g, dtype=torch.float64)
    mask = torch.rand(n, 9, h, w, generator=g, dtype=torch.float64)
    weight = torch.randn(o, c, 3, 3, generator=g, dtype=torch.float64)
    return x, offset, mask, weight


def test_it_equals_the_definition_with_offsets_that_leave_the_image():
    arguments = draws()
    torch.testing.assert_close(deformable_conv(*arguments), direct(*arguments), rtol=0, atol=1e-12)


def test_strips_change_nothing_and_neither_do_their_gradients(monkeypatch):
    arguments = [t.requires_grad_() for t in draws(h=7)]
    whole = deformable_conv(*arguments)
    expected = torch.autograd.grad(whole.square().sum(), arguments)
    monkeypatch.setattr(deformable, "STRIP_VALUES", 2 * (2 * 2 * 9 * 5))  # two rows of seven at a time
    parts = deformable_conv(*arguments)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    for found, gradient in zip(torch.autograd.grad(parts.square().sum(), arguments), expected, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-12, atol=1e-12)


def test_without_offsets_and_with_a_mask_of_one_it_is_a_plain_convolution():
    x, offset, mask, weight = draws()
    found = deformable_conv(x, torch.zeros_like(offset), torch.ones_like(mask), weight)
    torch.testing.assert_close(found, F.conv2d(x, weight, padding=1), rtol=0, atol=1e-12)


def test_one_pixel_down_reads_the_row_below():
    # a single centre tap of weight 1 and an offset of one row: y(i, j) = x(i + 1, j), zero below the last row
    x, offset, mask, _ = draws(n=1, c=1, o=1)
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, 1, 1] = 1
    offset = torch.zeros_like(offset)
    offset[:, 8] = 1
    expected = F.pad(x[:, :, 1:], (0, 0, 0, 1))
    torch.testing.assert_close(deformable_conv(x, offset, torch.ones_like(mask), weight), expected, rtol=0, atol=1e-12)


def test_gradients_agree_with_differences_away_from_whole_pixels():
    x, _, mask, weight = draws(n=1, c=1, o=1, h=3, w=3)
    # offsets whose fraction stays in [0.25, 0.75]: bilinear weights have a kink at whole pixels
    g = torch.Generator().manual_seed(1)
    offset = (
        torch.randint(-1, 2, (1, 18, 3, 3), generator=g) + 0.25 + 0.5 * torch.rand(1, 18, 3, 3, generator=g).double()
    )
    arguments = [t.requires_grad_() for t in (x, offset, mask, weight)]
    assert torch.autograd.gradcheck(deformable_conv, arguments, eps=1e-6, atol=1e-7)


def test_the_layer_starts_as_half_a_plain_convolution():
    torch.manual_seed(0)
    layer = DeformableConv(3, 4)
    x = torch.randn(1, 3, 6, 7)
    torch.testing.assert_close(layer(x), 0.5 * F.conv2d(x, layer.weight, padding=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (3, 1)])
def test_thin_images_work(size):
    torch.manual_seed(0)
    assert DeformableConv(2, 2)(torch.randn(1, 2, *size)).isfinite().all()
