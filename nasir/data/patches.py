"""Training patches: seeded random crops of images held in memory as 8 bits, augmented, without work per sample."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


class PatchSampler:
    """Draws batches of patches from images of mixed sizes.

    Images are drawn uniformly, positions uniformly within the image, and each patch is rotated by 0, 90, 180 or 270
    degrees and flipped along either axis with probability 1/2 (IR-NAS, section 4.1). A batch is one gather from one
    flat tensor.

    Args:
        images: name -> 8-bit image, shape (H, W) or (H, W, C); all with the same C.
        patch: side of a patch in pixels.
        device: where the images are kept and the patches come out.

    Raises:
        ValueError: if there is no image, or one is smaller than a patch or not 8 bits.
    """

    def __init__(self, images: Mapping[str, np.ndarray], patch: int, device: torch.device) -> None:
        if not images:
            raise ValueError("expected at least one training image, got none; look at the split.")
        arrays = []
        for name, image in images.items():
            if image.dtype != np.uint8:
                raise ValueError(f"{name} must be an 8-bit image, got {image.dtype}; read it with nasir.data.images.")
            if min(image.shape[:2]) < patch:
                raise ValueError(
                    f"{name} must be at least {patch} pixels on both sides, got {image.shape[1]}x{image.shape[0]}; "
                    "use a smaller patch or leave the image out."
                )
            arrays.append(image if image.ndim == 3 else image[:, :, None])
        sizes = torch.tensor([a.shape[:2] for a in arrays])
        self.patch = patch
        self.heights, self.widths = sizes.T.to(device)
        areas = sizes.prod(dim=1)
        self.starts = (areas.cumsum(0) - areas).to(device)
        channels = arrays[0].shape[2]
        self.pixels = torch.from_numpy(np.concatenate([a.reshape(-1, channels) for a in arrays])).to(device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw patches, shape (count, C, patch, patch), intensities in [0, 1].

        Args:
            count: how many.
            generator: on the CPU; the only source of randomness.
        """
        device, size = self.pixels.device, self.patch
        images = torch.randint(len(self.starts), (count,), generator=generator).to(device)
        positions = torch.rand((2, count), generator=generator, dtype=torch.float64).to(device)
        turns = torch.randint(2, (3, count, 1, 1), generator=generator).bool().to(device)
        top = (positions[0] * (self.heights[images] - size + 1)).long()
        left = (positions[1] * (self.widths[images] - size + 1)).long()

        # A rotation is a transposition after flips, so three coin flips draw all eight symmetries of the square alike.
        line = torch.arange(size, device=device)
        rows, columns = line.view(1, size, 1), line.view(1, 1, size)
        rows, columns = torch.where(turns[0], columns, rows), torch.where(turns[0], rows, columns)
        rows = torch.where(turns[1], size - 1 - rows, rows)
        columns = torch.where(turns[2], size - 1 - columns, columns)
        offset = (self.starts[images] + top * self.widths[images] + left).view(-1, 1, 1)
        index = offset + rows * self.widths[images].view(-1, 1, 1) + columns
        return self.pixels[index].permute(0, 3, 1, 2).float().div_(255).contiguous()
