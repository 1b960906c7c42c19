"""Images worked on at a fraction of their resolution, without loss: blocks of pixels become channels, and back.

FFDNet (Zhang et al., IEEE TIP 2018, section III-A) does it by two: a quarter of the work for each channel, twice the reach.
"""

import torch.nn.functional as F
from torch import Tensor


def shrink(x: Tensor, factor: int) -> Tensor:
    """Images of shape (N, C, H, W) as (N, C factor^2, ceil(H / factor), ceil(W / factor)).

    Sides that are no multiple are filled up by their last row and column.
    """
    if factor == 1:
        return x
    height, width = x.shape[-2:]
    down, right = -height % factor, -width % factor
    filled = F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x
    return F.pixel_unshuffle(filled, factor)


def enlarge(x: Tensor, factor: int, like: Tensor) -> Tensor:
    """The inverse of `shrink`, shape (N, C, H, W) with the H and W of `like`; what had been filled up is cut off."""
    whole = F.pixel_shuffle(x, factor) if factor > 1 else x
    return whole[..., : like.shape[-2], : like.shape[-1]]


def fill(x: Tensor, multiple: int) -> Tensor:
    """Images of shape (N, C, H, W) with sides filled up to multiples, mirrored at their last row and column.

    Sides that are too short for that are filled up by their last row or column itself.
    """
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if down:
        x = F.pad(x, (0, 0, 0, down), mode="reflect" if down < height else "replicate")
    return F.pad(x, (0, right, 0, 0), mode="reflect" if right < width else "replicate") if right else x
