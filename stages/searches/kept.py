"""How far a study's search is, kept beside the data set until its result is written, so that a kill costs no more than a step."""

import time
from copy import deepcopy
from pathlib import Path
from typing import Any

from nasir import memory
from nasir.training import checkpoints


class Kept:
    """A strategy's state, what the search has cost, and the networks that its measure has ranked.

    Args:
        path: of the checkpoint; None keeps nothing.
        made_with: as `nasir.training.checkpoints.fingerprint` gives it.

    Raises:
        ValueError: if a checkpoint is there that is damaged, or was made with other settings, pictures or code.
    """

    def __init__(self, path: Path | None, made_with: dict[str, str]) -> None:
        found = checkpoints.load(path, made_with) if path is not None else None
        found = found or {"state": None, "ranking": [], "seconds": 0.0, "peak_memory_mib": 0.0}
        self._path, self._made_with = path, made_with
        self._state: dict[str, Any] | None = found["state"]
        self.ranking: list[float] = found["ranking"]  # of the first networks
        self._seconds, self._peak_mib = found["seconds"], found["peak_memory_mib"]
        self._start = time.process_time()
        self._is_over = bool(self.ranking)  # what is done again then is counted already

    def state(self) -> dict[str, Any] | None:
        """The strategy's state, to carry on from; None at the start."""
        return deepcopy(self._state)

    def cost(self) -> tuple[float, float]:
        """Seconds of the processor, and the most memory in MiB, of the search without what a kill has cost it."""
        if self._is_over:
            return self._seconds, self._peak_mib
        return self._seconds + time.process_time() - self._start, max(self._peak_mib, memory.peak_mib())

    def keep(self, state: dict[str, Any]) -> None:
        """Write the strategy's state, of which the strategy may change parts later."""
        if self._path is not None:
            self._state = deepcopy(state)
            self._write()

    def end(self) -> None:
        """Nothing from here on is a cost of the search."""
        self._seconds, self._peak_mib = self.cost()
        self._is_over = True

    def rank(self, scores: list[float]) -> None:
        """Write the scores of the next networks."""
        self.ranking += scores
        self._write()

    def remove(self) -> None:
        """Keep nothing of a search whose result is written."""
        if self._path is not None:
            checkpoints.remove(self._path)

    def _write(self) -> None:
        if self._path is not None:
            seconds, peak_mib = self.cost()
            state = {"state": self._state, "ranking": self.ranking, "seconds": seconds, "peak_memory_mib": peak_mib}
            checkpoints.save(self._path, self._made_with, state)
