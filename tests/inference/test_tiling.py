"""Images in tiles: the result of the whole image, from crops that are just large enough."""

import pytest
import torch
from torch import Tensor, nn

from nasir.inference.reach import radius
from nasir.inference.tiling import Tiled
from nasir.layers.deformable import DeformableConv
from nasir.networks.dncnn import DnCNN
from nasir.spaces import hinas, irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSizes


class Recorder(nn.Module):
    """A network that remembers the sizes of the images it was given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(tuple(x.shape))
        return self.inner(x)


def picture(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def derived(operation: str, spread: float = 0.0, downscale: int = 1) -> nn.Module:
    """A network of two layers with one kind of convolution; `spread` is the size of its deformable offsets, in its pixels."""
    cell = tuple(tuple(Edge(input=i, operation=operation) for i in (node, node + 1)) for node in range(2))
    genotype = Genotype(
        space="irnas",
        cells=(cell,),
        path=(0, 1),
        width_factors=(1.0, 2.0),
        residual=True,
        activation="relu",
        downscale=downscale,
    )
    sizes = CellsSizes(width=3, stem_channels=4, aspp_channels=3, aspp_rates=(2, 4))
    torch.manual_seed(0)
    network = irnas.SPACE.build(genotype, sizes, channels=1)
    network.output[1].reset_parameters()  # it starts at zero
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, DeformableConv):
                module.predict.weight.normal_(std=spread / 3)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)  # so that a zero beyond the border is no value like another
                module.bias.normal_(std=0.1)
    return network.eval()


@pytest.mark.parametrize("tile", [16, 23, 40])
@pytest.mark.parametrize("operation", ["conv_3x3", "sep_3x3", "dil_3x3", "skip"])
def test_tiles_give_what_the_whole_image_gives(operation, tile):
    network = derived(operation)
    x = picture(1, 1, 70, 61)
    with torch.no_grad():
        expected, found = network(x), Tiled(network, 1, tile)(x)
    assert (expected - x).std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tile", [16, 37])
@pytest.mark.parametrize("downscale", [2, 3])
@pytest.mark.parametrize(("operation", "spread"), [("conv_3x3", 0.0), ("def_3x3", 1.0), ("def_3x3", 4.0)])
def test_tiles_of_a_network_of_blocks_give_what_the_whole_image_gives(operation, spread, downscale, tile):
    network = derived(operation, spread, downscale)
    x = picture(1, 1, 127, 113)  # sides that are multiples of neither
    tiled = Tiled(network, 1, tile)
    with torch.no_grad():
        expected, found = network(x), tiled(x)
    assert (expected - x).std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert tiled.tiling is not None and tiled.tiling.tiles > 9


def test_crops_begin_and_end_between_two_blocks():
    class Blocks(Recorder):
        downscale = 3

    recorder = Blocks(nn.Conv2d(1, 1, 3, padding=1))  # reach 1, and 2 more for the places in a block
    x = picture(1, 1, 1, 29)
    with torch.no_grad():
        torch.testing.assert_close(Tiled(recorder, 1, 5)(x), recorder.inner(x))
    # tiles of 5 columns read 3 more on either side: 0 to 8, 2 to 13, 7 to 18, 12 to 23, 17 to 28, 22 to 29
    columns = (9, 15, 12, 12, 14, 8)
    assert recorder.sizes == [(1, 1, 1, width) for width in columns]


def test_tiles_give_what_the_whole_image_gives_with_every_digit():
    network = derived("dil_3x3").double()
    x = picture(2, 1, 66, 50, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(Tiled(network, 1, 20)(x), network(x), rtol=0, atol=1e-13)


def test_tiles_of_a_later_network_give_what_the_whole_image_gives():
    cell = ((Edge(input=0, operation="sep_5x5"), Edge(input=1, operation="dil_5x5")),)
    genotype = Genotype(
        space="hinas", cells=(cell,), path=(0, 0), width_factors=(1.0,), residual=False, activation="leaky_relu"
    )
    torch.manual_seed(0)
    sizes = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(6,))
    network = hinas.SPACE.build(genotype, sizes, channels=3).eval()
    x = picture(1, 3, 70, 90)
    with torch.no_grad():
        torch.testing.assert_close(Tiled(network, 3, 32)(x), network(x), rtol=0, atol=1e-5)


def test_a_halo_one_pixel_narrower_would_not_do():
    network = DnCNN(1).double().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1 / (9 * module.in_channels))  # the input's mean over 35x35 pixels, nothing closed
        x = picture(1, 1, 90, 8, dtype=torch.float64)
        crop = network(x[:, :, : 45 + 17])[:, :, :45]
        narrow = network(x[:, :, : 45 + 16])[:, :, :45]
        whole = network(x)[:, :, :45]
    assert radius(network, 1) == 17
    torch.testing.assert_close(crop, whole, rtol=0, atol=1e-14)
    # the last row misses pixels that count by 3^17 ways straight or aslant down, each of weight 9^-17: 8e-9 in all
    assert (narrow - whole).abs().max() > 1e-9


def test_memory_is_bounded_by_the_tile_and_its_halo():
    recorder = Recorder(nn.Conv2d(2, 2, 5, padding=2))  # reach 2
    x = picture(1, 2, 50, 90)
    tiled = Tiled(recorder, 2, 20)
    with torch.no_grad():
        tiled(x)

    # 50 rows in 3 parts of 17, 90 columns in 5 of 18; 2 more pixels on the sides where the image goes on
    rows, columns = (19, 21, 18), (20, 22, 22, 22, 20)
    assert recorder.sizes == [(1, 2, h, w) for h in rows for w in columns]
    assert tiled.tiling is not None
    assert (tiled.tiling.tiles, tiled.tiling.halo, tiled.tiling.largest_offset) == (15, 2, None)
    assert str(tiled.tiling) == "15 tiles of up to 20x20 pixels with a halo of 2"


@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_the_halo_follows_the_largest_offset(spread):
    network = derived("def_3x3", spread).double()
    x = picture(1, 1, 90, 80, dtype=torch.float64)
    tiled = Tiled(network, 1, 30)
    with torch.no_grad():
        torch.testing.assert_close(tiled(x), network(x), rtol=0, atol=1e-10)

    tiling = tiled.tiling
    assert tiling is not None and tiling.largest_offset is not None
    assert tiling.halo > radius(network, 1)
    assert tiling.halo > tiling.largest_offset
    assert (tiling.repeated > 0) == (tiling.largest_offset > 2)
    assert f"reach up to {tiling.largest_offset:.1f} pixels" in str(tiling)


class Far(nn.Module):
    """A deformable convolution whose middle tap alone counts and looks `rows` down."""

    def __init__(self, rows: float) -> None:
        super().__init__()
        self.layer = DeformableConv(1, 1)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[0, 0, 1, 1] = 2.0  # the mask is sigmoid(0) = 1/2
            self.layer.predict.bias[8] = rows  # row offset of tap 4

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def test_a_network_that_looks_seven_rows_down_is_followed_there():
    tiled = Tiled(Far(6.5), 1, 16)
    x = picture(1, 1, 64, 10)
    with torch.no_grad():
        found = tiled(x)

    expected = (x[:, :, 6:] + torch.nn.functional.pad(x[:, :, 7:], (0, 0, 0, 1))) / 2
    torch.testing.assert_close(found[:, :, :58], expected, rtol=0, atol=1e-5)
    assert found[:, :, 58:].abs().max() < 1e-5 + x[:, :, 63:].abs().max() / 2  # zeros beyond the image
    assert tiled.tiling is not None
    assert tiled.tiling.largest_offset == 6.5
    assert tiled.tiling.halo == 1 + 7  # the taps around, and 6.5 pixels rounded up
    assert tiled.tiling.repeated == 1  # the first tile was made for 2 pixels; the others knew


def test_an_offset_beyond_the_image_ends_with_the_image():
    recorder = Recorder(Far(1e9))
    tiled = Tiled(recorder, 1, 8)
    with torch.no_grad():
        found = tiled(picture(1, 1, 20, 12))
    assert found.abs().max() == 0
    assert (1, 1, 20, 12) in recorder.sizes


def test_a_spoiled_image_is_not_restored_for_ever():
    x = picture(1, 1, 20, 20)
    x[..., 3, 3] = torch.nan
    with torch.no_grad():
        assert Tiled(Far(1.0), 1, 8)(x).isnan().any()


def test_small_images_and_tile_0_go_in_one_piece():
    network = derived("conv_3x3")
    for tile, x in ((20, picture(1, 1, 10, 40)), (20, picture(4, 1, 10, 10)), (0, picture(1, 1, 50, 50))):
        tiled = Tiled(network, 1, tile)
        with torch.no_grad():
            torch.testing.assert_close(tiled(x), network(x), rtol=0, atol=1e-6)
        assert tiled.tiling is None


def test_many_small_images_go_as_many_at_a_time_as_a_tile_has_pixels():
    recorder = Recorder(nn.Conv2d(1, 1, 3, padding=1))
    x = picture(7, 1, 10, 10)
    with torch.no_grad():
        found = Tiled(recorder, 1, 18)(x)  # 324 pixels: three images of 100
        torch.testing.assert_close(found, recorder.inner(x))
    assert [size[0] for size in recorder.sizes] == [3, 3, 1]


def test_a_negative_tile_is_refused():
    with pytest.raises(ValueError, match="side of 1 pixel or more, or be 0 for no tiles, got -1"):
        Tiled(nn.Identity(), 1, -1)
