"""One-shot search: a supernet trained on single paths, then candidates scored with the weights that they share.

SPOS (Guo et al., ECCV 2020): each step trains one path drawn uniformly. FairNAS (Chu et al., ICCV 2021): each step trains a group
of paths in which every choice stands equally often, and follows the sum of their gradients. A step costs one path where the
supernet of `darts` costs all operations of all widths. Afterwards candidates within a window of size are scored on V, their
statistics of batch normalisation set anew on W, and chosen at random or by regularised evolution (Real et al., AAAI 2019). The
best of them that differ may be trained once more, alone and briefly, in rounds of fewer and longer trainings: shared weights tell
the good from the bad, not the best from the good.

The weights follow the loss on W by AdamW under a rate that rises over the first twentieth of the steps and falls by a cosine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasir import cluster, stopping
from nasir.config.reading import require, require_between
from nasir.config.search import SearchConfig
from nasir.config.training import MOST_CANDIDATES, MOST_STEPS, require_rates
from nasir.data.pictures.collection import pair_of
from nasir.inference.fusing import lay_out
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search import contract
from nasir.search.contract import Control, Found, Problem
from nasir.search.sampling import tokens as sampling
from nasir.search.sampling.alone import build, score, train
from nasir.search.sampling.away import packed, unpacked
from nasir.search.sampling.evolution import evolve, select_random
from nasir.search.sampling.finals import apart, rounds
from nasir.search.sampling.statistics import calibration, set_statistics
from nasir.search.sampling.tokens import Tokens, Windowed
from nasir.spaces.contract import Shared, part, random_tokens
from nasir.training import loop
from nasir.training.gradients import finite, gradients
from nasir.training.loop import Descent
from nasir.training.optimisers import weights_optimiser
from nasir.training.safety.guard import Guard
from nasir.training.validation import validate

MOST_ROUNDS = 12
"""Of the finals; the training of each is three times as long."""

CHOICES = {"sampling": ("uniform", "fair"), "selection": ("random", "evolution")}
"""What keys of text may be."""

PROBES = 4
"""Random paths that are scored on V as the training goes: how far it is, not what is chosen."""

KEEP = 20
"""Candidates between two checkpoints."""


@dataclass(frozen=True, kw_only=True)
class OneShotSection(Windowed):
    """What this strategy reads beside the search's section."""

    sampling: str  # uniform (a path a step), fair (a group of paths a step)
    lr_max: float  # of AdamW
    selection: str  # random, evolution
    candidates: int  # that are scored on V
    population: int  # of evolution
    tournament: int  # of evolution
    calibration: int  # batches of W on which a candidate's statistics are set anew
    finalists: int  # the best of the candidates, trained alone and scored again; 0 = none
    apart: int  # tokens, at least, in which a finalist differs from every better one
    final_steps: int  # how long each of them is trained in the first round
    final_rounds: int  # each keeps a third of the one before, trained anew and three times as long

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in CHOICES.items():
            require(
                getattr(self, name) in choices, f"strategy.{name} must be one of {list(choices)}", getattr(self, name)
            )
        require_rates(self, "strategy", ("lr_max",))
        require_between(self, "strategy", ("candidates", "population", "tournament"), 1, MOST_CANDIDATES)
        require_between(self, "strategy", ("calibration", "final_steps"), 1, MOST_STEPS)
        require_between(self, "strategy", ("finalists",), 0, MOST_CANDIDATES)
        require_between(self, "strategy", ("final_rounds",), 1, MOST_ROUNDS)
        require(self.apart >= 0, "strategy.apart must be 0 or more", self.apart)
        require(
            self.tournament <= self.population,
            f"strategy.tournament must not be above strategy.population ({self.population})",
            self.tournament,
        )

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """Of the finals: how many finalists, and steps of each."""
        return rounds(min(self.finalists, self.candidates), self.final_steps, self.final_rounds)


class OneShot(contract.Strategy):
    """This strategy as the search step sees it."""

    name = "one_shot"
    Section = OneShotSection

    def count(self, section: OneShotSection, config: SearchConfig) -> int:
        """Steps, then candidates, then finalists of each round."""
        return config.steps + section.candidates + sum(finalists for finalists, _ in section.rounds)

    def search(self, problem: Problem) -> Found:
        """Train the space's shared weights and choose by them; see `search`."""
        space = problem.space
        share = getattr(part(space.searching), "share", None)
        if share is None:
            raise ValueError(
                f"search.strategy one_shot needs a space with shared weights, got {space.name}, which has none; "
                "take random."
            )
        return search(share(space.name, problem.of_space, problem.channels, problem.seed), problem)

    def rank(self, problem: Problem, found: Found, networks: Sequence[Sequence[int]]) -> list[float]:
        """PSNR of each on V with the shared weights."""
        space, config = problem.space, problem.config
        shared = part(space.searching).share(space.name, problem.of_space, problem.channels, problem.seed)
        shared.network.load_state_dict(found.tensors["supernet"])
        shared.network.to(problem.team.device)
        batches, scores = calibration(problem), []
        for tokens in networks:
            network = shared.path(space.from_tokens(problem.of_space, tokens))
            set_statistics(network, batches)
            scores.append(validate(network, problem.images_v, config.sigmas, problem.seed)["psnr_db"])
        return scores


