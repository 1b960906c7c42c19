"""DDN (DetailsNet): a residual network that sees only the detail of an image and predicts what to add to the image.

Deep detail network (Fu et al., CVPR 2017), section 3: 26 layers of 3x3 convolutions, 16 channels. What the text leaves open
is taken from the authors' definition for training in TensorFlow. The base layer is that of the guided filter (He, Sun and
Tang, IEEE TPAMI 2013) with the image as its own guide.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from nasir.networks.baseline import Baseline

WIDTH = 16
PAIRS = 12
"""Of layers 2 to 25; each pair has an identity skip."""

RADIUS = 15
"""Of the guided filter's windows, pixels: 31x31."""

EPSILON = 1.0
"""Of the guided filter, in squared intensities of [0, 1]."""

NORM_EPSILON = 1e-3
"""Of batch normalisation: TensorFlow's default, which the authors keep."""

LAST_SCALE = 0.1
"""The last batch normalisation's scale before training."""


def window_mean(x: Tensor, radius: int) -> Tensor:
    """The mean over the (2 radius + 1)^2 window around each pixel, at the border over the part inside the image.

    Rows, then columns: the number of pixels inside is the product of the two. No running sums, so that a pixel depends on
    its window alone, bit for bit.

    Args:
        x: shape (N, C, H, W), any H and W.
        radius: 0 or more.
    """
    side = 2 * radius + 1
    x = F.avg_pool2d(x, (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), stride=1, padding=(0, radius), count_include_pad=False)


def guided_filter(x: Tensor, radius: int, epsilon: float) -> Tensor:
    """Smooth each channel, guided by itself (He et al., equations 5, 6 and 8, with guide and input the same).

        a = var / (var + epsilon),  b = (1 - a) mean,  result = mean(a) x + mean(b)

    with mean and variance over the window around each pixel (see `window_mean`).

    Args:
        x: shape (N, C, H, W).
        radius: of the windows, pixels.
        epsilon: in the square of the unit of `x`; a window of a variance far below it becomes its mean.
    """
    mean = window_mean(x, radius)
    variance = window_mean(x * x, radius) - mean * mean
    a = variance / (variance + epsilon)
    return window_mean(a, radius) * x + window_mean((1 - a) * mean, radius)


def _conv_norm(channels_in: int, channels_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    nn.init.xavier_uniform_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return [conv, nn.BatchNorm2d(channels_out, eps=NORM_EPSILON)]


class DDN(nn.Module):
    """x + f(x - base(x)), with base = `guided_filter` of radius 15 and epsilon 1.

    f: convolution, batch normalisation and ReLU; 12 pairs of these, h + layer(layer(h)); convolution and batch normalisation.
    For RGB images 57,369 parameters, for grey ones 56,787. Each convolution has the bias that TensorFlow gives it, although
    the batch normalisation behind takes it away.

    The authors' images lie in [0, 1], so that epsilon 1 is far above any window's variance (1/4 at most): a <= 0.2, and the
    base is hardly more than a twofold box mean.

    Weights start as the authors' (Glorot and Bengio, AISTATS 2010, uniform; biases 0). Deviations: running statistics follow
    with torch's momentum, ten times as fast as TensorFlow's, for budgets of fewer steps; and the scale of the last batch
    normalisation starts at 0.1, not 1, so that the estimate starts about as strong as rain (a tenth of the range) and not as
    strong as the whole range. The authors' SGD at rate 0.1 takes a scale of 1 down at once, Adam only by its rate at each step.

    Args:
        channels: of the images: 1 grey, 3 RGB.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_conv_norm(channels, WIDTH), nn.ReLU())
        self.pairs = nn.ModuleList(
            nn.Sequential(*_conv_norm(WIDTH, WIDTH), nn.ReLU(), *_conv_norm(WIDTH, WIDTH), nn.ReLU())
            for _ in range(PAIRS)
        )
        self.last = nn.Sequential(*_conv_norm(WIDTH, channels))
        nn.init.constant_(self.last[1].weight, LAST_SCALE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W), intensities in [0, 1]; not clipped."""
        h = self.first(x - guided_filter(x, RADIUS, EPSILON))
        for pair in self.pairs:
            h = h + pair(h)
        return x + self.last(h)


BASELINES = {"ddn": Baseline(task="derain", build=DDN, lr_max=1e-3)}
"""Its authors use SGD from 0.1; the rate is our choice."""
