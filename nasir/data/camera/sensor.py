"""What a camera's sensor does to linear light: exposure, Bayer mosaic, shot and read noise, quantisation; and its undoing.

Jaroensri et al., "Generating Training Data for Denoising Real RGB Images via Camera Pipeline Simulation", 2019, steps 1 to
6 of their chain. Every function is pure and takes one parameter for each image; noise comes in as a standard normal field.
"""

import torch
from torch import Tensor
from torch.nn import functional


def expose(light: Tensor, stops: Tensor) -> Tensor:
    """Scale light by 2^n. `light` has shape (N, C, H, W), `stops` n has shape (N,)."""
    return light * torch.exp2(stops).view(-1, 1, 1, 1)


def bayer(height: int, width: int) -> Tensor:
    """Which colour each photosite sees: bool, shape (3, H, W), exactly one of red, green and blue at every place.

    Green where x and y are both even or both odd, red where x is odd and y even, blue where x is even and y odd.
    """
    x, y = torch.arange(width)[None] % 2, torch.arange(height)[:, None] % 2
    return torch.stack([(x == 1) & (y == 0), x == y, (x == 0) & (y == 1)])


def mosaic(colour: Tensor) -> Tensor:
    """Keep of each pixel the one colour that its photosite sees: shape (N, 3, H, W) to (N, 1, H, W)."""
    return (colour * bayer(*colour.shape[2:])).sum(dim=1, keepdim=True)


def add_shot_noise(raw: Tensor, strength: Tensor, normal: Tensor) -> Tensor:
    """Add the noise of counting photons, y = x + k sqrt(max(x, 0)) n, so that its variance is k^2 x.

    The Gaussian approximation of a Poisson law, as in the paper's code.

    Args:
        raw: light, shape (N, 1, H, W), 1 is full scale.
        strength: k, shape (N,); 0 or more.
        normal: n ~ N(0, 1), shape of `raw`.

    Raises:
        ValueError: if a strength is negative.
    """
    return raw + _strength("shot", strength) * raw.clamp(min=0).sqrt() * normal


def add_read_noise(raw: Tensor, strength: Tensor, normal: Tensor) -> Tensor:
    """Add the noise of the read-out, y = x + s n, whose variance is s^2 everywhere; arguments as `add_shot_noise`."""
    return raw + _strength("read", strength) * normal


def quantise(raw: Tensor, bits: Tensor) -> Tensor:
    """Clip to [0, 1] and round down to multiples of 2^-b: floor(2^b x) / 2^b. `bits` b has shape (N,)."""
    levels = torch.exp2(bits.to(raw.dtype)).view(-1, 1, 1, 1)
    return (raw.clamp(0, 1) * levels).floor() / levels


def demosaic(raw: Tensor) -> Tensor:
    """Fill in the colours that a photosite does not see with the mean of the nearest that do (bilinear), clipped to [0, 1].

    The paper's own demosaicking is a compiled filter that was not published; bilinear stands in for it. Borders are mirrored
    about the outermost pixel, which keeps the pattern.

    Args:
        raw: mosaic whose top left photosite is green, shape (N, 1, H, W), H and W at least 2.

    Returns:
        Linear RGB, shape (N, 3, H, W).
    """
    planes = functional.pad(raw * bayer(*raw.shape[2:]), (1, 1, 1, 1), mode="reflect")
    rows = planes[:, :, :-2] + planes[:, :, 2:]  # above and below
    middle = planes[:, :, 1:-1]
    beside = middle[..., :-2] + middle[..., 2:] + rows[..., 1:-1]
    diagonal = rows[..., :-2] + rows[..., 2:]
    centre = middle[..., 1:-1]
    red_and_blue = centre + beside / 2 + diagonal / 4  # at every place two of the three terms are 0
    green = centre + beside / 4  # and one of these two
    return torch.stack([red_and_blue[:, 0], green[:, 1], red_and_blue[:, 2]], dim=1).clamp(0, 1)


def _strength(kind: str, strength: Tensor) -> Tensor:
    if not bool((strength >= 0).all()):
        raise ValueError(f"{kind} noise must have strengths of 0 or more (1 is full scale), got {strength.min():g}.")
    return strength.view(-1, 1, 1, 1)
