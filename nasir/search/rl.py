"""`rl`: a controller draws candidates, each is trained briefly and scored, and the score teaches the controller.

After Nekrasov, Chen, Shen and Reid, "Fast Neural Architecture Search of Compact Semantic Segmentation Models via Auxiliary Cells"
(CVPR 2019), on the tokens of any space: an LSTM controller, PPO or REINFORCE, two trainings of which the second is only given to
candidates that are worth it, running means of weights, and what else helps a short training (`nasir.search.policy.assistance`).

The reward is the geometric mean of SSIM and of where PSNR lies between the worst and the best of the first candidates, which come
from the controller as it is drawn, nearly at random; it learns behind them, from all of them at first. A candidate whose loss is
not finite, or which is too large for the memory, is rewarded with 0 and recorded. The price on parameters is taken off the
rewards of all others: one so high that these fall below 0 would teach the controller to fail.

With `round` above 1, and not in the paper, so many candidates are drawn before the controller learns from any of them, so that
the workers of a scheduler may train them at the same time (`nasir.cluster`): it then learns from its draws a little later.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

import torch

from nasir import cluster
from nasir.cluster import Pool
from nasir.config.reading import require, require_between
from nasir.config.search import SearchConfig
from nasir.config.training import MOST_CANDIDATES, MOST_STEPS, require_rates
from nasir.search import contract
from nasir.search.contract import Control, Found, Problem
from nasir.search.policy.assistance import Assistance, Assisted
from nasir.search.policy.controller import Controller, Draw, decisions, masks_of
from nasir.search.policy.stopping import Stopping
from nasir.search.policy.trials import Trial, assist, attempt
from nasir.search.policy.updating import Baseline, Rules, Teacher
from nasir.search.sampling.away import packed
from nasir.search.sampling.tokens import TRIES, Windowed
from nasir.training.loop import History

ESTIMATORS = ("ppo", "reinforce")
STOPS = ("below_average", "never")

MOST_HIDDEN = 16_384
"""Units of the controller's LSTM."""

MOST_LAYERS = 100
"""Of it."""

CONTROLLER = "controller"
"""File of the controller's weights, beside those of the stem and the teacher."""

MOST = 2.0
"""Of a PSNR's place between the worst and the best of the first candidates."""


@dataclass(frozen=True, kw_only=True)
class RlSection(Windowed, Assisted):
    """What this strategy reads beside the search's section."""

    candidates: int
    round: int  # of them drawn before the controller learns from any; they may be trained at the same time
    steps: int  # of a candidate's first training
    more_steps: int  # of its second; 0: none has one
    stop: str  # below_average, never: who has no second one
    stop_decay: float  # of the moving average of scores that decides
    first: int  # candidates that fix the reward's scale
    lr_max: float  # of candidates' AdamW
    price: float  # of 100,000 parameters, in rewards
    estimator: str  # ppo, reinforce
    lr: float  # of the controller's Adam
    hidden: int
    layers: int  # of the controller's LSTM
    autoregressive: bool  # whether the controller sees its own choices
    slots: int  # of PPO's ring
    passes: int  # over it after each candidate
    mini_batch: int
    clip: float  # of PPO's ratio
    entropy: float  # weight of the policy's entropy
    norm: float  # to which the controller's gradient is clipped
    baseline_decay: float

    def __post_init__(self) -> None:
        Windowed.__post_init__(self)
        Assisted.__post_init__(self)
        require_between(self, "strategy", ("candidates", "round", "slots", "mini_batch"), 1, MOST_CANDIDATES)
        require_between(self, "strategy", ("steps", "passes"), 1, MOST_STEPS)
        require_between(self, "strategy", ("more_steps",), 0, MOST_STEPS)
        require_between(self, "strategy", ("hidden",), 1, MOST_HIDDEN)
        require_between(self, "strategy", ("layers",), 1, MOST_LAYERS)
        for name in ("price", "entropy"):
            require(getattr(self, name) >= 0, f"strategy.{name} must be 0 or more", getattr(self, name))
        require_rates(self, "strategy", ("lr_max", "lr"))
        for name in ("norm", "clip"):
            require(getattr(self, name) > 0, f"strategy.{name} must be above 0", getattr(self, name))
        for name in ("stop_decay", "baseline_decay"):
            require(0 <= getattr(self, name) < 1, f"strategy.{name} must be 0 or more and below 1", getattr(self, name))
        require(2 <= self.first <= self.candidates, "strategy.first must lie in 2 to strategy.candidates", self.first)
        require(self.estimator in ESTIMATORS, f"strategy.estimator must be one of {list(ESTIMATORS)}", self.estimator)
        require(self.stop in STOPS, f"strategy.stop must be one of {list(STOPS)}", self.stop)

    @property
    def stages(self) -> tuple[int, ...]:
        """The trainings of a candidate that is not stopped."""
        return (0, 1) if self.more_steps > 0 else (0,)

    @property
    def rules(self) -> Rules:
        """Of the controller's updates."""
        return Rules(
            estimator=self.estimator, clip=self.clip, slots=self.slots, passes=self.passes, mini_batch=self.mini_batch,
            entropy=self.entropy, norm=self.norm, is_scaled=True,
        )  # fmt: skip


