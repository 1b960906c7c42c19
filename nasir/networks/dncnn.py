"""DnCNN-S: a plain stack of convolutions that predicts the noise.

DnCNN (Zhang et al., IEEE TIP 2017), figure 1 and section III: 17 layers of 3x3 convolutions with 64 channels; convolution
and ReLU, 15 times convolution, batch normalisation and ReLU, convolution.
"""

import copy
import math

from torch import Tensor, nn

from nasir.layers.merging import merge
from nasir.networks.baseline import Baseline

LAYERS = 17
WIDTH = 64


class DnCNN(nn.Module):
    """x = y - R(y), with R the network's estimate of the noise (equation 1).

    The first and the last convolution have a bias; in between the shift of batch normalisation is the bias, which the
    authors' code keeps at zero. For grey images that makes 556,097 parameters, and 555,137 after `merge_batch_norm`: each of
    15 * 64 scales goes into a weight, each shift into a bias.

    Convolutions start as in the authors' code, N(0, 2 / (9 * 64)) in every layer (He et al., ICCV 2015; for the first layer
    that is by outputs, not inputs). Deviation: scales start at 1, where the authors draw them too.

    Args:
        channels: of the images: 1 grey, 3 RGB.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU()]
        for _ in range(LAYERS - 2):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(WIDTH, channels, 3, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * WIDTH)))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        return x - self.layers(x)


def merge_batch_norm(network: DnCNN) -> DnCNN:
    """A copy in evaluation mode with every batch normalisation folded into the convolution before it."""
    twin = copy.deepcopy(network).eval()
    merge(twin.layers)
    return twin


BASELINES = {"dncnn": Baseline(task="denoise", build=DnCNN, lr_max=1e-3, finish=merge_batch_norm)}
"""The rate is that of its authors' README and code."""
