"""The trainings of one candidate of `rl`: a job that knows of no other candidate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nasir.layers.cost import flops_per_pixel, parameters
from nasir.memory import is_exhausted
from nasir.search.contract import Problem
from nasir.search.policy.assistance import Assistance, WithCells
from nasir.search.policy.controller import Draw
from nasir.search.sampling.alone import build, score
from nasir.search.sampling.away import unpacked
from nasir.search.sampling.tokens import outline
from nasir.spaces.contract import Genotype


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be done with a candidate."""

    number: int
    draw: Draw
    stages: tuple[int, ...]  # 0: the first training, 1: the second
    before: Mapping[str, Any] | None = None  # what `attempt` gave for the first, where only the second is to be done


def assist(problem: Problem, known: Mapping[str, Any]) -> Assistance:
    """In a worker: what helps trainings, of weights that are known."""
    return Assistance(unpacked(problem), known)


def attempt(assistance: Assistance, trial: Trial) -> dict[str, Any]:
    """Train and score a candidate.

    Returns:
        `candidate` as it is recorded, with `failure` where it failed; `flops` of each training; `weights`, with those of
        auxiliary cells, where a second training may follow, else None.
    """
    problem, draw = assistance.problem, trial.draw
    genotype = problem.space.from_tokens(problem.of_space, draw.tokens)
    candidate: dict[str, Any] = {
        "genotype": problem.space.to_json(genotype), "tokens": list(draw.tokens), "log_prob": draw.log_prob,
        "parameters": parameters(outline(problem.space, problem.of_space, problem.channels, genotype)),
        "flops_per_pixel": 0.0, "steps": 0, "is_stopped": False,
    }  # fmt: skip
    flops: list[float] = []
    weights: dict[str, Tensor] | None = None
    if trial.before is not None:
        candidate, flops = dict(trial.before["candidate"]), list(trial.before["flops"])
    try:
        helped = _join(assistance, trial, genotype, candidate)
        for stage in trial.stages:
            _train(assistance, helped, trial.number, stage, candidate, flops.append)
        if trial.stages == (0,) and problem.of_strategy.more_steps > 0:
            weights = {name: value.cpu() for name, value in helped.state_dict().items()}
    except (FloatingPointError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_exhausted(error):
            raise
        candidate["failure"] = str(error)
    return {"candidate": candidate, "flops": flops, "weights": weights}


def _join(assistance: Assistance, trial: Trial, genotype: Genotype, candidate: dict[str, Any]) -> WithCells:
    """The candidate's network with its auxiliary cells, as its first training has left them where there was one."""
    problem = assistance.problem
    network = build(genotype, problem).to(problem.team.device)
    candidate["flops_per_pixel"] = flops_per_pixel(network, problem.channels, problem.config.patch)
    helped = assistance.join(network, genotype)
    if trial.before is not None:
        helped.load_state_dict(trial.before["weights"])
    problem.team.align(helped, trial.number)
    return helped


def _train(
    assistance: Assistance,
    helped: WithCells,
    number: int,
    stage: int,
    candidate: dict[str, Any],
    count: Callable[[float], None],
) -> None:
    """One training and its scores on V, written into `candidate`."""
    problem, section = assistance.problem, assistance.section
    steps = section.steps if stage == 0 else section.more_steps
    candidate["steps"] += steps
    loss = assistance.train(helped, steps, f"candidate {number}", section.lr_max, stage, count)
    if not all(bool(value.isfinite().all()) for value in helped.network.state_dict().values()):
        raise FloatingPointError(f"the weights must be finite, got others after step {steps} of candidate {number}.")
    scores = score(helped.network, problem)
    candidate |= {"train_loss": loss} | scores
    if stage == 0:
        candidate["first_psnr_db"] = scores["psnr_db"]
