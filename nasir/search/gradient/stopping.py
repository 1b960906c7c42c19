"""When to end a search early: after the warm-up a rule is asked at each score on V.

DARTS finds worse networks the longer it runs while `skip` wins edge after edge (Liang et al., DARTS+, arXiv:1909.06035);
the rules are DARTS+'s two and the plain one of training. The conference version of the authors' work (HiNAS, CVPR 2020) says
that it stops early and not when; their released code has no rule.

    none         never
    skip_count   a derived cell has two or more `skip`
    rank_stable  on every edge the learnable operations have stood in one order for `patience` scores
    val_plateau  the best score since the warm-up has not been bettered for `patience` scores
"""

from collections.abc import Sequence

SKIPS = 2
"""`skip` in one derived cell that end a search under `skip_count` (DARTS+)."""


def is_due(rule: str, *, patience: int, skips: float, stable: float, scores: Sequence[float]) -> bool:
    """Whether `rule` ends the search now.

    Args:
        rule: a name from the list above.
        patience: scores on V to wait, for `rank_stable` and `val_plateau`.
        skips: the most `skip` that one derived cell has now.
        stable: for how many scores the ranking of operations has not changed.
        scores: all scores since the warm-up, in order, the present one last.

    Raises:
        ValueError: for an unknown rule.
    """
    if rule == "none":
        return False
    if rule == "skip_count":
        return skips >= SKIPS
    if rule == "rank_stable":
        return stable >= patience
    if rule == "val_plateau":
        return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])
    raise ValueError(f"a stopping rule must be none, skip_count, rank_stable or val_plateau, got {rule!r}.")
