"""Selection by what the score misses, when the search has ended, in place of the largest logits.

Wang et al., ICLR 2021 (DARTS-PT). What is removed and in which order is the space's (`Relaxed.select`); here are the score on
V and the tuning on W in between. Nothing of it is in a checkpoint: the last one of the search, which its caller must not
remove before the selection has ended, has the kept supernet, and the seed gives orders and batches. A selection that was
killed is repeated from there and ends the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nasir.data.pictures.collection import Sample
from nasir.spaces.contract import Relaxed
from nasir.training.loop import Descent
from nasir.training.validation import validate


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A supernet whose architecture says what was selected."""

    tensors: dict[str, Tensor]  # its state dict
    score: float  # on V
    steps: int  # of tuning


def select(
    relaxed: Relaxed,
    kept: Mapping[str, Tensor],
    descent: Descent,
    *,
    steps: int,
    images_v: Mapping[str, Sample],
    sigmas: Sequence[float],
    seed: int,
) -> Selected:
    """Select operations by their removal from the kept supernet, of which no fading skip is left.

    Args:
        relaxed: the supernet; changed.
        kept: the state dict to start from.
        descent: the search's; its optimiser is a fresh one, at the rate of the tuning.
        steps: of the weights after each choice.
        images_v: V.
        sigmas: its noise levels.
        seed: of V's keyed noise, and of the orders and batches.
    """
    network, team, done = relaxed.network, descent.team, 0
    generator = torch.Generator().manual_seed(seed)
    tuning = replace(descent, generator=generator, of="the selection's tuning")
    network.load_state_dict(kept)

    def score() -> float:
        return team.score(lambda images: validate(network, images, sigmas, seed), images_v)["score"]

    def tune() -> None:
        nonlocal done
        for _ in range(steps):
            done += 1
            tuning.descend(tuning.draw(), done)

    relaxed.select(score, tune, generator)
    tensors = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    return Selected(tensors=tensors, score=score(), steps=done)