STRATEGY = OneShot()


def search(shared: Shared, problem: Problem) -> Found:
    """Train the shared weights, on the device of the problem's team, then score candidates.

    Returns:
        The candidate with the best score on V, of the last round of finalists where there are some; `candidates` holds all of
        them, the finalists with `finals`, their scores after training alone in each round. The history has the training's
        news at its steps, each candidate's at `search.steps` plus its number, and each finalist's behind them. `spent_flops`
        counts forward passes: of the paths trained, at the mean of 32 random ones, of each candidate's statistics and score,
        of the finalists' training.

    Raises:
        FloatingPointError: if a loss is not finite; it names the step.
        ValueError: if the window holds no candidate.
    """
    config, section, team = problem.config, problem.of_strategy, problem.team
    if section.rounds:
        packed(problem)  # so that what workers cannot do is refused before the training
    shared.network.to(team.device)
    lay_out(shared.network)
    course = _Course(shared, problem)
    start = course.restore(problem.state) if problem.state is not None else 0
    team.align(shared.network, start)
    course.draw()  # so that an empty window is refused before the training
    shared.network.train()
    loop.run(
        start=start, steps=config.steps, budget=config, advance=course.advance, score=course.probe, history=course.history,
        state=course.state, save=problem.save, log=problem.log, team=team, guard=course.guard, restore=course.rewind,
    )  # fmt: skip
    if section.selection == "random":
        select_random(course.score, course.draw, section.candidates)
    else:
        generator = torch.Generator().manual_seed(problem.seed)
        evolve(
            course.score, course.draw, course.mutate, candidates=section.candidates, population=section.population,
            tournament=section.tournament, generator=generator,
        )  # fmt: skip
    course.play_finals()
    return course.finish()


