"""The controller: an LSTM that takes one decision after another (Nekrasov et al., CVPR 2019, after Zoph and Le, ICLR 2017)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasir.spaces.contract import Space

Mask = Callable[[Sequence[int]], Sequence[bool]]
"""Which choices of the next decision are allowed after those that were made."""


class Decision(NamedTuple):
    """One of the decisions; those of one head share its linear layer."""

    head: str
    choices: int


class Draw(NamedTuple):
    """A sequence of decisions that was drawn."""

    tokens: tuple[int, ...]
    log_prob: float  # when it was drawn


def decisions(space: Space, section: Any) -> list[Decision]:
    """The tokens of a space as decisions; tokens of the same choices share a head."""
    heads: dict[tuple[str, ...], str] = {}
    found = []
    for token in space.tokens(section):
        head = heads.setdefault(token.choices, f"head_{len(heads)}")
        found.append(Decision(head, len(token.choices)))
    return found


class Controller(nn.Module):
    """A policy over sequences of decisions.

    The LSTM reads a start vector, then `silent` times its own output without deciding, and then either its own output again, as
    the authors' code does, whose policy does not see its own choices; or what was chosen, embedded.

    Args:
        decided: in their order.
        hidden: features.
        layers: of the LSTM.
        silent: steps before the first decision.
        is_autoregressive: whether a step reads what was chosen in the one before.
        scale: all parameters are drawn from U(-scale, scale).
    """

    def __init__(
        self,
        decided: Sequence[Decision],
        hidden: int,
        layers: int,
        silent: int,
        is_autoregressive: bool,
        scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.decided, self.silent, self.is_autoregressive = list(decided), silent, is_autoregressive
        self.start = nn.Parameter(torch.empty(1, 1, hidden))
        self.rnn = nn.LSTM(hidden, hidden, layers)
        sizes = {decision.head: decision.choices for decision in decided}
        self.heads = nn.ModuleDict({head: nn.Linear(hidden, size) for head, size in sizes.items()})
        self.embeddings = nn.ModuleDict(
            {head: nn.Embedding(size, hidden) for head, size in sizes.items()} if is_autoregressive else {}
        )
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -scale, scale)

    def forward(self, tokens: Tensor, masks: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of sequences, each the sum over the decisions.

        Args:
            tokens: shape (B, decisions), int64.
            masks: of each decision, shape (B, choices), true where allowed; None: all are.

        Returns:
            Shape (B,) each, the entropy in nats.
        """
        steps = self.steps(tokens, masks)
        log_probs = torch.stack([step.gather(1, tokens[:, [k]])[:, 0] for k, step in enumerate(steps)])
        entropies = torch.stack([-(step.exp() * step.clamp(min=LEAST)).sum(dim=1) for step in steps])
        return log_probs.sum(dim=0), entropies.sum(dim=0)

    def steps(self, tokens: Tensor, masks: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The log-probabilities of every choice of every decision, shape (B, choices) each; arguments as in `forward`."""
        size = len(tokens)
        seen, state = self._begin(size)
        found = []
        for k, decision in enumerate(self.decided):
            seen, state = self.rnn(self._read(seen, tokens[:, k - 1] if k else None, k), state)
            found.append(self._choices(decision, seen, None if masks is None else masks[k]))
        return found

    @torch.no_grad()
    def sample(self, mask: Mask, generator: torch.Generator) -> Draw:
        """Draw a sequence, each decision among the choices that are allowed."""
        chosen: list[int] = []
        total = 0.0
        seen, state = self._begin(1)
        for k, decision in enumerate(self.decided):
            last = torch.tensor(chosen[-1:]) if k else None
            seen, state = self.rnn(self._read(seen, last, k), state)
            log_probs = self._choices(decision, seen, torch.tensor([list(mask(chosen))]))
            chosen.append(int(torch.multinomial(log_probs[0].exp(), 1, generator=generator)))
            total += float(log_probs[0, chosen[-1]])
        return Draw(tuple(chosen), total)

    def _begin(self, size: int) -> tuple[Tensor, Any]:
        """What the first decision's step reads, and the state before it."""
        seen, state = self.start.expand(1, size, -1), None
        for _ in range(self.silent):
            seen, state = self.rnn(seen, state)
        return seen, state

    def _read(self, seen: Tensor, last: Tensor | None, place: int) -> Tensor:
        if last is None or not self.is_autoregressive:
            return seen
        embedded: Tensor = self.embeddings[self.decided[place - 1].head](last)
        return embedded[None]

    def _choices(self, decision: Decision, seen: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.heads[decision.head](seen[0])
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        return torch.log_softmax(logits, dim=1)


LEAST = -1e4
"""In place of the logarithm of a probability of 0, whose share of an entropy is 0."""


def masks_of(space: Space, section: Any, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """The masks of several sequences, for `Controller.forward`."""
    return [
        torch.tensor([list(space.mask(section, tokens[:k])) for tokens in sequences]) for k in range(len(sequences[0]))
    ]
