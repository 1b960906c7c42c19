"""Networks with their batch normalisation folded away compute what they computed."""

import copy

import pytest
import torch
from torch import nn

from nasir.inference import model
from nasir.inference.fusing import fuse
from nasir.layers.deformable import DeformableConv
from nasir.layers.normalisation import BatchNorm
from nasir.networks import catalogue
from nasir.networks.dncnn import DnCNN, merge_batch_norm
from nasir.spaces import hinas, irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.operations import Style, operation
from nasir.spaces.cells.section import CellsSizes

STYLE = Style(activation="leaky_relu", separable=2)


def shake(network: nn.Module) -> nn.Module:
    """Batch normalisations far from the identity and offsets that are not zero, as after training."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.3, 2)
                if module.affine:
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(std=0.3)
            elif isinstance(module, DeformableConv):
                module.predict.weight.normal_(std=0.2)
        if isinstance(network, irnas.Network | hinas.Network):
            [last] = [module for module in network.output.modules() if isinstance(module, nn.Conv2d)]
            last.reset_parameters()  # it starts at zero
    return network.eval()


SIZES = CellsSizes(width=3, stem_channels=4, aspp_channels=3, aspp_rates=(2,))


def genotype(operations: tuple[str, str]) -> Genotype:
    cell = tuple(tuple(Edge(input=i, operation=operations[i]) for i in (0, 1)) for _ in range(2))
    return Genotype(
        space="irnas", cells=(cell,), path=(0, 1), width_factors=(1.0, 2.0), residual=True, activation="relu"
    )


def derived(operations: tuple[str, str]) -> nn.Module:
    return irnas.SPACE.build(genotype(operations), SIZES, channels=1)


def picture(channels: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(2, channels, 13, 11, generator=torch.Generator().manual_seed(1), dtype=dtype)


def later(path: tuple[int, ...], aspp_channels: int) -> nn.Module:
    """A network of the authors' later space, with the end of the narrowest cell or of the stem in its tail."""
    cells = tuple(
        tuple(tuple(Edge(input=i, operation=("sep_5x5", "dil_5x5")[i]) for i in (0, 1)) for _ in range(2)) for _ in path
    )
    described = Genotype(
        space="hinas", cells=cells, path=path, width_factors=(1.0, 1.5), residual=True, activation="leaky_relu"
    )
    sizes = CellsSizes(width=4, stem_channels=5, aspp_channels=aspp_channels, aspp_rates=(2, 4))
    return hinas.SPACE.build(described, sizes, channels=1)


BASELINES = [(lambda name=name: catalogue.build(name, 3)) for name in ("dncnn", "red30", "memnet", "memnet-shared")]
DERIVED = [(lambda pair=pair: derived(pair)) for pair in (("conv_3x3", "skip"), ("sep_3x3", "dil_3x3"))]
DEFORMED = [lambda: derived(("def_3x3", "def_3x3"))]
LATER = [lambda: later((0, 1), 6), lambda: later((1, 1), 0)]


@pytest.mark.parametrize("build", [*BASELINES, *DERIVED, *DEFORMED, *LATER])
def test_a_fused_network_computes_the_same(build):
    torch.manual_seed(0)
    network = shake(build())
    channels = next(m for m in network.modules() if isinstance(m, nn.Conv2d)).in_channels
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        network, x = network.to(dtype), picture(channels, dtype)
        with torch.no_grad():
            expected = network(x)
            size = expected.abs().max()  # of fresh baselines, which are not trained to stay near 1
            torch.testing.assert_close(fuse(network)(x) / size, expected / size, rtol=0, atol=tolerance)


@pytest.mark.parametrize("build", [*DERIVED, *DEFORMED, *LATER])
def test_no_normalisation_of_a_derived_network_is_left(build):
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fuse(shake(build())).modules())


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", ["conv_3x3", "sep_5x5", "dil_5x5", "def_3x3"])
def test_every_operation_is_fused(name, affine):
    choice = shake(operation(name, 4, affine, STYLE)).double()
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)

    fused = fuse(choice)

    assert any(isinstance(m, nn.BatchNorm2d) for m in choice.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    with torch.no_grad():
        torch.testing.assert_close(fused(x), choice(x), rtol=0, atol=1e-12)


def test_by_hand():
    # conv: 2 x; normalisation: 3 (2 x - 1) / sqrt(4) + 5 = 3 x + 3.5
    layers = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), BatchNorm(1, eps=0.0)).eval()
    with torch.no_grad():
        for tensor, value in (
            (layers[0].weight, 2),
            (layers[1].running_mean, 1),
            (layers[1].running_var, 4),
            (layers[1].weight, 3),
            (layers[1].bias, 5),
        ):
            tensor.fill_(value)

    fused = fuse(layers)

    assert len(fused) == 1
    assert (fused[0].weight.item(), fused[0].bias.item()) == (3.0, 3.5)
    assert fused(torch.full((1, 1, 1, 1), 2.0)).item() == 9.5


def test_a_normalisation_without_a_convolution_before_it_stays():
    layers = nn.Sequential(BatchNorm(2), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU(), BatchNorm(2))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in fuse(layers).modules()) == 2


def test_a_normalisation_by_the_batch_itself_stays():
    layers = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    assert isinstance(fuse(layers)[1], nn.BatchNorm2d)


def test_a_convolution_that_two_sequences_share_is_fused_in_each():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            convolution = nn.Conv2d(1, 2, 3, padding=1)
            self.a, self.b = (nn.Sequential(convolution, BatchNorm(2)) for _ in range(2))
            self.c = nn.Sequential(convolution, nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + 2 * self.b(x) + 3 * self.c(x)

    network = shake(Shared()).double()
    x = picture(1, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fuse(network)(x), network(x), rtol=0, atol=1e-12)


def test_fusing_leaves_the_network_as_it_was():
    network = derived(("def_3x3", "conv_3x3")).train()
    before = copy.deepcopy(network.state_dict())

    fuse(network)

    assert network.training and all(p.requires_grad for p in network.parameters())
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_dncnn_counts_as_before():
    # its published size is that of the merged network, whose biases can be trained
    merged = merge_batch_norm(DnCNN(1))
    assert sum(p.numel() for p in merged.parameters() if p.requires_grad) == 555_137


def test_a_loaded_network_runs_fused_and_is_counted_as_trained(tmp_path):
    network = shake(derived(("conv_3x3", "def_3x3")))
    described = irnas.SPACE.to_json(genotype(("conv_3x3", "def_3x3")))
    model.save(tmp_path / "model", described, SIZES, 1, "denoise", 50.0, {"best": network.state_dict()})

    denoiser = model.load(tmp_path / "model", tile=8)

    x = picture(1, torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(denoiser(x, 50), network(x), rtol=0, atol=1e-4)
    assert list(denoiser.network.state_dict()) == list(network.state_dict())
    assert denoiser.tiling is not None and denoiser.tiling.tile == 8