class _Course:
    """The shared weights in training, and what candidates have scored."""

    def __init__(self, shared: Shared, problem: Problem) -> None:
        config, section = problem.config, problem.of_strategy
        self.shared, self.problem, self.history = shared, problem, list[tuple[int, str, float]]()
        self.candidates: list[dict[str, Any]] = []
        # finalists done before their turn, where several are trained at a time
        self.ahead: dict[int, dict[str, Any]] = {}
        self._known: dict[Tokens, float] = {}
        self._generator = torch.Generator().manual_seed(problem.seed)
        self._drawing = torch.Generator().manual_seed(problem.seed)
        self._batches: list[Tensor] = []
        self.guard = Guard(problem.safety, problem.state)
        weights = list(shared.network.parameters())
        optimiser, rates = weights_optimiser(weights, config, section.lr_max, config.steps)
        self._descent = Descent(
            network=shared.network, weights=weights, optimiser=optimiser, patches=problem.patches_w, sigmas=config.sigmas,
            budget=config, steps=config.steps, parts=config.accumulate, generator=self._generator, team=problem.team,
            section="search", guard=self.guard, **rates,
        )  # fmt: skip
        shapes = [pair_of(sample).clean.shape for sample in problem.images_v.values()]
        self._pixels_step = config.batch * config.patch**2
        self._pixels_scored = section.calibration * self._pixels_step + len(config.sigmas) * sum(
            h * w for *_, h, w in shapes
        )
        probing = torch.Generator().manual_seed(problem.seed)
        self._probes = [tuple(random_tokens(problem.space, problem.of_space, probing)) for _ in range(PROBES)]

    def advance(self, step: int) -> dict[str, float]:
        """One step of the weights, on one path or on a group of them."""
        problem, descent = self.problem, self._descent
        news = {"learning_rate": descent.anneal(step)}
        if problem.of_strategy.sampling == "fair":
            paths = sampling.fair(problem.space, problem.of_space, self._generator)
        else:
            paths = [tuple(random_tokens(problem.space, problem.of_space, self._generator))]
        slopes: dict[nn.Parameter, Tensor] = {}
        losses = []
        for tokens in paths:
            network = self.network(tokens)
            loss = loop.batch_loss(network, descent.draw(), problem.config.ssim_weight, problem.team, descent.parts)
            losses.append(finite(loss, descent.where(step), descent.section))
            own = list(network.parameters())
            for weight, slope in zip(own, gradients(loss, own), strict=True):
                if slope is not None:
                    slopes[weight] = slopes[weight] + slope if weight in slopes else slope
        descent.follow(list(slopes), list(slopes.values()))
        return news | {"train_loss": fmean(losses)}

    def network(self, tokens: Sequence[int]) -> nn.Module:
        """A candidate with the shared weights, in training mode."""
        genotype = self.problem.space.from_tokens(self.problem.of_space, tokens)
        return self.shared.path(genotype).train()

    def probe(self, step: int) -> dict[str, float]:
        """The mean score of a few random paths."""
        scores = [self.validate(self.network(tokens)) for tokens in self._probes]
        return {name: fmean(each[name] for each in scores) for name in scores[0]}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """A candidate's scores on V, its statistics set anew."""
        problem = self.problem
        if not self._batches:  # the same for all candidates
            self._batches = calibration(problem)
        set_statistics(network, self._batches)
        return score(network, problem)

    def draw(self) -> Tokens:
        """A random candidate within the window."""
        problem = self.problem
        return sampling.draw(
            problem.space, problem.of_space, problem.channels, problem.of_strategy.limits, self._drawing
        )

    def mutate(self, parent: Tokens) -> Tokens:
        """A child of a candidate, within the window."""
        problem = self.problem
        return sampling.mutate(
            parent, problem.space, problem.of_space, problem.channels, problem.of_strategy.limits, self._drawing
        )

    def score(self, tokens: Tokens) -> float:
        """A candidate's score, from before the run was stopped if it is known."""
        if tokens in self._known:
            return self._known[tokens]
        problem = self.problem
        scores = self.validate(self.network(tokens))
        chosen = problem.space.from_tokens(problem.of_space, tokens)
        alone = sampling.outline(problem.space, problem.of_space, problem.channels, chosen)
        size = {"parameters": parameters(alone), "flops_per_pixel": self._cost(alone.to_empty(device="cpu"))}
        self.candidates.append({"genotype": problem.space.to_json(chosen), "tokens": list(tokens)} | size | scores)
        self._known[tokens] = scores["score"]
        step = problem.config.steps + len(self.candidates)
        news = scores | {"best_score": max(self._known.values()), "spent_flops": self.spent_flops}
        self.history += [(step, name, value) for name, value in news.items()]
        if problem.team.is_first:
            problem.log(step, news)
            if len(self.candidates) % KEEP == 0 or stopping.is_asked() or self.guard.is_due():
                self.keep()
        return scores["score"]

    @cached_property
    def paths_per_step(self) -> int:
        """How many paths a step trains."""
        problem, generator = self.problem, torch.Generator().manual_seed(0)
        is_fair = problem.of_strategy.sampling == "fair"
        return len(sampling.fair(problem.space, problem.of_space, generator)) if is_fair else 1

    @property
    def spent_flops(self) -> float:
        """Operations of forward passes so far, once the shared weights are trained."""
        steps = [steps for _, steps in self.problem.of_strategy.rounds]
        trained = (sum(steps[: len(one.get("finals", ()))]) for one in self.candidates)
        pixels = (self._pixels_scored + count * self._pixels_step for count in trained)
        alone = (one["flops_per_pixel"] * count for one, count in zip(self.candidates, pixels, strict=True))
        return self._flops_shared + sum(alone)

    @cached_property
    def _flops_shared(self) -> float:
        """Of training the shared weights: the mean cost of random paths for each path of each step."""
        problem = self.problem
        generator = torch.Generator().manual_seed(problem.seed)
        paths = [random_tokens(problem.space, problem.of_space, generator) for _ in range(32)]
        cost = fmean(self._cost(self.network(path)) for path in paths)
        return problem.config.steps * self.paths_per_step * self._pixels_step * cost

    def _cost(self, network: nn.Module) -> float:
        return flops_per_pixel(network, self.problem.channels, self.problem.config.patch)

    @property
    def _drawn(self) -> int:
        """How many candidates were drawn at random, the first of all."""
        section = self.problem.of_strategy
        count = section.candidates if section.selection == "random" else section.population
        return min(int(count), len(self.candidates))

    def play_finals(self) -> None:
        """Train the finalists of each round, each alone, and score them again."""
        problem, section, number = self.problem, self.problem.of_strategy, 0
        if not section.rounds:
            return
        chosen = [self.candidates[place] for place in apart(self.candidates, section.finalists, section.apart)]
        with cluster.pool(problem, unpacked, packed(problem)) as pool:
            for index, (count, steps) in enumerate(section.rounds):
                if index:
                    chosen = _ranked(chosen, index - 1)[:count]
                numbered = dict(enumerate(chosen, start=number + 1))
                number += len(chosen)
                # the others were trained before the run was stopped
                jobs = {
                    place: Final(place, candidate["tokens"], index, steps)
                    for place, candidate in numbered.items()
                    if len(candidate.setdefault("finals", [])) <= index
                }
                for place, outcome in pool.each(play, jobs, self.ahead, self.keep):
                    del self.ahead[place]
                    numbered[place]["finals"].append(outcome["scores"])
                    step = problem.config.steps + len(self.candidates) + place
                    news = {"train_loss": outcome["train_loss"]} | outcome["scores"]
                    self.history += [(step, name, value) for name, value in news.items()]
                    if problem.team.is_first:
                        problem.log(step, news)
                    self.keep()

    def keep(self) -> None:
        """Leave a checkpoint of candidates and finalists."""
        steps = self.problem.config.steps
        if self.problem.team.is_first:
            self.problem.save(self.state(steps) | self.guard.state(steps))
            self.guard.saved()

    def state(self, step: int) -> dict[str, Any]:
        """All that the search needs to carry on behind `step`."""
        return {
            "step": step,
            "weights": self.shared.network.state_dict(),
            "optimiser": self._descent.optimiser.state_dict(),
            "generator": self._generator.get_state(),
            "history": self.history,
            "candidates": self.candidates,
            "ahead": self.ahead,
        }

    def restore(self, state: dict[str, Any]) -> int:
        """The inverse of `state`; gives the step. What was scored is known, so that the choosing repeats itself up to there."""
        self.shared.network.load_state_dict(state["weights"])
        self._descent.optimiser.load_state_dict(state["optimiser"])
        self._generator.set_state(state["generator"])
        self.history = [tuple(row) for row in state["history"]]
        self.candidates, self.ahead = state["candidates"], state["ahead"]
        self._known = {tuple(candidate["tokens"]): candidate["score"] for candidate in self.candidates}
        step: int = state["step"]
        return step

    def rewind(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave, all but the generator of batches and paths."""
        generator, history = self._generator.get_state(), self.history
        self.restore(state)
        history[:], self.history = self.history, history
        self._generator.set_state(generator)

    def finish(self) -> Found:
        """What was found."""
        problem, config = self.problem, self.problem.config
        order = sorted(
            self.candidates, key=lambda one: (len(one.get("finals", ())), _latest(one)["score"]), reverse=True
        )
        best, scores = order[0], _latest(order[0])
        of = [problem.space.from_tokens(problem.of_space, candidate["tokens"]) for candidate in order[:2]]
        return Found(
            genotype=of[0],
            runner_up=of[1] if len(of) > 1 else None,
            step=config.steps + self.candidates.index(best) + 1,
            scores={name: scores[name] for name in ("psnr_db", "ssim", "score")},
            spent_flops=self.spent_flops,
            history=self.history,
            tensors={"supernet": {name: value.cpu() for name, value in self.shared.network.state_dict().items()}},
            control=Control(found=best["score"], random=[one["score"] for one in self.candidates[: self._drawn]]),
            candidates=self.candidates,
            facts={"steps": config.steps, "candidates": len(self.candidates), "paths_per_step": self.paths_per_step}
            | {"finalists": sum("finals" in candidate for candidate in self.candidates)}
            | {"parameters": parameters(self.shared.network)},
        )


def _latest(candidate: dict[str, Any]) -> dict[str, Any]:
    """What has a candidate's last scores: those of its last final, or the candidate itself."""
    finals: list[dict[str, Any]] = candidate.get("finals", [])
    return finals[-1] if finals else candidate


def _ranked(candidates: Sequence[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    """By their scores in a round, and not their latest: where a run was stopped in the next round, some have one of that."""
    return sorted(candidates, key=lambda candidate: -candidate["finals"][index]["score"])


class Final(NamedTuple):
    """A finalist to be trained alone and scored."""

    number: int
    tokens: Sequence[int]
    before: int  # rounds; each has weights and batches of its own
    steps: int


def play(problem: Problem, job: Final) -> dict[str, Any]:
    """A finalist's last training loss and its scores on V."""
    seeded, team = replace(problem, seed=problem.seed + job.before), problem.team
    network = build(problem.space.from_tokens(problem.of_space, job.tokens), seeded).to(team.device)
    team.align(network, job.number)
    loss = train(network, seeded, job.steps, f"finalist {job.number}", problem.of_strategy.lr_max)
    return {"train_loss": loss, "scores": score(network, problem)}
