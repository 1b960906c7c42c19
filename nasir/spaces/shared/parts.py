"""The parts of a network, made for it or shared with others.

A part is known by its name: the same name, the same part. So a network is a path through all parts, and training one path trains
a part of many (Guo et al., ECCV 2020).
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

Take = Callable[[str, Callable[[], nn.Module]], nn.Module]
"""Gives the part of a network that has a name: what the function makes, or what other networks have under that name, too."""


def fresh(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """The `Take` of a network of its own."""
    return make()


class SharedParts:
    """All parts of all networks of a space.

    They always have batch normalisation, whatever `space.norm` says of the networks that are trained alone: a part that sees the
    results of ever other parts needs it. Without it a search of 3,000 steps ended at the noisy input.

    Args:
        assemble: builds a genotype's network, at the sizes at which a search trains candidates, out of parts that are taken.
        genotypes: in which every part stands at least once.
        seed: of the weights.
    """

    def __init__(self, assemble: Callable[[Any, Take], nn.Module], genotypes: Iterable[Any], seed: int) -> None:
        self._assemble = assemble
        self.network = nn.ModuleDict()
        torch.manual_seed(seed)
        for genotype in genotypes:
            self.path(genotype)

    def path(self, genotype: Any) -> nn.Module:
        """The network of a genotype, made of shared parts."""
        return self._assemble(dataclasses.replace(genotype, norm="batch"), self._take)

    def _take(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        if name not in self.network:
            self.network[name] = make()
        return self.network[name]
