"""The auxiliary cell of a derived network of cells (Nekrasov et al., CVPR 2019, figure 1)."""

from torch import Tensor, nn

from nasir.layers.downscaling import enlarge
from nasir.layers.starting import start_at_zero
from nasir.spaces.cells.cell import DerivedCell
from nasir.spaces.cells.genotype import Genotype
from nasir.spaces.cells.operations import Style, activation, pointwise


class AuxiliaryCell(nn.Module):
    """One more instance of a layer's cell, both of whose inputs are that layer's output, and a 3x3 convolution to an image.

    Args:
        genotype: of the network.
        layer: whose cell and width it has.
        channels: of the images.
        width: of the network's cells of level 0.
        separable: how often a separable convolution is applied.
    """

    def __init__(self, genotype: Genotype, layer: int, *, channels: int, width: int, separable: int) -> None:
        super().__init__()
        self.residual, self.downscale = genotype.residual, genotype.downscale
        style = Style(activation=genotype.activation, separable=separable, norm=genotype.norm)
        out = int(width * genotype.width_factors[genotype.path[layer]])
        ends = genotype.nodes * out
        self.before_last, self.last = (pointwise(ends, out, True, genotype.norm) for _ in range(2))
        self.cell = DerivedCell(genotype.cell_of(layer), out, True, style)
        conv = nn.Conv2d(ends, channels * self.downscale**2, 3, padding=1)
        if self.residual:
            start_at_zero(conv)
        self.output = nn.Sequential(activation(genotype.activation), conv)

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        """Restore images x, shape (N, C, H, W), from the layer's output; not clipped."""
        result = self.output(self.cell(self.before_last(features), self.last(features)))
        result = enlarge(result, self.downscale, x)
        return x - result if self.residual else result
