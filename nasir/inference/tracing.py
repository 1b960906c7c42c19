"""A trained network as one graph of tensor operations, for images of every size: what an exporter can follow.

An exporter runs a network once and keeps the operations that it met. Two things that are decided anew for each image in Python
would be kept as they were decided then, and are operations here: how far sides are filled up, and the strips of deformable
convolutions.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasir.inference.fusing import fuse
from nasir.inference.reach import block_of
from nasir.layers.deformable import BORDER, TAPS, DeformableConv

TRIED = ((13, 21), (2, 3))
"""Sides that show how a network fills them up: no multiples of its blocks, and once shorter than they are."""

SAME = 1e-5
"""Largest difference that rounding makes, of intensities in [0, 1]."""


class TracedDeformable(nn.Module):
    """Equation 1 of `nasir.layers.deformable`, tap by tap, with the weights of a layer of that file."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, DeformableConv)
        self.predict, self.weight = layer.predict, layer.weight

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, shape (N, C, H, W); the four neighbours of one tap exist at a time."""
        n, channels, h, w = x.shape
        offset, logits = self.predict(x).split((2 * TAPS, TAPS), dim=1)
        offset = offset.reshape(n, TAPS, 2, h * w)
        whole = offset.floor()
        taps = torch.arange(TAPS, device=x.device).view(-1, 1)
        rows = torch.arange(h, device=x.device).view(-1, 1).expand(h, w).reshape(-1)
        columns = torch.arange(w, device=x.device).expand(h, w).reshape(-1)
        row = (whole[:, :, 0].long() + rows + (taps // 3 - 1)).clamp(-BORDER, h) + BORDER
        column = (whole[:, :, 1].long() + columns + (taps % 3 - 1)).clamp(-BORDER, w) + BORDER
        width = w + 2 * BORDER
        image = torch.arange(n, device=x.device).view(-1, 1, 1) * ((h + 2 * BORDER) * width)
        corner = image + row * width + column  # (N, 9, H W)
        places = torch.stack((corner, corner + 1, corner + width, corner + width + 1), dim=-1)
        down, right = (offset - whole).unbind(2)
        shares = torch.stack(((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right), dim=-1)
        shares = shares * logits.sigmoid().reshape(n, TAPS, -1, 1)
        table = F.pad(x, (BORDER,) * 4).permute(0, 2, 3, 1).reshape(-1, channels)
        result = x.new_zeros(())
        for tap in range(TAPS):
            sampled = (F.embedding(places[:, tap], table) * shares[:, tap].unsqueeze(-1)).sum(2)
            result = result + sampled @ self.weight[:, :, tap // 3, tap % 3].t()
        return result.transpose(1, 2).reshape(n, -1, h, w)


class Filled(nn.Module):
    """A network that is given sides which are multiples of its blocks; what was filled up is cut off.

    Args:
        network: works on blocks of pixels.
        block: their side, pixels.
        is_mirrored: sides are filled up as `nasir.layers.downscaling.fill` does; else as `shrink` does.
    """

    def __init__(self, network: nn.Module, block: int, is_mirrored: bool) -> None:
        super().__init__()
        self.network, self.block, self.is_mirrored = network, block, is_mirrored

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W)."""
        height, width = x.shape[-2:]
        whole = x.index_select(2, self._places(height, x.device)).index_select(3, self._places(width, x.device))
        restored = self.network(whole)
        # not as a slice, whose layout an exporter would take for that of every size
        rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        return restored.index_select(2, rows).index_select(3, columns)

    def _places(self, side: int, device: torch.device) -> Tensor:
        """Which row or column of the image each of the filled one is."""
        places = torch.arange((side + self.block - 1) // self.block * self.block, device=device)
        repeated = places.clamp(max=side - 1)
        if not self.is_mirrored:
            return repeated
        mirrored = side - 1 - (side - 1 - places).abs()
        return torch.where(mirrored[-1:] >= 0, mirrored, repeated)  # the last one lies furthest in


def traceable(network: nn.Module, channels: int) -> nn.Module:
    """The function of a network in evaluation mode, of images of any size, without a decision in Python.

    Args:
        network: left as it is; on a CPU.
        channels: of its images.

    Returns:
        A copy with batch normalisation folded into convolutions.

    Raises:
        ValueError: for a network that fills sides up in a way of its own.
    """
    twin = fuse(network)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, DeformableConv):
                setattr(parent, name, TracedDeformable(child))
    for parameter in twin.parameters():
        parameter.data = parameter.data.contiguous()
    block = block_of(twin)
    if block == 1:
        return twin
    images = [torch.rand(1, channels, *sides, generator=torch.Generator().manual_seed(0)) for sides in TRIED]
    with torch.no_grad():
        expected = [twin(image) for image in images]
        for is_mirrored in (False, True):
            filled = Filled(copy.deepcopy(twin), block, is_mirrored).eval()
            pairs = zip(images, expected, strict=True)
            if all(float((filled(image) - wanted).abs().max()) <= SAME for image, wanted in pairs):
                return filled
    raise ValueError(
        f"a network on blocks of {block}x{block} pixels must fill sides up by mirroring or repeating their ends "
        "(nasir.layers.downscaling), got another way; export its weights (--to safetensors)."
    )
