"""Blocks of pixels as channels and back, by hand and without loss."""

import pytest
import torch
from torch import nn

from nasir.layers.downscaling import enlarge, shrink


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 7), (6, 4), (9, 12)], ids=str)
def test_images_of_any_size_come_back_to_the_bit(size, factor):
    x = torch.randn(2, 3, *size)
    small = shrink(x, factor)
    assert small.shape == (2, 3 * factor**2, -(-size[0] // factor), -(-size[1] // factor))
    assert torch.equal(enlarge(small, factor, x), x)


@pytest.mark.parametrize("factor", [2, 3])
def test_where_the_sides_are_multiples_it_is_torchs_own(factor):
    x = torch.randn(2, 3, 4 * factor, 2 * factor)
    assert torch.equal(shrink(x, factor), nn.PixelUnshuffle(factor)(x))
    small = torch.randn(2, 3 * factor**2, 4, 2)
    assert torch.equal(enlarge(small, factor, x), nn.PixelShuffle(factor)(small))


def test_the_pixels_of_a_block_by_hand_and_the_last_ones_again():
    # a block's channels are its pixels row by row; a third row and column of blocks' width are filled up with the last
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]).view(1, 1, 3, 3)
    blocks = shrink(x, 2)[0].permute(1, 2, 0)
    assert blocks.tolist() == [
        [[1.0, 2.0, 4.0, 5.0], [3.0, 3.0, 6.0, 6.0]],
        [[7.0, 8.0, 7.0, 8.0], [9.0, 9.0, 9.0, 9.0]],
    ]
