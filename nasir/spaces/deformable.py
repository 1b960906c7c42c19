"""Deformable convolution v2 in plain torch.

Deformable ConvNets v2 (Zhu et al., CVPR 2019), equation 1:

    y(p) = sum over k of w_k * x(p + p_k + dp_k(p)) * m_k(p)

p_k are the nine taps of a 3x3 kernel, dp_k a learned offset and m_k in [0, 1] a learned weight for each tap and pixel. x is
bilinear between pixels and zero outside of the image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = 9  # of a 3x3 kernel

STRIP_VALUES = 2**21
"""On a CPU the image is worked off in strips of rows with at most this many sampled values, which then stay in its cache:
more than twice as fast on a whole photograph, about the same on training patches (benchmarks/README.md).
"""


def deformable_conv(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Equation 1 with stride 1, one group and zero padding.

    Args:
        x: features, shape (N, C, H, W).
        offset: dp in pixels, shape (N, 18, H, W); channels 2k and 2k + 1 are the row and column offsets of tap k,
            taps counted row by row.
        mask: m, shape (N, 9, H, W).
        weight: w, shape (O, C, 3, 3).

    Returns:
        Shape (N, O, H, W).
    """
    n, c, h, w = x.shape
    height = h if x.is_cuda else min(h, max(1, STRIP_VALUES // (n * c * TAPS * w)))
    offset = offset.view(n, TAPS, 2, h, w)
    strips = [
        _strip(x, offset[..., top : top + height, :], mask[..., top : top + height, :], weight, top)
        for top in range(0, h, height)
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


def _strip(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, top: int) -> Tensor:
    """The rows of the result from `top` on, as many as `offset` (N, 9, 2, rows, W) and `mask` (N, 9, rows, W) have."""
    n, c, h, w = x.shape
    height = mask.shape[2]
    taps = torch.arange(TAPS, device=x.device)
    rows = torch.arange(top, top + height, device=x.device, dtype=x.dtype).view(1, -1, 1) + (taps // 3 - 1).view(
        -1, 1, 1
    )
    columns = torch.arange(w, device=x.device, dtype=x.dtype).view(1, 1, -1) + (taps % 3 - 1).view(-1, 1, 1)
    # grid_sample without align_corners puts pixel i at (2 i + 1) / size - 1
    vertical = (2 * (rows + offset[:, :, 0]) + 1) / h - 1  # (N, 9, rows, W)
    horizontal = (2 * (columns + offset[:, :, 1]) + 1) / w - 1
    grid = torch.stack((horizontal, vertical), dim=-1).view(n, TAPS * height, w, 2)
    sampled = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    sampled = sampled.view(n, c, TAPS, height, w) * mask.unsqueeze(1)
    result = weight.view(-1, c * TAPS) @ sampled.view(n, c * TAPS, height * w)
    return result.view(n, -1, height, w)


class DeformableConv(nn.Module):
    """A 3x3 deformable convolution v2 that predicts its own offsets and mask.

    One plain 3x3 convolution gives 18 offsets and 9 mask logits. It starts at zero, so the layer starts as a plain
    convolution with every tap weighted by sigmoid(0) = 0.5.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as nn.Conv2d
        self.predict = nn.Conv2d(channels_in, 3 * TAPS, 3, padding=1)
        nn.init.zeros_(self.predict.weight)
        assert self.predict.bias is not None
        nn.init.zeros_(self.predict.bias)

    def forward(self, x: Tensor) -> Tensor:
        offset, logits = self.predict(x).split((2 * TAPS, TAPS), dim=1)
        return deformable_conv(x, offset, logits.sigmoid(), self.weight)
