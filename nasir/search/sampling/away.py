"""A search's problem on its way to a worker, whose jobs it is the bench of (`nasir.cluster`)."""

from dataclasses import replace
from typing import Any

from nasir import cluster
from nasir.search.contract import Problem
from nasir.training.device import set_determinism


def packed(problem: Problem) -> Problem:
    """A problem as it can be sent: without what is carried on from, and deaf to checkpoints and news.

    Raises:
        ValueError: if a scheduler is named and several processes share the search's batches.
    """
    if cluster.address() is not None and problem.team.size > 1:
        raise ValueError(
            f"search.devices must be 1 with {cluster.SCHEDULER}, whose workers train a candidate each, got "
            f"{problem.team.size}; unset one of them."
        )
    return replace(problem, state=None, save=_ignore, log=_ignore)


def unpacked(problem: Problem) -> Problem:
    """The same in the worker: on the kind of device and in the precision of the process that sent it."""
    set_determinism(problem.team.device, problem.safety.deterministic)
    return problem


def _ignore(*_: Any) -> None:
    """Stands for what only the process does that keeps the search's state."""
