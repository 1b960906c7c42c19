"""A training's guard: when a checkpoint is due by the clock, and the way back from a loss that is not finite.

With `on_nan: rewind` a training goes back to its state behind the last step that is a multiple of its `checkpoint_period`, or to
its start. That step does not depend on when checkpoints were written, so a training that was stopped in between goes back to the
same. From there on

    other batches are drawn: the generator goes on from where it was, as PaLM's training left out the batches around a spike of
    its loss (Chowdhery et al., JMLR 24:240, 2023, section 5.1);
    every learning rate is halved, for good. (PaLM's was not: there the same batches did no harm from another checkpoint. Here
    most losses that are not finite come of a rate that is too high.)
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from nasir.config.training import OFF, REWOUND, SafetyConfig

SLOWER = 0.5
"""What each rewind multiplies learning rates by."""

KEY = "guard"
"""Of a checkpoint: what its guard has to know."""

State = dict[str, Any]


class Guard:
    """Of one training.

    Args:
        config: the `safety:` section.
        state: of the checkpoint that is carried on from; None at the start.
    """

    def __init__(self, config: SafetyConfig = OFF, state: Mapping[str, Any] | None = None) -> None:
        self.config = config
        own = {} if state is None else state.get(KEY, {})
        self.rewound: list[tuple[int, int]] = [(int(failed), int(good)) for failed, good in own.get("rewound", ())]
        self._good: State | None = None
        if state is not None and self._goes_back:
            good = own.get("good") or {name: value for name, value in state.items() if name != KEY}
            self._good = copy.deepcopy(good)
        self._since = time.monotonic()

    @property
    def factor(self) -> float:
        """What learning rates are multiplied by: 1, halved with each rewind."""
        return float(SLOWER ** len(self.rewound))

    def is_due(self) -> bool:
        """Whether `checkpoint_seconds` have passed since the last checkpoint, or the clock went back, which no clock should."""
        seconds = self.config.checkpoint_seconds
        return seconds > 0 and not 0 <= time.monotonic() - self._since < seconds

    def saved(self) -> None:
        """Note that a checkpoint was written."""
        self._since = time.monotonic()

    def begin(self, state: Callable[[], State]) -> None:
        """At the start of a training: what it goes back to before its first checkpoint is its beginning."""
        if self._good is None:
            self.keep(state)

    def keep(self, state: Callable[[], State]) -> None:
        """Go back to this state, which has its `step`, from now on."""
        if self._goes_back:
            self._good = copy.deepcopy(state())

    def end(self) -> None:
        """Let go of the state to go back to."""
        self._good = None

    def state(self, step: int) -> State:
        """What a checkpoint behind `step` holds beside the training's own state; nothing where nothing is to be known."""
        if not self._goes_back and not self.rewound:
            return {}
        good = self._good if self._good is not None and self._good["step"] != step else None
        return {KEY: {"rewound": self.rewound, "good": good}}

    def back(self, error: FloatingPointError, step: int) -> State:
        """The state to go back to from a step that failed; its own copy.

        Raises:
            FloatingPointError: where training stops, or was rewound often enough.
        """
        words = str(error).removesuffix(".")
        if not self._goes_back:
            raise FloatingPointError(f"{words}, or set safety.on_nan to rewind.") from error
        if self._good is None or len(self.rewound) >= self.config.rewinds:
            raise FloatingPointError(
                f"{words}; it was rewound {len(self.rewound)} times before, the most that safety.rewinds allows."
            ) from error
        self.rewound.append((step, self._good["step"]))
        return copy.deepcopy(self._good)

    def rows(self) -> list[tuple[int, str, float]]:
        """The rewinds as rows of a history: at the step that was gone back to, the one that failed."""
        return [(good, REWOUND, float(failed)) for failed, good in self.rewound]

    @property
    def _goes_back(self) -> bool:
        return self.config.on_nan == "rewind"


def require_finite(state: Mapping[str, Any], step: int) -> None:
    """Refuse a state whose weights, or anything else in its tensors, are not finite: nothing could be carried on from it.

    Raises:
        FloatingPointError: it names the step.
    """
    if not is_finite(state):
        raise FloatingPointError(f"the weights must be finite, got others behind step {step}; lower lr_max.")


def is_finite(state: object) -> bool:
    """Whether all tensors of a state are finite."""
    return all(bool(one.isfinite().all()) for one in _tensors(state) if one.is_floating_point())


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)
