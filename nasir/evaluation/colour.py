"""Luma, the one channel that papers on super-resolution and de-raining score of colour images.

It is not Pillow's "L", which this project's grey test images are made with: a grey difference d between two images is a
difference of 219/255 d in Y, so that PSNR of Y is 1.32 dB above that of grey wherever only the brightness is wrong.
"""

import torch
from torch import Tensor

LUMA = (65.481, 128.553, 24.966)
"""Weights of R, G and B in Y, on the 8-bit scale; they sum to 219."""

LUMA_BLACK = 16.0
"""Y of black, on the 8-bit scale."""


def luma(images: Tensor) -> Tensor:
    """Y of ITU-R BT.601 as MATLAB's rgb2ycbcr: Y = (65.481 R + 128.553 G + 24.966 B + 16) / 255, not rounded.

    Args:
        images: colours in the order R, G, B, shape (N, 3, H, W), intensities on the scale [0, 1].

    Returns:
        Y in [16/255, 235/255] for intensities in [0, 1], shape (N, 1, H, W), dtype of the images. The scale stays that
        of the images: PSNR and SSIM take a data range of 1, as for R, G and B.

    Raises:
        ValueError: if the images are not floats of that shape.
    """
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"colours must be floats of shape (N, 3, H, W), got {images.dtype} of shape {tuple(images.shape)}; "
            "a grey image has no Y, score it as it is."
        )
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)[:, None, None]
    return ((images * weights).sum(1, keepdim=True) + LUMA_BLACK) / 255
