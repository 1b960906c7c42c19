"""SCAN and RESCAN: dilated convolutions with channel attention, applied again to what each stage left of the rain.

RESCAN (Li et al., ECCV 2018), sections 3 and 4: 24 channels, 7 layers, 4 stages. What the text leaves open is taken from the
authors' definition (github.com/XiaLiPKU/RESCAN, config/model.py).
"""

from functools import partial

import torch
from torch import Tensor, nn

from nasir.layers.dilated import DilatedConv
from nasir.networks.baseline import Baseline

WIDTH = 24
SQUEEZED = 6
SLOPE = 0.2
DILATIONS = (1, 1, 2, 4, 8)
"""Of the layers that read the image; two more, 3x3 and 1x1, make the rain of their features."""

State = tuple[Tensor, ...]
"""What a layer leaves for itself in the next stage, its features first; empty in the first stage."""


class Attention(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018): x sigmoid(W_2 relu(W_1 mean(x) + b_1) + b_2), mean over all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(WIDTH, SQUEEZED), nn.ReLU(), nn.Linear(SQUEEZED, WIDTH), nn.Sigmoid(), nn.Unflatten(1, (-1, 1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x.mean(dim=(2, 3)))


class _Unit(nn.Module):
    """`gates` convolutions of the image side by side, and as many of the state.

    Only the former are dilated. A first stage has no state: what it would add, its bias too, is left out.
    """

    gates: int

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.read = DilatedConv(channels, self.gates * WIDTH, 3, padding=dilation, dilation=dilation)


class Conv(_Unit):
    """h = A x: no memory."""

    gates = 1

    def forward(self, x: Tensor, state: State) -> State:
        return (self.read(x),)


class Rnn(_Unit):
    """h = tanh(A x + B h'), with h' the state."""

    gates = 1

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(channels, dilation)
        self.recall = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor, state: State) -> State:
        return (torch.tanh(self.read(x) + self.recall(state[0]) if state else self.read(x)),)


class Gru(_Unit):
    """h = (1 - z) h' + z n, with n = tanh(A_n x + B_n (r h')) and sigmoid gates z and r; z n in the first stage."""

    gates = 3

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(channels, dilation)
        self.recall_gates = nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1)
        self.recall_new = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor, state: State) -> State:
        update, reset, new = self.read(x).chunk(3, dim=1)
        if not state:
            return (torch.sigmoid(update) * torch.tanh(new),)
        h = state[0]
        recalled_update, recalled_reset = self.recall_gates(h).chunk(2, dim=1)
        z, r = torch.sigmoid(update + recalled_update), torch.sigmoid(reset + recalled_reset)
        return ((1 - z) * h + z * torch.tanh(new + self.recall_new(r * h)),)


class Lstm(_Unit):
    """c = f c' + i j and h = o tanh(c), with j = tanh(A_j x + B_j h') and sigmoid gates f, i and o; (c', h') is the state.

    In the first stage c = i j and h = o c, without the tanh, as the authors have it.
    """

    gates = 4

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(channels, dilation)
        self.recall = nn.Conv2d(WIDTH, 4 * WIDTH, 3, padding=1)

    def forward(self, x: Tensor, state: State) -> State:
        summed = self.read(x) + self.recall(state[0]) if state else self.read(x)
        *gates, new = summed.chunk(4, dim=1)
        f, i, o = (torch.sigmoid(gate) for gate in gates)
        if not state:
            c = i * torch.tanh(new)
            return o * c, c
        c = f * state[1] + i * torch.tanh(new)
        return o * torch.tanh(c), c


UNITS: dict[str, type[_Unit]] = {"conv": Conv, "rnn": Rnn, "gru": Gru, "lstm": Lstm}

FRAMES = ("full", "add")


class Layer(nn.Module):
    """A unit, then attention and a leaky ReLU; what comes out is also what the next stage remembers as h'."""

    def __init__(self, unit: str, channels: int, dilation: int) -> None:
        super().__init__()
        self.unit = UNITS[unit](channels, dilation)
        self.attend = nn.Sequential(Attention(), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor, state: State) -> State:
        features, *others = self.unit(x, state)
        return (self.attend(features), *others)


class Rescan(nn.Module):
    """In every stage the same layers estimate rain; the next one reads the image without it.

        O_1 = O,  O_{s+1} = O - R_s,  R_s = f(O_s, state)            frame `full`: each stage estimates all rain
                                      R_s = f(O_s, state) + R_{s-1}  frame `add`: each stage estimates what is left

    where `add` sends no gradient through the R_{s-1} of the sum. SCAN is the unit `conv` in one stage.

    Parameters for RGB images, whatever the number of stages: conv 28,695; rnn 54,735; gru 149,823; lstm 197,367. Weights start
    at torch's default, as the authors'.

    Deviation: the authors minimise the squared error summed over all stages, whereas nasir trains every network with the same
    engine, loss and budget, on the last stage alone (`outputs` gives all of them).

    The attention's mean is over the whole image: a tile of an image is not restored as the image is.

    Args:
        channels: of the images: 1 grey, 3 RGB.
        unit: `conv`, `rnn`, `gru` or `lstm`.
        stages: how often the layers are applied. A unit with memory needs two: in one stage it has nothing to recall, and half
            of its weights would never be used.
        frame: `full` or `add`.

    Raises:
        ValueError: for another unit or frame, or too few stages.
    """

    def __init__(self, channels: int, *, unit: str, stages: int, frame: str = "full") -> None:
        super().__init__()
        if unit not in UNITS:
            raise ValueError(f"unit must be one of {list(UNITS)}, got {unit!r}.")
        if frame not in FRAMES:
            raise ValueError(f"frame must be one of {list(FRAMES)}, got {frame!r}.")
        fewest = 1 if unit == "conv" else 2
        if stages < fewest:
            raise ValueError(
                f"stages must be {fewest} or more with the unit {unit}, got {stages}; for one stage take the unit conv."
            )
        self.stages, self.frame = stages, frame
        inputs = (channels, *[WIDTH] * (len(DILATIONS) - 1))
        self.layers = nn.ModuleList(Layer(unit, *pair) for pair in zip(inputs, DILATIONS, strict=True))
        self.decode = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), Attention(), nn.LeakyReLU(SLOPE), nn.Conv2d(WIDTH, channels, 1)
        )

    def outputs(self, x: Tensor) -> list[Tensor]:
        """The restored images O - R_s of all stages, the last one last; each of the shape of `x`, (N, C, H, W), not clipped."""
        images: list[Tensor] = []
        states: list[State] = [()] * len(self.layers)
        for _ in range(self.stages):
            h = images[-1] if images else x
            for index, layer in enumerate(self.layers):
                states[index] = layer(h, states[index])
                h = states[index][0]
            rain = self.decode(h)
            if self.frame == "add" and images:
                rain = rain + (x - images[-1]).detach()
            images.append(x - rain)
        return images

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        return self.outputs(x)[-1]


BASELINES = {
    f"rescan-{unit}": Baseline(task="derain", build=partial(Rescan, unit=unit, stages=4), lr_max=5e-3)
    for unit in ("conv", "rnn", "gru", "lstm")
}
"""Adam from 5e-3, as its authors' settings."""
