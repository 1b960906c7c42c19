"""Is the search collapsing? What is looked at with every score on V, whatever the space."""

from collections.abc import Callable

import torch
from torch import Tensor

from nasir.spaces.contract import Relaxed


def rank_facts(now: Tensor, before: Tensor | None, stable: float) -> dict[str, float]:
    """How much the ranking of the choices has moved since the score before.

    Args:
        now: the place of each choice among its rivals, 0 = strongest, shape (..., choices).
        before: the same at the score before; None if there was none since the warm-up.
        stable: `rank_stable_scores` of the score before.

    Returns:
        `rank_stable_scores`: for how many scores all rankings have been the same, 0 after a change or at the first score.
        With a score before, also `rank_correlation`: Spearman's rho of the two rankings, mean over decisions.
    """
    if before is None:
        return {"rank_stable_scores": 0.0}
    count = now.shape[-1]
    rho = 1 - 6 * (now - before).square().sum(dim=-1) / (count * (count**2 - 1))
    return {
        "rank_stable_scores": stable + 1 if torch.equal(now, before) else 0.0,
        "rank_correlation": rho.mean().item(),
    }


def watch(
    relaxed: Relaxed, *, before: Tensor | None, stable: float, score: float, rescore: Callable[[], float]
) -> dict[str, float]:
    """What is looked at with every score on V.

    Args:
        relaxed: the supernet; changed for the call only.
        before, stable: see `rank_facts`.
        score: of the supernet on V.
        rescore: scores the supernet as it is at the call.

    Returns:
        `derived_skips` (`Relaxed.skips`), what `rank_facts` gives, and `discretisation_gap`: `score` less that of the
        supernet with its architecture one-hot at what it derives to and everything else as it is. That is no score of the
        derived network: what was not chosen may still reach the output.
    """
    with relaxed.discretised():
        gap = score - rescore()
    return {
        "derived_skips": relaxed.skips(),
        **rank_facts(relaxed.ranking(), before, stable),
        "discretisation_gap": gap,
    }