class Rl(contract.Strategy):
    """This strategy as the search step sees it."""

    name = "rl"
    Section = RlSection

    def count(self, section: RlSection, config: SearchConfig) -> int:
        """Candidates."""
        return section.candidates

    def check(self, section: RlSection, config: SearchConfig) -> None:
        require(
            config.accumulate == 1 or (section.auxiliary == 0 and section.cache == 0),
            "search.accumulate must be 1 with strategy.auxiliary or strategy.cache, which take a batch as a whole",
            config.accumulate,
        )

    def search(self, problem: Problem) -> Found:
        """Draw, train, score and learn, round by round.

        Returns:
            The candidate with the best reward. The history has each candidate's scores at its number, from the last of the
            first ones on its reward and what the controller was after it, and behind them whether it was `stopped` (1 or 0)
            before a second training; `candidates` holds all of them, with `is_stopped` and, of one that failed, `failure`.

        Raises:
            ValueError: if the window holds no candidate.
            FloatingPointError: if all candidates failed.
        """
        course = _Course(problem)
        with course.pool() as pool:
            while len(course.candidates) < problem.of_strategy.candidates:
                course.advance(pool)
        return course.finish()

    def rank(self, problem: Problem, found: Found, networks: Sequence[Sequence[int]]) -> list[float]:
        """PSNR of each on V after the trainings of a candidate, none of which is left out; that of a failure is 0."""
        section = replace(problem.of_strategy, stop="never")
        weights = {name: value for name, value in found.tensors.items() if name != CONTROLLER}
        course = _Course(replace(problem, of_strategy=section, state=None), {"weights": weights, "flops": 0.0})
        trials = {
            number: Trial(number=number, draw=Draw(tuple(tokens), 0.0), stages=section.stages)
            for number, tokens in enumerate(networks, start=1)
        }
        with course.pool() as pool:
            outcomes = [outcome for _, outcome in pool.each(attempt, trials, {}, lambda: None)]
        return [outcome["candidate"].get("psnr_db", 0.0) for outcome in outcomes]


STRATEGY = Rl()


def place(psnr_db: float, low: float, high: float) -> float:
    """Where a PSNR lies between two, 0 at `low` or below it, 1 at `high`, `MOST` at most; 1 where the two are one."""
    return min(MOST, max(0.0, (psnr_db - low) / (high - low))) if high > low else 1.0


