"""Dilated convolutions whose gradients are right under bfloat16 autocast on a CPU, too."""

import torch
from torch import Tensor, nn

BLOCK = 16
"""Channels that oneDNN computes together."""


class DilatedConv(nn.Conv2d):
    """`torch.nn.Conv2d`, in float32 where oneDNN gets the gradient wrong.

    With channels last and bfloat16, its gradient of a dilated convolution's weights is arbitrary, up to 1e35 or NaN, where the
    convolution is depthwise or its input has other than a multiple of 16 channels (torch 2.13, oneDNN 3.12 with AVX512-BF16). The
    values and the gradient of the input are right, so that nothing but a training tells.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, shape (N, C, H, W)."""
        kind = x.device.type
        is_wrong = self.dilation != (1, 1) and (self.groups > 1 or self.in_channels % BLOCK > 0)
        if is_wrong and kind == "cpu" and torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return super().forward(x.float())
        return super().forward(x)
