"""What CLEARER's networks are made of (Gou et al., NeurIPS 2020, section 3.1): stem, transitions, parallel and fusion modules.

Features are lists of branches, the first at full resolution, each further one at half of that before it; branch i has the shape
(N, c_i, H / 2^i, W / 2^i), and H and W are multiples of 2^(branches - 1). No convolution has a bias, but without normalisation,
which has one, all have.

Without normalisation sums and ReLUs overwrite a convolution's own output, which nothing else reads: at full resolution memory is
what takes time. What `BatchNorm` gives is a view to autograd, and may not be overwritten.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate

from nasir.layers.normalisation import BatchNorm

Branches = list[Tensor]

EXPANSION = 4
"""Output channels of a bottleneck for each channel of its 3x3 convolution (HRNet, Wang et al., TPAMI 2020)."""


def conv(channels_in: int, channels_out: int, side: int, norm: str, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size at stride 1, and its normalisation."""
    layer = nn.Conv2d(channels_in, channels_out, side, stride, side // 2, bias=norm == "none")
    return [layer, BatchNorm(channels_out)] if norm == "batch" else [layer]


def relu(norm: str) -> nn.ReLU:
    """What follows `conv`."""
    return nn.ReLU(inplace=norm == "none")


def add(own: Tensor, other: Tensor, norm: str) -> Tensor:
    """own + other, where `own` is what `conv` gives; overwritten where it may be."""
    return own.add_(other) if norm == "none" else own + other


class Bottleneck(nn.Module):
    """1x1 to c, 3x3, 1x1 to 4 c, beside a shortcut; from channels_in to 4 c channels."""

    def __init__(self, channels_in: int, channels: int, norm: str) -> None:
        super().__init__()
        out = EXPANSION * channels
        self.relu, self.norm = relu(norm), norm
        self.body = nn.Sequential(
            *conv(channels_in, channels, 1, norm), relu(norm), *conv(channels, channels, 3, norm), relu(norm),
            *conv(channels, out, 1, norm),
        )  # fmt: skip
        self.shortcut = nn.Identity() if channels_in == out else nn.Sequential(*conv(channels_in, out, 1, norm))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.relu(add(self.body(x), self.shortcut(x), self.norm))
        return total


def stem(channels: int, width: int, blocks: int, norm: str) -> nn.Sequential:
    """Bottlenecks at full resolution, from the image's channels to 4 width."""
    sides = [channels, *[EXPANSION * width] * blocks]
    return nn.Sequential(*(Bottleneck(side, width, norm) for side in sides[:-1]))


class Transition(nn.Module):
    """Before a cell: the stem's features get the first branch's width, and a branch is added below the lowest.

    Args:
        widths: of all branches.
        branches: that there are; 0 stands for the stem's output, before the first cell.
        norm: batch or none.
    """

    def __init__(self, widths: Sequence[int], branches: int, norm: str) -> None:
        super().__init__()
        lowest = EXPANSION * widths[0] if branches == 0 else widths[branches - 1]
        self.first = nn.Sequential(*conv(lowest, widths[0], 3, norm), relu(norm)) if branches == 0 else nn.Identity()
        added = max(branches, 1)
        self.added: nn.Module | None = None
        if added < len(widths):
            self.added = nn.Sequential(*conv(lowest, widths[added], 3, norm, stride=2), relu(norm))

    def forward(self, x: Branches) -> Branches:
        kept = [self.first(x[0]), *x[1:]]
        return kept if self.added is None else [*kept, self.added(x[-1])]


class Parallel(nn.Module):
    """On each branch two 3x3 convolutions beside a shortcut; branches do not meet."""

    def __init__(self, widths: Sequence[int], norm: str) -> None:
        super().__init__()
        self.relu, self.norm = relu(norm), norm
        self.branches = nn.ModuleList(
            nn.Sequential(*conv(width, width, 3, norm), relu(norm), *conv(width, width, 3, norm)) for width in widths
        )

    def forward(self, x: Branches) -> Branches:
        sums = [add(branch(value), value, self.norm) for branch, value in zip(self.branches, x, strict=True)]
        return [self.relu(total) for total in sums]


class Fusion(nn.Module):
    """Every branch gets the sum of all, each brought to its resolution and width.

    Args:
        widths: of the branches.
        outputs: how many branches come out, the first ones.
        norm: batch or none.
    """

    def __init__(self, widths: Sequence[int], outputs: int, norm: str) -> None:
        super().__init__()
        self.norm = norm
        self.ways = nn.ModuleList(
            nn.ModuleList(self._way(widths, source, target, norm) for source in range(len(widths)))
            for target in range(outputs)
        )

    @staticmethod
    def _way(widths: Sequence[int], source: int, target: int, norm: str) -> nn.Module:
        """From one branch to another: a 1x1 convolution and nearest pixels upwards, 3x3 convolutions of stride 2 downwards."""
        if source == target:
            return nn.Identity()
        if source > target:
            return nn.Sequential(*conv(widths[source], widths[target], 1, norm))
        layers: list[nn.Module] = []
        for step in range(target - source):
            is_last = step == target - source - 1
            layers += conv(widths[source], widths[target if is_last else source], 3, norm, stride=2)
            layers += [] if is_last else [relu(norm)]
        return nn.Sequential(*layers)

    def forward(self, x: Branches) -> Branches:
        return [self._sum(ways, target, x) for target, ways in enumerate(self.ways)]

    def _sum(self, ways: nn.Module, target: int, x: Branches) -> Tensor:
        assert isinstance(ways, nn.ModuleList)
        total = x[target]
        for source, (way, value) in enumerate(zip(ways, x, strict=True)):
            if source < target:
                total = add(way(value), total, self.norm)
            elif source > target:
                upwards = interpolate(way(value), scale_factor=2 ** (source - target), mode="nearest")
                total = add(upwards, total, self.norm)
        return total.relu_() if self.norm == "none" and len(x) > 1 else total.relu()
