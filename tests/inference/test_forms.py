"""A denoiser takes arrays, Pillow images and tensors, and gives back what it took."""

import doctest

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nasir.inference import model
from nasir.inference.model import Denoiser


def halving(channels):
    """A denoiser that halves what comes in."""
    layer = nn.Conv2d(channels, channels, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(0.5 * torch.eye(channels)[..., None, None])
    return Denoiser(network=nn.Sequential(layer).eval(), sigma=50.0, channels=channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_an_array_comes_back_as_it_came(kind, channels):
    whole = np.issubdtype(kind, np.integer)
    for shape in [(4, 5, 3)] if channels == 3 else [(4, 5), (4, 5, 1), (4, 5, 3)]:
        values = np.random.default_rng(0).random(shape)
        noisy = (values * np.iinfo(kind).max if whole else values).astype(kind)
        restored = halving(channels)(noisy, sigma=50)
        assert (type(restored), restored.dtype, restored.shape) == (np.ndarray, kind, shape)
        np.testing.assert_array_equal(
            restored, np.rint(noisy / 2) if whole else (noisy.astype(np.float32) / 2).astype(kind)
        )


@pytest.mark.parametrize(("mode", "bands"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_a_picture_comes_back_with_its_mode_alpha_and_info(mode, bands):
    values = np.random.default_rng(0).integers(0, 256, (4, 5, bands), dtype=np.uint8)
    noisy = Image.fromarray(values[..., 0] if bands == 1 else values)
    noisy.info["icc_profile"] = b"profile"
    restored = halving(1)(noisy, sigma=50)
    expected = np.rint(values / 2)
    if bands in (2, 4):
        expected[..., -1] = values[..., -1]
    assert restored.mode == mode and restored.info == {"icc_profile": b"profile"}
    np.testing.assert_array_equal(np.atleast_3d(np.array(restored)), expected)


def test_a_picture_of_sixteen_bits_comes_back():
    values = np.random.default_rng(0).integers(0, 65536, (4, 5), dtype=np.uint16)
    restored = halving(1)(Image.fromarray(values), sigma=50)
    assert restored.mode == "I;16"
    np.testing.assert_array_equal(np.array(restored), np.rint(values / 2))


@pytest.mark.parametrize(
    "kind", [torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_a_tensor_comes_back_as_it_came(kind):
    whole = not kind.is_floating_point
    values = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    noisy = (values * torch.iinfo(kind).max if whole else 3 * values - 1).to(kind)  # floats are not clipped
    restored = halving(1)(noisy, sigma=50)
    assert (restored.dtype, restored.shape) == (kind, noisy.shape)
    half = noisy.float() / 2
    assert torch.equal(restored.float(), half.round() if whole else half.to(kind).float())


@pytest.mark.parametrize(
    ("noisy", "message"),
    [
        (np.zeros((2, 4, 5, 3)), r"shape \(H, W\), \(H, W, 1\) or \(H, W, 3\), got \(2, 4, 5, 3\); give one image"),
        (np.zeros((4, 5, 4)), r"got \(4, 5, 4\); give one image at a time, its alpha apart"),
        (np.zeros((0, 5)), r"got \(0, 5\)"),
        (np.zeros((4, 5), np.int64), "uint8, uint16 or of a float type, got int64; convert it"),
        (np.full((4, 5), np.nan), "finite values, got NaN or infinity"),
        (np.full((4, 5), 128.0), "plus noise of sigma 50, got 128 to 128; divide grey levels by 255"),
        (np.full((4, 5), -3.0), "plus noise of sigma 50, got -3 to -3"),
        (Image.new("CMYK", (4, 5)), "one of the modes .*, got 'CMYK'; convert it first"),
        (torch.zeros(1, 1, 4, 5, dtype=torch.int64), "uint8, uint16 or of a float type, got torch.int64"),
        (
            torch.full((1, 1, 4, 5), 128.0),
            "a tensor of floats must lie .* sigma 50, got 128 to 128; divide grey levels by 255",
        ),
        (torch.full((1, 1, 4, 5), 128.0).half(), "a tensor of floats must lie .*, got 128 to 128"),
        (torch.tensor([[[[0.5, torch.nan]]]]), "a tensor must have finite values, got NaN or infinity"),
        (torch.tensor([[[[0.5, -torch.inf]]]]), "a tensor must have finite values"),
        (torch.zeros(0, 1, 4, 5), r"a tensor must hold one pixel or more, got the shape \(0, 1, 4, 5\)"),
        (torch.zeros(1, 1, 0, 5), r"got the shape \(1, 1, 0, 5\)"),
        (torch.zeros(1, 1, 0, 5, dtype=torch.uint8), r"got the shape \(1, 1, 0, 5\)"),
        (torch.zeros(1, 1, 4, 5, device="meta"), "got no values on the device meta"),
        ([[0.5]], "an image must be a tensor, a NumPy array or a Pillow image, got a list; open a file"),
        ("photo.png", "got a str; open a file with PIL.Image.open"),
        (torch.zeros(4, 5, dtype=torch.uint8), r"images of shape \(N, 1, H, W\), got \(4, 5\)"),
    ],
)
def test_what_is_no_image_is_refused(noisy, message):
    with pytest.raises(ValueError, match=message):
        halving(1)(noisy, sigma=50)


def test_grey_and_another_sigma_are_refused():
    with pytest.raises(ValueError, match=r"takes colour, shape \(H, W, 3\), got \(4, 5\); repeat a grey image"):
        halving(3)(np.zeros((4, 5), np.uint8), sigma=50)
    with pytest.raises(ValueError, match="trained for sigma 50, got 30"):
        halving(1)(np.zeros((4, 5), np.uint8), sigma=30)


@pytest.mark.parametrize("sigma", [[50], "50", np.array([50.0, 50.0])])
def test_a_sigma_that_is_no_number_is_refused(sigma):
    with pytest.raises(ValueError, match=r"sigma must be a number of 8-bit grey levels, got .*50.*; pass it as one"):
        halving(1)(np.zeros((4, 5), np.uint8), sigma=sigma)


@pytest.mark.parametrize("sigma", [50, np.float32(50), np.int64(50), np.array(50.0), torch.tensor(50.0)])
def test_a_sigma_may_be_any_kind_of_number(sigma):
    for noisy in (np.full((4, 5), 0.5), torch.full((1, 1, 4, 5), 0.5)):
        assert halving(1)(noisy, sigma=sigma).max() == 0.25


def test_a_tensor_may_have_a_gradient():
    noisy = torch.rand(1, 1, 4, 5, requires_grad=True)
    assert torch.equal(halving(1)(noisy, 50), noisy / 2)


def test_the_examples_in_the_docstring_run():
    run = doctest.testmod(model, optionflags=doctest.ELLIPSIS)
    assert run.attempted >= 11 and run.failed == 0
