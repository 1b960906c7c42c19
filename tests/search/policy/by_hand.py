"""The policy and what teaches it, written out slowly: one number after another, no `nn.LSTM`, no optimiser of torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nasir.search.policy.controller import Controller

Weights = Mapping[str, Tensor]
"""A controller's parameters by their names."""

Mask = Sequence[Sequence[bool]]
"""Of one sequence: for each decision which of its choices are allowed."""


def weights_of(controller: Controller) -> dict[str, Tensor]:
    """A copy of the parameters, ready for gradients."""
    return {name: value.detach().clone().requires_grad_() for name, value in controller.named_parameters()}


def cell(weights: Weights, layer: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM cell (Hochreiter and Schmidhuber, 1997), unit by unit: of 4 H rows, those of gate k begin at k H."""
    w, u = weights[f"rnn.weight_ih_l{layer}"], weights[f"rnn.weight_hh_l{layer}"]
    b, d = weights[f"rnn.bias_ih_l{layer}"], weights[f"rnn.bias_hh_l{layer}"]
    size, shown, kept = len(h), [], []
    for unit in range(size):
        written, forgotten, new, opened = (
            (w[row] * x).sum() + b[row] + (u[row] * h).sum() + d[row] for row in range(unit, 4 * size, size)
        )
        value = torch.sigmoid(forgotten) * c[unit] + torch.sigmoid(written) * torch.tanh(new)
        kept.append(value)
        shown.append(torch.sigmoid(opened) * torch.tanh(value))
    return torch.stack(shown), torch.stack(kept)


def probabilities(
    weights: Weights, shape: Controller, tokens: Sequence[int], mask: Mask | None = None
) -> list[list[Tensor]]:
    """Of every choice of every decision of one sequence; one that is forbidden has 0.

    Args:
        weights: the numbers.
        shape: says what is decided, how many silent steps there are, and whether a step reads what was chosen last.
        tokens: what is chosen; only those before a decision bear on it.
        mask: None where all is allowed.
    """
    size, layers = weights["start"].shape[-1], shape.rnn.num_layers
    h = [torch.zeros(size, dtype=torch.float64) for _ in range(layers)]
    c = [torch.zeros(size, dtype=torch.float64) for _ in range(layers)]
    x = weights["start"][0, 0]
    found = []
    for step in range(-shape.silent, len(shape.decided)):
        if shape.is_autoregressive and step > 0:
            x = weights[f"embeddings.{shape.decided[step - 1].head}.weight"][tokens[step - 1]]
        for layer in range(layers):
            h[layer], c[layer] = cell(weights, layer, x, h[layer], c[layer])
            x = h[layer]
        if step < 0:
            continue
        head = f"heads.{shape.decided[step].head}"
        shares = []
        for choice in range(shape.decided[step].choices):
            logit = (weights[f"{head}.weight"][choice] * x).sum() + weights[f"{head}.bias"][choice]
            is_allowed = mask is None or mask[step][choice]
            shares.append(logit.exp() if is_allowed else torch.zeros((), dtype=torch.float64))
        total = sum(shares, torch.zeros((), dtype=torch.float64))
        found.append([share / total for share in shares])
    return found


def evaluate(
    weights: Weights, shape: Controller, tokens: Sequence[int], mask: Mask | None = None
) -> tuple[Tensor, Tensor]:
    """The log-probability of a sequence and the sum of its decisions' entropies, nats."""
    log_prob = entropy = torch.zeros((), dtype=torch.float64)
    for chosen, shares in zip(tokens, probabilities(weights, shape, tokens, mask), strict=True):
        log_prob = log_prob + shares[chosen].log()
        for share in shares:
            if share > 0:
                entropy = entropy - share * share.log()
    return log_prob, entropy


@dataclass
class Adam:
    """Adam (Kingma and Ba, ICLR 2015), algorithm 1, behind a gradient whose norm over all weights is at most `norm`."""

    lr: float
    norm: float
    first: dict[str, Tensor] = field(default_factory=dict)  # moments
    second: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    norms: list[float] = field(default_factory=list)  # before they were clipped

    def step(self, weights: Weights, loss: Tensor) -> None:
        """One step down the loss."""
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        slopes = dict(zip(weights, found, strict=True))
        length = math.sqrt(sum(float((slope * slope).sum()) for slope in slopes.values()))
        self.norms.append(length)
        self.steps += 1
        for name, weight in weights.items():
            slope = slopes[name] * min(1.0, self.norm / (length + 1e-6))
            self.first[name] = 0.9 * self.first.get(name, torch.zeros_like(slope)) + 0.1 * slope
            self.second[name] = 0.999 * self.second.get(name, torch.zeros_like(slope)) + 0.001 * slope * slope
            mean, square = self.first[name] / (1 - 0.9**self.steps), self.second[name] / (1 - 0.999**self.steps)
            with torch.no_grad():
                weight -= self.lr * mean / (square.sqrt() + 1e-8)


@dataclass
class Learner:
    """PPO on a ring of the last draws (Schulman et al., 2017), or REINFORCE (Williams, 1992)."""

    shape: Controller
    adam: Adam
    decay: float  # of the baseline
    clip: float
    slots: int
    mini_batch: int
    entropy: float
    is_scaled: bool
    weights: dict[str, Tensor] = field(default_factory=dict)
    masks: dict[tuple[int, ...], Mask] = field(default_factory=dict)
    baseline: float | None = None
    ring: dict[int, tuple[tuple[int, ...], float, float]] = field(default_factory=dict)
    seen: int = 0
    ratios: list[tuple[float, float]] = field(default_factory=list)  # with their advantages

    def __post_init__(self) -> None:
        self.weights = weights_of(self.shape)

    def welcome(self, reward: float) -> float:
        """The moving baseline, in which the reward is already when its advantage is taken."""
        self.baseline = reward if self.baseline is None else self.decay * self.baseline + (1 - self.decay) * reward
        return self.baseline

    def reinforce(self, tokens: tuple[int, ...], reward: float) -> tuple[float, float]:
        """-log p (r - b) - c H; gives its first term and H."""
        advantage = reward - self.welcome(reward)
        log_prob, entropy = evaluate(self.weights, self.shape, tokens, self.masks.get(tokens))
        self.adam.step(self.weights, -log_prob * advantage - self.entropy * entropy)
        return -log_prob.item() * advantage, entropy.item()

    def ppo(
        self, tokens: tuple[int, ...], old: float, reward: float, orders: Iterable[Sequence[int]]
    ) -> tuple[float, float]:
        """-min(rho A, clip(rho) A) - c H over all that is in the ring, pass by pass; gives the means of both over the visits."""
        baseline = self.welcome(reward)
        self.ring[self.seen % self.slots] = (tokens, old, reward)
        self.seen += 1
        losses, entropies = [], []
        for order in orders:
            for start in range(0, len(order), self.mini_batch):
                batch = order[start : start + self.mini_batch]
                total = torch.zeros((), dtype=torch.float64)
                for slot in batch:
                    value, entropy = self._surrogate(*self.ring[slot], baseline)
                    total = total + (value - self.entropy * entropy) / len(batch)
                    losses.append(value.item())
                    entropies.append(entropy.item())
                self.adam.step(self.weights, total)
        return sum(losses) / len(losses), sum(entropies) / len(entropies)

    def _surrogate(self, tokens: tuple[int, ...], old: float, reward: float, baseline: float) -> tuple[Tensor, Tensor]:
        advantage = reward - baseline
        if self.is_scaled and len(self.ring) > 1:
            rewards = [slot[2] for slot in self.ring.values()]
            mean = sum(rewards) / len(rewards)
            advantage /= math.sqrt(sum((one - mean) ** 2 for one in rewards) / len(rewards))
        log_prob, entropy = evaluate(self.weights, self.shape, tokens, self.masks.get(tokens))
        ratio = (log_prob - old).exp()
        self.ratios.append((ratio.item(), advantage))
        plain, held = ratio * advantage, ratio * advantage
        if ratio > 1 + self.clip:
            held = torch.tensor((1 + self.clip) * advantage, dtype=torch.float64)
        elif ratio < 1 - self.clip:
            held = torch.tensor((1 - self.clip) * advantage, dtype=torch.float64)
        return -(plain if plain <= held else held), entropy
