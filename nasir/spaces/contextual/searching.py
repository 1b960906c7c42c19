"""What a search needs of a space of contextual cells: random genotypes. It has no supernet."""

import torch

from nasir.spaces import contract
from nasir.spaces.contextual.genotype import Genotype
from nasir.spaces.contextual.section import ContextualSection
from nasir.spaces.contract import random_tokens


def random_genotype(space: str, section: ContextualSection, generator: torch.Generator) -> Genotype:
    """A random genotype, every choice as likely as its rivals."""
    found = contract.find(space)
    genotype: Genotype = found.from_tokens(section, random_tokens(found, section, generator))
    return genotype
