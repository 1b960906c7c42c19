"""Many controllers that learn side by side, each on rewards of its own: the numbers of `Controller` and `Teacher`, far sooner.

A controller is so small that its steps cost what calling them costs; here one call does a step of all. To try a strategy many
times on a table of networks, not to search.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nasir.search.policy.controller import LEAST, Controller, Mask
from nasir.search.policy.updating import Rules
from nasir.search.sampling.tokens import Tokens

State = tuple[Tensor, Tensor] | None
"""What each LSTM carries from step to step: h and c, shape (tries, B, hidden) each; None before the first."""


class Cohort:
    """Controllers with an Adam, a moving average of rewards and a ring each; T of them.

    Args:
        controllers: as they begin, all of one shape: autoregressive, one layer, none silent.
        lr: of Adam.
        decay: of the moving averages.
        rules: of an update; a pass over the ring is one step, so `mini_batch` must hold all of it.

    Raises:
        ValueError: for another shape or another batch.
    """

    def __init__(self, controllers: Sequence[Controller], lr: float, decay: float, rules: Rules) -> None:
        first = controllers[0]
        if not first.is_autoregressive or first.silent or first.rnn.num_layers != 1:
            raise ValueError(
                "controllers must be autoregressive, of one layer and without silent steps to learn side by side."
            )
        if rules.estimator == "ppo" and rules.mini_batch < rules.slots:
            raise ValueError(f"mini_batch must hold all {rules.slots} slots, got {rules.mini_batch}.")
        self.decided, self.rules, self.decay = first.decided, rules, decay
        states = [controller.state_dict() for controller in controllers]
        self.weights = {
            name: torch.stack([state[name] for state in states]).requires_grad_() for name in first.state_dict()
        }
        self.optimiser = torch.optim.Adam(self.weights.values(), lr=lr)
        self.baseline: Tensor | None = None  # of each, shape (T,)
        self._ring: list[
            Tensor
        ] = []  # tokens, log-probabilities, rewards, then the masks of each decision: (T, slots, ...)
        self._seen = 0  # slots that were ever written

    @torch.no_grad()
    def sample(self, mask: Mask, uniform: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Draw a sequence from each controller: the choice of the largest log p + g, g = -log(-log u) (Gumbel, 1954).

        Args:
            mask: which choices are allowed next.
            uniform: u, in (0, 1), shape (T, decisions, choices of the decision that has most).

        Returns:
            Tokens, shape (T, decisions); their log-probabilities, shape (T,); masks of each decision, shape (T, 1, choices).
        """
        chosen: list[list[int]] = [[] for _ in uniform]
        masks, total, last = list[Tensor](), uniform.new_zeros(len(uniform)), None
        state: State = None
        for k, decision in enumerate(self.decided):
            masks.append(torch.tensor([[list(mask(one))] for one in chosen]))
            state = self._carry(self._gates(self._read(k, last, 1)), state)
            log_probs = self._choices(decision.head, state[0]).masked_fill(~masks[k], -torch.inf).log_softmax(dim=2)
            gumbel = -(-uniform[:, k, None, : decision.choices].log()).log()
            last = (log_probs + gumbel).argmax(dim=2)
            total += log_probs.gather(2, last[:, :, None])[:, 0, 0]
            for one, token in zip(chosen, last[:, 0].tolist(), strict=True):
                one.append(token)
        return torch.tensor(chosen), total, masks

    def update(self, tokens: Tensor, masks: list[Tensor], log_probs: Tensor, rewards: Tensor) -> None:
        """Learn from a reward each, shape (T,), for what `sample` gave."""
        before = rewards if self.baseline is None else self.baseline
        self.baseline = self.decay * before + (1 - self.decay) * rewards
        if self.rules.estimator == "reinforce":
            found, entropies = self.evaluate(tokens[:, None], masks)
            self._learn(-(found * (rewards - self.baseline)[:, None]), entropies)
            return
        self._keep([tokens[:, None], log_probs[:, None], rewards[:, None], *masks])
        for _ in range(self.rules.passes):
            self._learn(*self._surrogate(self.baseline))

    def evaluate(self, tokens: Tensor, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of sequences, shape (T, B) each, for tokens of shape (T, B, decisions)."""
        count, size, decisions = tokens.shape
        reads = torch.stack([self._read(k, tokens[:, :, k - 1] if k else None, size) for k in range(decisions)], dim=2)
        gates = self._gates(reads.flatten(1, 2)).view(count, size, decisions, -1)
        state: State = None
        shown = list[Tensor]()
        for k in range(decisions):
            state = self._carry(gates[:, :, k], state)
            shown.append(state[0])
        hidden, found = torch.stack(shown, dim=2), list[tuple[Tensor, Tensor]]()
        for head in {decision.head for decision in self.decided}:
            own = [k for k, decision in enumerate(self.decided) if decision.head == head]
            log_probs = self._choices(head, hidden[:, :, own].flatten(1, 2)).view(count, size, len(own), -1)
            log_probs = log_probs.masked_fill(~torch.stack([masks[k] for k in own], dim=2), -torch.inf).log_softmax(
                dim=3
            )
            chosen = log_probs.gather(3, tokens[:, :, own, None])[..., 0]
            entropies = -(log_probs.exp() * log_probs.clamp(min=LEAST)).sum(dim=3)
            found.append((chosen.sum(dim=2), entropies.sum(dim=2)))
        return torch.stack([one for one, _ in found]).sum(dim=0), torch.stack([one for _, one in found]).sum(dim=0)

    def _keep(self, slot: list[Tensor]) -> None:
        """Into the ring, in place of the oldest where it is full."""
        if not self._ring:
            self._ring = [part.repeat_interleave(self.rules.slots, dim=1) for part in slot]
        for kept, part in zip(self._ring, slot, strict=True):
            kept[:, self._seen % self.rules.slots] = part[:, 0]
        self._seen += 1

    def _surrogate(self, baseline: Tensor) -> tuple[Tensor, Tensor]:
        """PPO's clipped loss and the entropy of every slot, shape (T, slots) each."""
        tokens, log_probs, rewards, *masks = (part[:, : self._seen] for part in self._ring)
        found, entropies = self.evaluate(tokens, masks)
        advantages = rewards - baseline[:, None]
        if self.rules.is_scaled and self._seen > 1:
            spread = rewards.std(dim=1, correction=0, keepdim=True)
            advantages = torch.where(spread > 0, advantages / spread, advantages)
        ratios = (found - log_probs).exp()
        clipped = ratios.clamp(1 - self.rules.clip, 1 + self.rules.clip)
        return -torch.minimum(ratios * advantages, clipped * advantages), entropies

    def _learn(self, losses: Tensor, entropies: Tensor) -> None:
        """A step of each: the sum over controllers, as none's loss depends on another's weights."""
        self.optimiser.zero_grad()
        (losses.mean(dim=1) - self.rules.entropy * entropies.mean(dim=1)).sum().backward()
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        norms = torch.stack([gradient.flatten(1).square().sum(dim=1) for gradient in gradients]).sum(dim=0).sqrt()
        shares = (self.rules.norm / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.dim() - 1)))
        self.optimiser.step()

    def _read(self, k: int, last: Tensor | None, size: int) -> Tensor:
        """What decision k reads, shape (T, B, hidden), after what was chosen last, shape (T, B)."""
        if last is None:
            return self.weights["start"][:, 0].expand(-1, size, -1)
        table = self.weights[f"embeddings.{self.decided[k - 1].head}.weight"]
        return table.gather(1, last[:, :, None].expand(-1, -1, table.shape[2]))

    def _gates(self, read: Tensor) -> Tensor:
        """The share of the LSTM's gates that does not hang on its state."""
        weights = self.weights
        return _linear(read, weights["rnn.weight_ih_l0"], weights["rnn.bias_ih_l0"] + weights["rnn.bias_hh_l0"])

    def _carry(self, gates: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """A step of the LSTM."""
        if state is not None:
            gates = torch.baddbmm(gates, state[0], self.weights["rnn.weight_hh_l0"].transpose(1, 2))
        written, kept, _, shown = gates.sigmoid().chunk(4, dim=2)
        cell = written * gates.chunk(4, dim=2)[2].tanh()
        if state is not None:
            cell = cell + kept * state[1]
        return shown * cell.tanh(), cell

    def _choices(self, head: str, hidden: Tensor) -> Tensor:
        """A head's logits."""
        return _linear(hidden, self.weights[f"heads.{head}.weight"], self.weights[f"heads.{head}.bias"])


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b of each controller, for x of shape (T, B, in)."""
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def search(
    cohort: Cohort,
    mask: Mask,
    reward: Callable[[int, Tokens], float],
    generators: Sequence[torch.Generator],
    candidates: int,
) -> None:
    """Let every controller draw so many candidates, one after another, and learn from each.

    Args:
        cohort: of T controllers.
        mask: which choices are allowed next.
        reward: of a controller's candidate, by the controller's number; more is better.
        generators: of each controller's draws.
        candidates: of each.
    """
    shape = (len(cohort.decided), max(decision.choices for decision in cohort.decided))
    for _ in range(candidates):
        uniform = torch.stack([torch.rand(shape, generator=generator) for generator in generators])
        tokens, log_probs, masks = cohort.sample(mask, uniform.clamp(min=1e-20))
        rewards = torch.tensor([reward(number, tuple(one)) for number, one in enumerate(tokens.tolist())])
        cohort.update(tokens, masks, log_probs, rewards)
