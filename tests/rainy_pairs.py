"""Scenes in three kinds of drawn rain, each with its own direction and its own tone, and a little network for them."""

import numpy as np

from nasir.spaces.cells.genotype import Edge, Genotype

GENOTYPE = Genotype(
    space="irnas",
    cells=(((Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="conv_3x3")),),),
    path=(0, 1),
    width_factors=(1.0, 2.0, 4.0),
    residual=True,
    activation="relu",
)

WAYS = ((1, 0), (1, 1), (0, 1))
"""Pixels down and to the right from one point of a streak to the next, of each kind of rain."""
DARKENS = (-0.12, 0.0, 0.12)
"""The middle level, by each kind."""


def rainy(number: int, kind: int) -> np.ndarray:
    """A smooth scene beside the same in rain of a kind, shape (96, 128, 6)."""
    random = np.random.default_rng(number)
    small = random.random((3, 4, 3))
    clean = np.kron(small, np.ones((32, 32, 1))) * 0.8 + 0.05 + 0.02 * random.random((96, 128, 1))
    noise = random.random((96, 128))
    streaks = sum(np.roll(noise, (WAYS[kind][0] * n, WAYS[kind][1] * n), (0, 1)) for n in range(12)) / 12
    degraded = clean + DARKENS[kind] * 4 * clean * (1 - clean) + 0.6 * (streaks - 0.5)[..., None]
    return np.rint(np.clip(np.concatenate([clean, degraded], axis=2), 0, 1) * 255).astype(np.uint8)
