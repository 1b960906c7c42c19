"""Images of any size through a network in bounded memory: tiles with a halo as wide as the network's reach.

Why the tiles fit without a seam. A tile is restored from a crop: the tile and a halo of h real pixels around it, as far as
the image goes. Call a value inside the network right if it is the one that the whole image would give at its place. In the
input all of the crop is right. A convolution of radius r makes a value right if those within r are, for beyond the border of
the image both runs see the same zeros; only values within r of a cut edge may turn wrong. A deformable convolution predicts
its offsets from within 1 pixel and then reads within 1 + m, where m bounds the offsets that it predicts: radius 1 + m. So
wrong values come at most r further in with each layer, along the longest path of layers by the network's reach, and
h = reach keeps them out of the tile (`nasir.inference.reach`).

m is not known before the run. Each deformable layer reports the largest offset that it predicts in the crop; if that passes
the m that the halo was made for, the crop is enlarged and restored again. This ends at the latest with the whole image, of
which nothing is cut. Offsets at wrong values count too: that only makes the halo wider.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from nasir.inference.reach import block_of, deformable_layers, radius
from nasir.layers.deformable import TAPS, DeformableConv

TILE = 512
"""Side of a tile, pixels, where nobody says otherwise: a photograph of 481x321 pixels goes in one piece."""

OFFSET = 2
"""The offsets that the first crop is made for, pixels."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How images were cut; of several images the largest values."""

    tile: int  # side of the tiles, pixels; those at the right and at the bottom may be narrower
    halo: int  # pixels read around a tile
    largest_offset: float | None  # pixels, met in a deformable convolution; None without one
    tiles: int  # in all
    repeated: int  # crops restored again with a wider halo, in all

    def __str__(self) -> str:
        """For a person: "24 tiles of up to 512x512 pixels with a halo of 26"."""
        text = f"{self.tiles} tiles of up to {self.tile}x{self.tile} pixels with a halo of {self.halo}"
        if self.largest_offset is None:
            return text
        return f"{text}, for deformable convolutions that reach up to {self.largest_offset:.1f} pixels out of their way"


class Tiled:
    """A network as a function of images of any size.

    Args:
        network: in evaluation mode, every layer with stride 1 unless it works on blocks of pixels, no pooling over the image.
        channels: of its input.
        tile: side of a tile in pixels. Images of at most tile * tile pixels go through in one piece, and so does every
            image if it is 0. Memory is that of one crop (a tile and its halo) besides the image and the result.

    Attributes:
        tiling: how images were cut so far; None if none was.

    Raises:
        ValueError: if `tile` is negative.
    """

    def __init__(self, network: nn.Module, channels: int, tile: int) -> None:
        if tile < 0:
            raise ValueError(f"a tile must have a side of 1 pixel or more, or be 0 for no tiles, got {tile}.")
        self.network = network
        self.channels = channels
        self.tile = tile
        self.tiling: Tiling | None = None
        self._offsets = [OFFSET] * len(self._deformable)
        self._radii: dict[tuple[int, ...], int] = {}

    @cached_property
    def _deformable(self) -> list[DeformableConv]:
        return deformable_layers(self.network)

    def __call__(self, noisy: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W), on any device; the result is on the network's.

        Equal to the network's output for the whole images up to the rounding of float32, below 1e-5.

        Raises:
            ValueError: for an image that has to be cut, if the network has no bounded reach (`nasir.inference.reach`).
        """
        device = next(self.network.parameters()).device
        height, width = noisy.shape[-2:]
        if self.tile == 0 or len(noisy) * height * width <= self.tile**2:
            return self._run(noisy.to(device))
        if height * width <= self.tile**2:  # many small images
            count = self.tile**2 // (height * width)
            return torch.cat([self._run(part.to(device)) for part in noisy.split(count)])
        restored = torch.empty(noisy.shape, dtype=noisy.dtype, device=device)
        rows, columns = _parts(height, self.tile), _parts(width, self.tile)
        for image in range(len(noisy)):
            for top, bottom in rows:
                for left, right in columns:
                    restored[image, :, top:bottom, left:right] = self._restore(
                        noisy[image : image + 1], (top, bottom, left, right), device
                    )
        return restored

    def _restore(self, image: Tensor, tile: tuple[int, int, int, int], device: torch.device) -> Tensor:
        """One tile, shape (C, bottom - top, right - left), from the smallest crop that is known to be large enough."""
        (top, bottom, left, right), (height, width) = tile, image.shape[-2:]
        repeated = 0
        while True:
            halo = self._radius()
            first_row, last_row = self._widen(top, bottom, halo)
            first_column, last_column = self._widen(left, right, halo)
            crop = image[..., first_row:last_row, first_column:last_column].to(device)
            with self._watch() as met:
                output = self._run(crop)
            sides = max(height, width)
            needed = [max(m, math.ceil(min(one, sides))) for m, one in zip(self._offsets, met, strict=True)]
            if needed == self._offsets or crop.shape[-2:] == image.shape[-2:]:
                self._note(halo, met, repeated)
                return output[0, :, top - first_row : bottom - first_row, left - first_column : right - first_column]
            self._offsets = needed
            repeated += 1

    def _widen(self, first: int, last: int, halo: int) -> tuple[int, int]:
        """The rows or columns of a crop around those of a tile, first and last + 1; the end may lie outside of the image.

        They begin and end between two blocks of a network that works on blocks of pixels, as the whole image does.
        """
        block = block_of(self.network)
        return max(0, first - halo) // block * block, math.ceil((last + halo) / block) * block

    def _run(self, noisy: Tensor) -> Tensor:
        restored: Tensor = self.network(noisy.contiguous(memory_format=torch.channels_last))
        return restored

    def _radius(self) -> int:
        key = tuple(self._offsets)
        if key not in self._radii:
            self._radii[key] = radius(self.network, self.channels, key)
        return self._radii[key]

    @contextmanager
    def _watch(self) -> Iterator[list[float]]:
        """A list that holds, after the run inside, the largest offset of each deformable layer, pixels."""
        met: list[float] = []
        largest: dict[nn.Module, Tensor] = {}
        handles = []
        for layer in self._deformable:

            def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
                offset = output[:, : 2 * TAPS].abs().amax()
                largest[module] = torch.maximum(largest.get(module, offset), offset)

            handles.append(layer.predict.register_forward_hook(note))
        try:
            yield met
        finally:
            for handle in handles:
                handle.remove()
        assert len(largest) == len(self._deformable)  # each layer calls its `predict` once or more
        # a NaN spoils the output anyway and says nothing about the halo
        met += [float(largest[layer.predict].nan_to_num(nan=0.0)) for layer in self._deformable]

    def _note(self, halo: int, met: list[float], repeated: int) -> None:
        before = self.tiling or Tiling(tile=self.tile, halo=0, largest_offset=None, tiles=0, repeated=0)
        offsets = [*met, *([] if before.largest_offset is None else [before.largest_offset])]
        self.tiling = Tiling(
            tile=self.tile,
            halo=max(before.halo, halo),
            largest_offset=max(offsets) if offsets else None,
            tiles=before.tiles + 1,
            repeated=before.repeated + repeated,
        )


def _parts(length: int, most: int) -> list[tuple[int, int]]:
    """Cut range(length) into parts of one size, the last perhaps smaller, at most `most`: (first, last + 1) of each."""
    side = math.ceil(length / math.ceil(length / most))
    return [(first, min(length, first + side)) for first in range(0, length, side)]
