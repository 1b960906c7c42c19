"""Which candidates are not worth a second training (the authors' rule, `TaskPerformer`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

FACTORS = (0.9, 0.8, 0.7, 0.6)
"""By which `delta` is multiplied, one after the other."""


@dataclass
class Stopping:
    """A score above the moving average goes on; one below it by a share u of the average or less, u drawn from U(0, delta), too.

    So a score r below the average m is stopped with probability min(1, (1 - r / m) / delta). The authors' counter moves by two
    on a success and is asked whether it equals a milestone, so that it may jump over one; here each milestone counts once.
    """

    decay: float = 0.99
    average: float | None = 0.01  # None: the first score
    delta: float = 0.9
    milestones: Sequence[int] = (100, 200, 300, 400)
    is_compat: bool = False  # milestones as in the authors' code
    counter: int = 0
    passed: int = field(default=0)  # milestones

    def goes_on(self, score: float, draw: Callable[[float], float]) -> bool:
        """Take a score in and say whether its candidate goes on.

        Args:
            score: more is better.
            draw: a number from U(0, its argument).
        """
        if self.is_compat:
            for milestone, factor in zip(self.milestones, FACTORS, strict=True):
                self.delta *= factor if self.counter == milestone else 1
        else:
            while self.passed < len(self.milestones) and self.counter >= self.milestones[self.passed]:
                self.delta *= FACTORS[self.passed]
                self.passed += 1
        self.counter += 1
        self.average = score if self.average is None else self.decay * self.average + (1 - self.decay) * score
        if score > self.average:
            self.counter += self.is_compat
            return True
        return score > self.average * (1 - draw(self.delta))
