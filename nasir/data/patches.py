"""Training patches: seeded random crops of images held in memory as 8 bits, augmented, without work per sample."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


class PatchSampler:
    """Draws batches of patches from images of mixed sizes.

    Images are drawn uniformly, positions uniformly within the image, and each patch is rotated by 0, 90, 180 or 270
    degrees and flipped along either axis with probability 1/2 (IR-NAS, section 4.1), or mirrored only. A batch is one
    gather from one flat tensor, which lies on the device; three numbers for each patch, drawn on the CPU, say which
    pixels. They are sent without waiting, so that a GPU gets its next batch while the step before it still runs.

    Args:
        images: name -> 8-bit image, shape (H, W) or (H, W, C); all with the same C.
        patch: side of a patch in pixels.
        device: where the images are kept and the patches come out.
        is_paired: whether the first half of the channels is a clean image and the second its degraded one.
        is_turned: whether patches have all eight orientations, or are mirrored left and right only.

    Raises:
        ValueError: if there is no image, or one is smaller than a patch or not 8 bits.
    """

    def __init__(
        self,
        images: Mapping[str, np.ndarray],
        patch: int,
        device: torch.device,
        is_paired: bool = False,
        is_turned: bool = True,
    ) -> None:
        if not images:
            raise ValueError("expected at least one training image, got none; look at the split.")
        arrays = []
        for name, image in images.items():
            if image.dtype != np.uint8:
                raise ValueError(
                    f"{name} must be an 8-bit image, got {image.dtype}; read it with nasir.data.pictures.images."
                )
            if min(image.shape[:2]) < patch:
                raise ValueError(
                    f"{name} must be at least {patch} pixels on both sides, got {image.shape[1]}x{image.shape[0]}; "
                    "use a smaller patch or leave the image out."
                )
            arrays.append(image if image.ndim == 3 else image[:, :, None])
        sizes = torch.tensor([a.shape[:2] for a in arrays])
        self.patch, self.is_paired, self.is_turned = patch, is_paired, is_turned
        self.heights, self.widths = sizes.T
        areas = sizes.prod(dim=1)
        self.starts = areas.cumsum(0) - areas
        channels = arrays[0].shape[2]
        self.pixels = torch.from_numpy(np.concatenate([a.reshape(-1, channels) for a in arrays])).to(device)

    def draw_pairs(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw clean patches and degraded ones, which are the same where images are not pairs; see `draw`."""
        patches = self.draw(count, generator)
        if not self.is_paired:
            return patches, patches
        clean, degraded = patches.chunk(2, dim=1)
        return clean.contiguous(), degraded.contiguous()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw patches, shape (count, C, patch, patch), intensities in [0, 1].

        Args:
            count: how many.
            generator: on the CPU; the only source of randomness.
        """
        size = self.patch
        images = torch.randint(len(self.starts), (count,), generator=generator)
        positions = torch.rand((2, count), generator=generator, dtype=torch.float64)
        coins = torch.randint(2, (3, count), generator=generator).bool()
        is_turned, is_upside_down, is_mirrored = coins & torch.tensor([[self.is_turned], [self.is_turned], [True]])
        widths = self.widths[images]
        top = (positions[0] * (self.heights[images] - size + 1)).long()
        left = (positions[1] * (widths - size + 1)).long()

        # Pixel (r, c) of a patch lies at start + r * down + c * right in the flat tensor. A rotation is a transposition
        # after flips, so three coin flips draw all eight symmetries of the square alike.
        start = self.starts[images] + top * widths + left
        start += (size - 1) * (is_upside_down * widths + is_mirrored)
        below = widths.where(~is_upside_down, -widths)  # to the next row of the image
        beside = 1 - 2 * is_mirrored.long()  # to the next column
        steps = torch.stack((start, beside.where(is_turned, below), below.where(is_turned, beside)))
        start, down, right = steps.to(self.pixels.device, non_blocking=True).view(3, count, 1, 1)

        line = torch.arange(size, device=self.pixels.device)
        index = start + line.view(1, size, 1) * down + line * right
        patches = self.pixels.index_select(0, index.flatten()).view(count, size, size, -1)
        return patches.permute(0, 3, 1, 2).float().div_(255).contiguous()
