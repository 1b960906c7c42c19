"""MemNet M6R6: memory blocks whose gates read everything that came before.

MemNet (Tai et al., ICCV 2017), sections 3 and 4: 6 memory blocks of 6 recursions, 64 channels, 80 convolutions. What the text
leaves open is taken from the authors' definition for training (github.com/tyshiwo/MemNet, MemNet_M6R6_80C64_train.prototxt).
"""

from functools import partial

import torch
from torch import Tensor, nn

from nasir.networks.baseline import Baseline

BLOCKS = 6
RECURSIONS = 6
WIDTH = 64


class MemoryBlock(nn.Module):
    """Recursions on the last memory, then a gate over all memories and all recursions.

        H_0 = B_{m-1},  H_r = H_{r-1} + conv_b(relu(norm_b(conv_a(relu(norm_a(H_{r-1}))))))
        B_m = gate([B_0, ..., B_{m-1}, H_1, ..., H_6]),  gate: batch normalisation, ReLU, 1x1 convolution

    Args:
        memories: m, how many memories (B_0 to B_{m-1}) the block reads.
        share: whether the recursions have the same two convolutions. Each has its own batch normalisations either way,
            because each sees features of another size.
    """

    def __init__(self, memories: int, share: bool) -> None:
        super().__init__()
        self.norms_a, self.norms_b = (nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in range(RECURSIONS)) for _ in range(2))
        self.convs_a, self.convs_b = (
            nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(1 if share else RECURSIONS))
            for _ in range(2)
        )
        read = WIDTH * (memories + RECURSIONS)
        self.gate = nn.Sequential(nn.BatchNorm2d(read), nn.ReLU(), nn.Conv2d(read, WIDTH, 1))

    def forward(self, memories: list[Tensor]) -> Tensor:
        """Compute B_m, shape (N, 64, H, W), from B_0 to B_{m-1}, each of that shape."""
        h, recursions = memories[-1], []
        for r in range(RECURSIONS):
            c = r % len(self.convs_a)  # 0 if shared
            inner = self.convs_a[c](torch.relu(self.norms_a[r](h)))
            h = h + self.convs_b[c](torch.relu(self.norms_b[r](inner)))
            recursions.append(h)
        return self.gate(torch.cat([*memories, *recursions], dim=1))


class MemNet(nn.Module):
    """Each memory gives an image, x_m = x + recon(relu(norm_m(B_m))) with one `recon` for all; the result is sum_m w_m x_m.

    Parameters for grey images, trainable, every convolution with a bias and every batch normalisation with scale and shift:

    - not shared, 2,911,177: the authors' definition for testing, which repeats each convolution under a name of its own;
    - shared, 695,497: the paper, and the authors' definition for training, where a block's recursions name the same two
      convolutions and their batch normalisations are their own. 676,998 of them are the weights of convolutions and the six
      w_m, which fits the 0.677 M recalled (not verified) of the paper; the others are biases (1,217) and batch normalisation
      (17,282).

    Convolutions start at N(0, 2 / inputs) with biases 0 ("MSRA", as the authors have it). Deviations from the authors: w_m
    starts at 1/6, not at Caffe's 1, so that the sum starts as an image and not as six; and they minimise the squared error of
    all six x_m and of the sum, whereas nasir trains every network with the same engine, loss and budget, on the sum alone
    (`outputs` gives all seven).

    Args:
        channels: of the images: 1 grey, 3 RGB.
        share: see `MemoryBlock`.
    """

    def __init__(self, channels: int, share: bool) -> None:
        super().__init__()
        self.input = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, WIDTH, 3, padding=1))
        self.blocks = nn.ModuleList(MemoryBlock(m, share) for m in range(1, BLOCKS + 1))
        self.recon_norms = nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in range(BLOCKS))
        self.recon = nn.Conv2d(WIDTH, channels, 3, padding=1)
        self.image_weights = nn.Parameter(torch.full((BLOCKS,), 1 / BLOCKS))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """The images x_1 to x_6 and, last, their weighted sum; each of the shape of `x`, (N, C, H, W), not clipped."""
        memories = [self.input(x)]
        for block in self.blocks:
            memories.append(block(memories))
        images = [
            x + self.recon(torch.relu(norm(memory)))
            for norm, memory in zip(self.recon_norms, memories[1:], strict=True)
        ]
        return [*images, (self.image_weights.view(-1, 1, 1, 1, 1) * torch.stack(images)).sum(dim=0)]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        return self.outputs(x)[-1]


BASELINES = {
    "memnet": Baseline(task="denoise", build=partial(MemNet, share=False), lr_max=1e-3),
    "memnet-shared": Baseline(task="denoise", build=partial(MemNet, share=True), lr_max=1e-3),
}
"""Its authors use SGD from 0.1 with gradients clipped to 0.01, which does not carry over to Adam; the rate is our choice."""
