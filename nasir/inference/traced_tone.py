"""The estimate of a picture's tone, and its taking back, as one graph of tensor operations: what an exporter can follow.

`nasir.inference.tone` counts windows and mirrors short sides in Python, anew for each image. Here there are as many windows for
every size: those that an image has no room for count as more textured than any other, and none of them is read.
"""

import math

import torch
from torch import Tensor, nn

from nasir.inference.tone import APART, FLOOR, LEAST, LEVELS, LUMA, MOST, SHARES, WINDOW, Tone, bins, knots

DOUBLED = math.ceil(math.log2(WINDOW))
"""Times that a side of one pixel is mirrored until it is as long as a window."""


class TracedTone(nn.Module):
    """`nasir.inference.tone.Tone.undo` for any number of images of any size, up to rounding."""

    weight: Tensor
    bias: Tensor
    curves: Tensor
    luma: Tensor
    bins: Tensor
    down: Tensor
    right: Tensor
    clean: Tensor

    def __init__(self, tone: Tone) -> None:
        super().__init__()
        turn = 2 * math.pi / WINDOW * torch.outer(torch.arange(WINDOW), torch.arange(WINDOW)).double()
        hann = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64)
        waves = torch.stack([turn.cos(), -turn.sin()]) * hann  # (2, frequency, pixel): real and imaginary parts
        parts = {
            "weight": tone.weight,
            "bias": tone.bias,
            "curves": tone.curves,
            "luma": torch.tensor(LUMA).view(1, 3, 1, 1),
            "bins": bins().T,
            "down": waves.float(),
            "right": waves[:, : WINDOW // 2 + 1].transpose(1, 2).float(),
            "clean": torch.from_numpy(knots()),
        }
        for name, tensor in parts.items():
            self.register_buffer(name, tensor.contiguous())

    def forward(self, images: Tensor) -> Tensor:
        """Take the tone of each image back, shape (N, 3, H, W)."""
        logits = self._texture(images) @ self.weight.T + self.bias
        added = (logits.softmax(1) @ self.curves).double()
        ends = torch.cat([added[:, :1], added, added[:, -1:]], dim=1)
        steps = torch.arange(LEVELS + 2, device=images.device)
        reached = torch.where(steps[:, None] >= steps, (self.clean + ends)[:, None], -1.0).amax(2) + steps * LEAST
        reached = reached.view(-1, LEVELS + 2, 1, 1, 1)
        degraded = images.double()
        clean = torch.zeros_like(degraded)
        for number in range(LEVELS + 1):
            share = (degraded - reached[:, number]) / (reached[:, number + 1] - reached[:, number])
            clean = clean + share.clamp(0, 1) * (self.clean[number + 1] - self.clean[number])
        return clean.float()

    def _texture(self, images: Tensor) -> Tensor:
        """`nasir.inference.tone.texture` of each image, shape (N, FEATURES)."""
        luma = (images * self.luma).sum(1)
        rows, is_row = _windows(images.shape[2], images.device)
        columns, is_column = _windows(images.shape[3], images.device)
        windows = luma.index_select(1, rows).index_select(2, columns)
        windows = windows.reshape(-1, MOST, WINDOW, MOST, WINDOW).transpose(2, 3).reshape(-1, MOST**2, WINDOW, WINDOW)
        windows = windows - windows.mean((2, 3), keepdim=True)
        real = self.down[0] @ windows @ self.right[0] - self.down[1] @ windows @ self.right[1]
        imaginary = self.down[0] @ windows @ self.right[1] + self.down[1] @ windows @ self.right[0]
        power = (real.square() + imaginary.square() + FLOOR).log().flatten(2)
        is_there = (is_row[:, None] & is_column).reshape(1, -1, 1)
        ordered = torch.where(is_there, power, torch.inf).sort(dim=1).values
        last = (is_row.sum() * is_column.sum() - 1).float()
        ranks = torch.tensor(SHARES, device=images.device) * last
        lower, upper = (ordered.index_select(1, rank.long()) for rank in (ranks.floor(), ranks.ceil()))
        typical = lower + (upper - lower) * (ranks - ranks.floor()).view(1, -1, 1)
        return (typical @ self.bins).flatten(1)


def _windows(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Along a side: where the pixels of MOST windows lie, shape (MOST * WINDOW,), and which windows there are, shape (MOST,)."""
    length = torch.arange(side, device=device)[-1:] + 1  # a number would be kept as it is for the exporter's example
    whole = length
    for _ in range(DOUBLED):
        whole = torch.where(whole < WINDOW, whole * 2, whole)
    room = whole - WINDOW
    count = ((room + APART - 1) // APART + 1).clamp(max=MOST)
    numbers = torch.arange(MOST, device=device)
    starts = (numbers * (room.double() / (count - 1).clamp(min=1))).round().long()
    places = (torch.minimum(starts, room)[:, None] + torch.arange(WINDOW, device=device)).reshape(-1) % (2 * length)
    return torch.where(places < length, places, 2 * length - 1 - places), numbers < count
