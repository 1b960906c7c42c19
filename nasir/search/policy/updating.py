"""How rewards teach a controller: PPO on a ring of the last candidates (Schulman et al., 2017), or REINFORCE (Williams, 1992)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import pstdev
from typing import Any

import torch
from torch import Tensor

from nasir.search.policy.controller import Controller, Draw
from nasir.search.sampling.tokens import Tokens

Masks = Callable[[Sequence[Tokens]], list[Tensor]] | None
"""The masks of several sequences (`nasir.search.policy.controller.masks_of`); None where all is allowed."""


@dataclass
class Baseline:
    """The moving average of rewards, of which a new one is part before its advantage is taken."""

    decay: float
    value: float | None = None  # None before the first reward, which it then is

    def add(self, reward: float) -> float:
        """Take a reward in; gives the new baseline."""
        self.value = reward if self.value is None else self.decay * self.value + (1 - self.decay) * reward
        return self.value


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Of an update."""

    estimator: str = "ppo"  # ppo, reinforce
    clip: float = 0.1  # of PPO's ratio
    slots: int = 100  # of PPO's ring
    passes: int = 1  # over the ring
    mini_batch: int = 1
    entropy: float = 0.0  # weight of the entropy, which is rewarded
    norm: float = 2.0  # to which the gradient is clipped
    is_scaled: bool = False  # whether PPO's advantages are divided by the standard deviation of the ring's rewards
    skips_empty: bool = True  # false: as the authors' code, Adam steps for slots that were never filled, too


@dataclass
class Teacher:
    """A controller, its optimiser, and what both have seen."""

    controller: Controller
    optimiser: torch.optim.Optimizer
    baseline: Baseline
    rules: Rules
    masks: Masks = None
    ring: list[tuple[Tokens, float, float]] = field(default_factory=list)  # tokens, log-probability when drawn, reward
    place: int = 0  # of the ring, which is written next

    def update(self, draw: Draw, reward: float, orders: Iterator[Sequence[int]]) -> dict[str, float]:
        """Learn from a reward.

        Args:
            draw: what was rewarded.
            reward: more is better.
            orders: gives the order of the ring's slots for each pass of PPO.

        Returns:
            `loss` (without the entropy's share), `entropy` in nats and `baseline`; of PPO means over all that was visited.
        """
        baseline = self.baseline.add(reward)
        if self.rules.estimator == "reinforce":
            log_prob, entropy = self._evaluate([draw.tokens])
            loss = -(log_prob * (reward - baseline)).mean()
            self._step(loss - self.rules.entropy * entropy.mean())
            return {"loss": float(loss.detach()), "entropy": float(entropy.detach().mean()), "baseline": baseline}
        self._keep((tuple(draw.tokens), draw.log_prob, reward))
        losses, entropies = [], []
        for _ in range(self.rules.passes):
            order = list(next(orders))
            for start in range(0, len(order), self.rules.mini_batch):
                slots = [self.ring[slot] for slot in order[start : start + self.rules.mini_batch]]
                loss, entropy = self.surrogate(slots, baseline)
                self._step(loss.mean() - self.rules.entropy * entropy.mean())
                losses += loss.detach().tolist()
                entropies += entropy.detach().tolist()
        return {
            "loss": sum(losses) / len(losses),
            "entropy": sum(entropies) / len(entropies),
            "baseline": baseline,
        }

    def surrogate(self, slots: Sequence[tuple[Tokens, float, float]], baseline: float) -> tuple[Tensor, Tensor]:
        """PPO's clipped loss and the entropy of each of several slots, shape (slots,)."""
        log_probs, entropies = self._evaluate([tokens for tokens, _, _ in slots])
        old = torch.tensor([log_prob for _, log_prob, _ in slots], dtype=log_probs.dtype)
        advantages = torch.tensor([reward - baseline for _, _, reward in slots], dtype=log_probs.dtype)
        if self.rules.is_scaled and len(self.ring) > 1:
            spread = pstdev([reward for _, _, reward in self.ring])
            advantages = advantages / spread if spread > 0 else advantages
        ratios = (log_probs - old).exp()
        clipped = ratios.clamp(1 - self.rules.clip, 1 + self.rules.clip)
        return -torch.minimum(ratios * advantages, clipped * advantages), entropies

    def orders(self, generator: torch.Generator) -> Iterator[Sequence[int]]:
        """Random orders of the ring's slots, each drawn when it is asked for."""
        while True:
            yield torch.randperm(len(self.ring), generator=generator).tolist()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "controller": self.controller.state_dict(), "optimiser": self.optimiser.state_dict(),
            "baseline": self.baseline.value, "ring": [list(slot) for slot in self.ring], "place": self.place,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` gave."""
        self.controller.load_state_dict(state["controller"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.baseline.value, self.place = state["baseline"], state["place"]
        self.ring = [(tuple(tokens), log_prob, reward) for tokens, log_prob, reward in state["ring"]]

    def _keep(self, slot: tuple[Tokens, float, float]) -> None:
        """Into the ring, in place of the oldest where it is full."""
        if not self.ring and not self.rules.skips_empty:
            self.ring = [((0,) * len(slot[0]), 0.0, 0.0)] * self.rules.slots
        if len(self.ring) < self.rules.slots:
            self.ring.append(slot)
        else:
            self.ring[self.place] = slot
        self.place = (self.place + 1) % self.rules.slots

    def _evaluate(self, sequences: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.controller(
            torch.tensor(sequences), self.masks(sequences) if self.masks is not None else None
        )
        return found

    def _step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.controller.parameters(), self.rules.norm)
        self.optimiser.step()
