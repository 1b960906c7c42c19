"""PSNR and SSIM for images in [0, 1], one value for each image of a batch.

SSIM comes in two definitions that differ by 0.004 to 0.009 on natural images, and every score says which one it is:

    ssim_zero_padded   outside of the image is 0, mean over all pixels: what the authors of IR-NAS report
    ssim_valid         only windows that lie inside the image: the standard one

Several channels are scored one by one and averaged. All pixels count: there is no border shave and no colour
conversion.
"""

from typing import Any

import torch
from torch import Tensor

RADIUS = 5
"""The SSIM window has 2 * RADIUS + 1 = 11 pixels on a side."""

WINDOW_SIGMA = 1.5
"""Standard deviation of the Gaussian window, pixels."""

C1 = 0.01**2
C2 = 0.03**2


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: -10 log10(mean of (restored - clean)^2), for a data range of 1.

    Args:
        restored: images, shape (N, C, H, W), intensities on the scale [0, 1]; clip them first if they are to be
            compared.
        clean: the references, same shape.

    Returns:
        One value for each image, shape (N,), float64 (the sums are made in float64 too); infinite for equal images.

    Raises:
        ValueError: if the shapes differ, or `clean` is on the 8-bit scale.
    """
    _check_pair(restored, clean)
    if not float(clean.max()) <= 1:
        raise ValueError(f"clean must lie in [0, 1], got a maximum of {clean.max():g}; divide 8-bit images by 255.")
    error = (restored.double() - clean.double()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error)


def ssim_zero_padded(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean SSIM over all pixels, images continued by zeros: the mean of `ssim_map`, shape (N,)."""
    return ssim_map(restored, clean).mean(dim=(1, 2, 3))


def ssim_valid(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean SSIM over the pixels whose window lies inside the image, shape (N,).

    Equal to scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=1)`. Images below 11 pixels on a side have no such pixel and are refused.
    """
    return valid_region(ssim_map(restored, clean)).mean(dim=(1, 2, 3))


def ssim_map(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity at each pixel (Wang et al., IEEE TIP 2004, equation 13), images continued by zeros.

    (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2)), with the means m, the variances s^2
    and the covariance s_xy (population form: E[xy] - E[x] E[y]) under an 11x11 Gaussian window of standard deviation
    1.5, and C1 = 0.01^2, C2 = 0.03^2 for a data range of 1. Differentiable.

    Args:
        restored: images, shape (N, C, H, W), intensities on the scale [0, 1].
        clean: the references, same shape and dtype.

    Returns:
        Values in [-1, 1], shape (N, C, H, W), computed in the dtype of the images: float32 is good for a loss (the
        variances lose about 1e-4 of C2 to rounding), scores pass float64.

    Raises:
        ValueError: if shapes or dtypes differ.
    """
    _check_pair(restored, clean)
    if restored.dtype != clean.dtype:
        raise ValueError(f"restored and clean must have one dtype, got {restored.dtype} and {clean.dtype}.")
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        _Blur.apply(image) for image in (restored, clean, restored.square(), clean.square(), restored * clean)
    )
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    similar_means = (2 * product + C1) / (squares + C1)
    similar_structure = (2 * (mean_xy - product) + C2) / (mean_xx + mean_yy - squares + C2)
    return similar_means * similar_structure


def valid_region(similarity: Tensor) -> Tensor:
    """The part of an `ssim_map` where the window lies inside the image: 5 pixels less on each side."""
    height, width = similarity.shape[-2:]
    if min(height, width) <= 2 * RADIUS:
        raise ValueError(
            f"the valid SSIM needs images of at least {2 * RADIUS + 1}x{2 * RADIUS + 1} pixels, got {height}x{width}; "
            "leave the image out or use ssim_zero_padded."
        )
    return similarity[..., RADIUS:-RADIUS, RADIUS:-RADIUS]


class _Blur(torch.autograd.Function):
    """The Gaussian window over images continued by zeros; a symmetric operator, hence its own adjoint."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return _filter(_filter(images, -1), -2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Blur.apply(gradients[0])


def _filter(images: Tensor, dim: int) -> Tensor:
    """One direction of the separable window, as a sum of shifted images (on a CPU 10 times faster than conv2d)."""
    centre, *taps = _window()
    length = images.shape[dim]
    total = images * centre
    for shift, tap in enumerate(taps[: length - 1], start=1):
        overlap = length - shift
        total.narrow(dim, 0, overlap).add_(images.narrow(dim, shift, overlap), alpha=tap)
        total.narrow(dim, shift, overlap).add_(images.narrow(dim, 0, overlap), alpha=tap)
    return total


def _window() -> list[float]:
    """The window's weights from its centre outwards; centre + 2 * (the others) is 1."""
    half = torch.exp(-torch.arange(RADIUS + 1, dtype=torch.float64).square() / (2 * WINDOW_SIGMA**2))
    return (half / (half[0] + 2 * half[1:].sum())).tolist()


def _check_pair(restored: Tensor, clean: Tensor) -> None:
    if restored.shape != clean.shape or restored.dim() != 4:
        raise ValueError(
            "restored and clean must both have one shape (N, C, H, W), "
            f"got {tuple(restored.shape)} and {tuple(clean.shape)}."
        )
    if not (restored.is_floating_point() and clean.is_floating_point()):
        raise ValueError(f"restored and clean must hold floats in [0, 1], got {restored.dtype} and {clean.dtype}.")
