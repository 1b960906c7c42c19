"""The search spaces by name: their supernets and derived networks."""

import functools
from collections.abc import Callable, Sequence

import torch

from nasir.genotype import Genotype
from nasir.spaces import hinas, irnas


def supernet(
    space: str,
    *,
    channels: int,
    nodes: int,
    layers: int,
    width: int,
    width_factors: Sequence[float],
    stem_channels: int,
    residual: bool,
    share_cells: bool,
    share_alpha: bool,
    beta_norm: str,
    activation: str,
    sigmoid: bool,
    partial: int,
    generator: torch.Generator,
) -> irnas.Supernet | hinas.Supernet:
    """The supernet of a space, with weights from torch's default generator.

    Args:
        space: `irnas` or `hinas`.
        channels, nodes, layers, width, width_factors, stem_channels, residual, share_cells, share_alpha, beta_norm,
            activation, sigmoid, partial, generator: see the space's `Supernet`.

    Raises:
        ValueError: for cells that are not shared where the space has none.
    """
    if space == hinas.NAME:
        if not share_cells:
            raise ValueError(
                "search.share_cells must be true with the space hinas, whose cells are always shared by their incoming "
                "paths, got False; set it to true, or take the space irnas."
            )
        build: Callable[..., irnas.Supernet | hinas.Supernet] = hinas.Supernet
    else:
        build = functools.partial(irnas.Supernet, share_cells=share_cells)
    return build(
        channels=channels,
        nodes=nodes,
        layers=layers,
        width=width,
        width_factors=width_factors,
        stem_channels=stem_channels,
        residual=residual,
        share_alpha=share_alpha,
        beta_norm=beta_norm,
        activation=activation,
        sigmoid=sigmoid,
        partial=partial,
        generator=generator,
    )


def network(
    genotype: Genotype, *, channels: int, width: int, stem_channels: int, aspp_channels: int, aspp_rates: Sequence[int]
) -> irnas.Network | hinas.Network:
    """The derived network of a genotype's space, with weights from torch's default generator.

    Args:
        genotype: of either space.
        channels, width, stem_channels, aspp_channels, aspp_rates: see the space's `Network`.
    """
    kind = hinas.Network if genotype.space == hinas.NAME else irnas.Network
    return kind(
        genotype,
        channels=channels,
        width=width,
        stem_channels=stem_channels,
        aspp_channels=aspp_channels,
        aspp_rates=aspp_rates,
    )