class _Course:
    """The controller, and what has come of its candidates.

    Only the trainings of a round may be done elsewhere: which candidates are drawn, stopped and learnt from, and in which
    order, does not depend on who trains them.
    """

    def __init__(self, problem: Problem, known: Mapping[str, Any] | None = None) -> None:
        section = problem.of_strategy
        self.problem, self.history = problem, History()
        self.candidates: list[dict[str, Any]] = []
        self.drawn: dict[int, Draw] = {}  # of the round, by number, that are not learnt from yet
        self.firsts: dict[int, dict[str, Any]] = {}  # what their first trainings gave, where a second is in question
        self.wholes: dict[int, dict[str, Any]] = {}  # what all of their trainings gave
        self.generator = torch.Generator().manual_seed(problem.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(problem.seed)
            controller = Controller(
                decisions(problem.space, problem.of_space), section.hidden, section.layers, 0, section.autoregressive
            )
        self.teacher = Teacher(
            controller, torch.optim.Adam(controller.parameters(), lr=section.lr), Baseline(section.baseline_decay),
            section.rules, partial(masks_of, problem.space, problem.of_space),
        )  # fmt: skip
        quarter = section.candidates / 4
        self.stopping = Stopping(
            section.stop_decay, average=None, milestones=[int(quarter * k) for k in (1, 2, 3, 4)], counter=section.first
        )
        if problem.state is not None:
            self.restore(problem.state)
            known = problem.state["assistance"]
        self.assistance = Assistance(problem, known, self.keep)

    def pool(self) -> AbstractContextManager[Pool]:
        """Who trains candidates."""
        known = {"weights": self.assistance.known, "flops": 0.0}
        return cluster.pool(self.assistance, assist, packed(self.problem), known)

    def advance(self, pool: Pool) -> None:
        """One round: its candidates are drawn, trained and scored, then learnt from one after the other."""
        section = self.problem.of_strategy
        if not self.drawn:
            self.drawn = {number: self.draw() for number in self._numbers()}
        numbers = list(self.drawn)
        if section.stop == "never" or section.more_steps == 0 or numbers[0] <= section.first:
            trials = {number: self._trial(number, section.stages) for number in numbers}
        else:
            firsts = {number: self._trial(number, (0,)) for number in numbers}
            for _ in pool.each(attempt, firsts, self.firsts, self.keep):
                if len(numbers) > 1:
                    self.keep()
            for number in numbers:
                self._decide(number)
            trials = {number: self._trial(number, (1,)) for number in numbers}
        for number, outcome in pool.each(attempt, trials, self.wholes, self.keep):
            self.take(number, outcome)

    def _numbers(self) -> range:
        """Of the next round. The first candidates are one, as the controller learns from none before it has them all."""
        section, start = self.problem.of_strategy, len(self.candidates) + 1
        end = section.first if start <= section.first else min(start + section.round - 1, section.candidates)
        return range(start, end + 1)

    def _trial(self, number: int, stages: tuple[int, ...]) -> Trial:
        before = self.firsts[number] if stages == (1,) else None
        return Trial(number=number, draw=self.drawn[number], stages=stages, before=before)

    def _decide(self, number: int) -> None:
        """Whether a candidate is worth a second training; where not, the first was the whole."""
        first = self.firsts[number]
        if "goes_on" in first:  # before the run was stopped
            return
        candidate = first["candidate"]
        first["goes_on"] = "failure" not in candidate and self.stopping.goes_on(
            self._places(candidate["first_psnr_db"])[-1],
            lambda most: most * float(torch.rand((), generator=self.generator)),
        )
        if not first["goes_on"]:
            candidate["is_stopped"] = "failure" not in candidate
            self.wholes[number] = first

    def keep(self, assistance: dict[str, Any] | None = None) -> None:
        """Write a checkpoint; `assistance` is the state of its own as long as it is being made."""
        if self.problem.team.is_first:
            self.problem.save(self.state(assistance or self.assistance.state()))

    def take(self, number: int, outcome: dict[str, Any]) -> None:
        """Learn from a candidate."""
        problem, section, candidate = self.problem, self.problem.of_strategy, outcome["candidate"]
        for known in (self.drawn, self.firsts, self.wholes):
            known.pop(number, None)
        for flops in outcome["flops"]:
            self.assistance.flops += flops
        self.candidates.append(candidate)
        news: dict[str, float] = {
            name: candidate[name] for name in ("psnr_db", "ssim", "score", "train_loss") if name in candidate
        }
        if number > section.first and section.stop != "never" and section.more_steps > 0:
            news["stopped"] = float(candidate["is_stopped"])
        if number == section.first:
            places = self._places()
            self.stopping.average = fmean(places) if places else None
        if number >= section.first:
            low, high = self.scale
            for one in self.candidates if number == section.first else [candidate]:
                one["reward"] = self.reward(one, low, high)
                told = self.teacher.update(
                    Draw(tuple(one["tokens"]), one["log_prob"]), one["reward"], self.teacher.orders(self.generator)
                )
                news |= told | {"reward": one["reward"]}
        best = max((one["score"] for one in self.candidates if "score" in one), default=0.0)
        news |= {"best_score": best, "spent_flops": self.assistance.flops}
        self.history += [(number, name, value) for name, value in news.items()]
        if problem.team.is_first:
            problem.log(number, news)
        self.keep()

    def draw(self) -> Draw:
        """Decisions within the window; their log-probability is that of a draw that knows no window."""
        problem, section = self.problem, self.problem.of_strategy
        for _ in range(TRIES):
            found = self.teacher.controller.sample(partial(problem.space.mask, problem.of_space), self.generator)
            genotype = problem.space.from_tokens(problem.of_space, found.tokens)
            if section.limits.holds(problem.space, problem.of_space, problem.channels, genotype):
                return found
        raise ValueError(
            f"strategy.window must leave room for candidates, got none of {TRIES} draws within {list(section.window)} "
            f"{section.window_of}; widen it."
        )

    def _places(self, *more: float) -> list[float]:
        """The places of the first candidates' first scores, and of more, among those of the first.

        Among them a PSNR far below the average is far below it as a share, too.
        """
        first = self.candidates[: self.problem.of_strategy.first]
        known = [one["first_psnr_db"] for one in first if "first_psnr_db" in one]
        low, high = (min(known), max(known)) if known else (0.0, 0.0)
        return [place(psnr_db, low, high) for psnr_db in (*known, *more)]

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest PSNR of the first candidates, dB."""
        known = [one["psnr_db"] for one in self.candidates[: self.problem.of_strategy.first] if "psnr_db" in one]
        return (min(known), max(known)) if known else (0.0, 0.0)

    def reward(self, candidate: dict[str, Any], low: float, high: float) -> float:
        """The geometric mean of SSIM and of the PSNR's place, less the price; 0 for a failure, whatever its size."""
        if "failure" in candidate:
            return 0.0
        value = (place(candidate["psnr_db"], low, high) * max(0.0, candidate["ssim"])) ** 0.5
        return float(value - self.problem.of_strategy.price * candidate["parameters"] / 1e5)

    def state(self, assistance: dict[str, Any]) -> dict[str, Any]:
        """All that the search needs to carry on."""
        stopping = self.stopping
        return {
            "candidates": self.candidates, "history": self.history, "teacher": self.teacher.state(),
            "generator": self.generator.get_state(), "assistance": assistance,
            "stopping": [stopping.average, stopping.delta, stopping.counter, stopping.passed],
            "drawn": {number: [list(draw.tokens), draw.log_prob] for number, draw in self.drawn.items()},
            "firsts": self.firsts, "wholes": self.wholes,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.candidates, self.history = state["candidates"], [tuple(row) for row in state["history"]]
        self.teacher.restore(state["teacher"])
        self.generator.set_state(state["generator"])
        stopping = self.stopping
        stopping.average, stopping.delta, stopping.counter, stopping.passed = state["stopping"]
        self.drawn = {number: Draw(tuple(tokens), log_prob) for number, (tokens, log_prob) in state["drawn"].items()}
        self.firsts, self.wholes = state["firsts"], state["wholes"]

    def finish(self) -> Found:
        """What was found."""
        problem, section = self.problem, self.problem.of_strategy
        low, high = self.scale
        failed = [one for one in self.candidates if "failure" in one]
        order = sorted(
            (one for one in self.candidates if "failure" not in one), key=lambda one: -self.reward(one, low, high)
        )
        if not order:
            raise FloatingPointError(
                f"a candidate's training must end well, got {len(failed)} that failed, the last for: {failed[-1]['failure']}"
            )
        best = order[0]
        others = [one for one in order if one["tokens"] != best["tokens"]]
        of = [problem.space.from_tokens(problem.of_space, one["tokens"]) for one in (best, *others[:1])]
        first = [one["score"] for one in self.candidates[: section.first] if "score" in one]
        return Found(
            genotype=of[0],
            runner_up=of[1] if len(of) > 1 else None,
            step=self.candidates.index(best) + 1,
            scores={name: best[name] for name in ("psnr_db", "ssim", "score")},
            spent_flops=self.assistance.flops,
            history=self.history,
            tensors={CONTROLLER: {name: value.clone() for name, value in self.teacher.controller.state_dict().items()}}
            | self.assistance.known,
            control=Control(found=best["score"], random=first) if first else None,
            candidates=self.candidates,
            facts={
                "candidates": len(self.candidates),
                "stopped": sum(one["is_stopped"] for one in self.candidates),
                "failed": len(failed),
            },
        )
