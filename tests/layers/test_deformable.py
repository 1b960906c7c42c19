"""Deformable convolution against a loop written from its definition."""

import math

import pytest
import torch
import torch.nn.functional as F

from nasir.layers import deformable
from nasir.layers.deformable import DeformableConv, deformable_conv


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


def by_grid_sample(x, offset, mask, weight):
    """Equation 1 by torch's own bilinear sampling, all nine samples of all pixels at once."""
    h, w = x.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    sampled = []
    for k in range(9):
        down = rows + k // 3 - 1 + offset[:, 2 * k]
        right = columns + k % 3 - 1 + offset[:, 2 * k + 1]
        grid = torch.stack(((2 * right + 1) / w - 1, (2 * down + 1) / h - 1), dim=-1)
        sampled.append(F.grid_sample(x, grid, padding_mode="zeros", align_corners=False) * mask[:, k : k + 1])
    return torch.einsum("knchw,ock->nohw", torch.stack(sampled), weight.flatten(2))


def with_gradients(function, arguments):
    """The result and the gradients of a sum of it whose weights differ from value to value."""
    arguments = [t.detach().requires_grad_() for t in arguments]
    result = function(*arguments)
    weights = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view(result.shape)
    return result.detach(), *torch.autograd.grad((result * weights).sum(), arguments)


@pytest.mark.parametrize("reach", [0.3, 1.6, 20.0])
def test_result_and_gradients_agree_with_grid_sample(reach):
    arguments = draws(n=3, c=3, o=2, h=6, w=9, reach=reach)
    for found, expected in zip(
        with_gradients(deformable_conv, arguments), with_gradients(by_grid_sample, arguments), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (2 * (20 * 9), (1, 20)),  # twenty of an image's 35 pixels
        (2 * (80 * 9), (2, 35)),  # two of three images
    ],
)
def test_strips_and_groups_change_nothing_and_neither_do_their_gradients(values, expected, monkeypatch):
    arguments = draws(n=3, h=7)
    assert deformable._sizes(arguments[0]) == (3, 35)
    whole = with_gradients(deformable_conv, arguments)
    monkeypatch.setattr(deformable, "RADIX_SORT", 1)
    monkeypatch.setattr(deformable, "STRIP_VALUES", values)
    assert deformable._sizes(arguments[0]) == expected
    for part, all_at_once in zip(with_gradients(deformable_conv, arguments), whole, strict=True):
        torch.testing.assert_close(part, all_at_once, rtol=0, atol=1e-12)


def test_an_image_of_more_positions_than_short_integers_count_has_the_same_gradients():
    arguments = draws(n=1, c=1, o=1, h=4, w=6000)  # (4 + 4) (6000 + 4) = 48,032 positions
    for found, expected in zip(
        with_gradients(deformable_conv, arguments), with_gradients(by_grid_sample, arguments), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_same_call_gives_the_same_bits():
    arguments = [t.float() for t in draws(n=3, c=5, h=17, w=16)]
    for first, second in zip(
        with_gradients(deformable_conv, arguments), with_gradients(deformable_conv, arguments), strict=True
    ):
        assert torch.equal(first, second)


def test_channels_last_changes_the_memory_format_only():
    arguments = draws()
    last = [t.contiguous(memory_format=torch.channels_last) for t in arguments]
    found = with_gradients(deformable_conv, last)
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert deformable_conv(*arguments).is_contiguous()
    for one, other in zip(found, with_gradients(deformable_conv, arguments), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("far", [40.0, -40.0, 3e9, -3e9, 1e30])
def test_a_sample_far_outside_reads_zero_and_has_no_gradient(far):
    x, offset, mask, weight = draws()
    result, of_x, of_offset, of_mask, of_weight = with_gradients(
        deformable_conv, (x, torch.full_like(offset, far), mask, weight)
    )
    assert not any(t.any() for t in (result, of_x, of_offset, of_mask, of_weight))


def test_an_offset_that_is_not_a_number_shows_where_it_is_and_only_there():
    x, offset, mask, weight = draws()
    offset[0, 3, 1, 2] = torch.nan
    where = deformable_conv(x, offset, mask, weight).isnan()
    assert where[0, :, 1, 2].all()
    assert where.sum() == weight.shape[0]


def test_bfloat16_autocast_samples_in_float32():
    layer = DeformableConv(3, 4)
    torch.nn.init.normal_(layer.predict.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(1), requires_grad=True)
    offset, logits = layer.predict(x.bfloat16().float()).split((18, 9), dim=1)
    expected = deformable_conv(x, offset, logits.sigmoid(), layer.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
        found.square().sum().backward()
    assert found.dtype == torch.float32
    assert layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)  # offsets and mask have three digits


def test_nothing_but_the_arguments_is_kept_for_the_gradients():
    arguments = [t.requires_grad_() for t in draws()]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()), lambda nothing: nothing):
        deformable_conv(*arguments)
    assert kept == [t.data_ptr() for t in arguments]


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


@pytest.mark.parametrize("shape", [(1, 1, 1, 3, 3), (2, 2, 3, 2, 3)])
def test_gradients_agree_with_differences_away_from_whole_pixels(shape):
    n, c, o, h, w = shape
    x, _, mask, weight = draws(n=n, c=c, o=o, h=h, w=w)
    # offsets whose fraction stays in [0.25, 0.75]: bilinear weights have a kink at whole pixels
    g = torch.Generator().manual_seed(1)
    whole, fraction = torch.randint(-1, 2, (n, 18, h, w), generator=g), torch.rand(n, 18, h, w, generator=g).double()
    arguments = [t.requires_grad_() for t in (x, whole + 0.25 + 0.5 * fraction, mask, weight)]
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
