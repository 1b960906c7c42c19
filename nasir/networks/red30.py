"""RED30: convolutions, as many transposed convolutions, and skips between the mirrored ones.

RED (Mao, Shen and Yang, NeurIPS 2016), section 3: 15 convolutions and 15 transposed convolutions, 3x3, stride 1, 64 channels,
each with a ReLU; from every second convolution a skip to its mirrored transposed convolution.
"""

import math

import torch
from torch import Tensor, nn

from nasir.networks.baseline import Baseline

DEPTH = 15
WIDTH = 64


class RED30(nn.Module):
    """Every feature map has a level: the input 0, convolution k's output k; the j-th transposed convolution leads back to 15 - j.

    On the way back each even level adds the map that was left there on the way out, before the ReLU; level 0 adds the input
    itself, and has no ReLU, so that the output is not clipped. For grey images 1,035,201 parameters.

    How the paper starts its weights is not known here. They are N(0, 2 / (9 * inputs)) with biases 0 (He et al., ICCV 2015), also
    for the transposed convolutions, which at stride 1 sum as many terms as a convolution; the last layer starts at a hundredth
    of that, so that the network starts near the identity. Under torch's default start the deep layers get next to no gradient
    and the network trains as a shallow one.

    Args:
        channels: of the images: 1 grey, 3 RGB.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels] + [WIDTH] * DEPTH
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[level - 1], widths[level], 3, padding=1) for level in range(1, DEPTH + 1)
        )
        self.transposed = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], 3, padding=1) for level in reversed(range(DEPTH))
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * layer.in_channels)))
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.transposed[-1].weight.mul_(0.01)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        left = [x]
        for level, convolution in enumerate(self.convolutions, start=1):
            x = torch.relu(convolution(x))
            if level % 2 == 0:
                left.append(x)
        for level, transposed in zip(reversed(range(DEPTH)), self.transposed, strict=True):
            x = transposed(x)
            if level % 2 == 0:
                x = x + left.pop()
            if level > 0:
                x = torch.relu(x)
        return x


BASELINES = {"red30": Baseline(task="denoise", build=RED30, lr_max=1e-4)}
"""The rate is recalled, not verified."""
