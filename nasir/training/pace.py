"""How long a step of a training takes, so that trainings of different networks can be given equal seconds."""

import time
from dataclasses import replace
from itertools import pairwise

from torch import nn

from nasir.config.retrain import RetrainConfig
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import Sample
from nasir.training.parallel import Team
from nasir.training.retrain import retrain

TIMED = 12
"""Steps that are timed."""


def seconds_per_step(
    network: nn.Module, *, patches: PatchSampler, image: Sample, sigma: float, config: RetrainConfig, team: Team
) -> float:
    """The shortest of twelve steps of `nasir.training.retrain.retrain`, seconds: that on which other work weighs least.

    On a CPU they are those of the processor, of all its threads together, so that other processes weigh less still.

    Args:
        network: trained for these steps, and one before and one behind them.
        patches, sigma, config, team: of the training.
        image: any; it is scored once.
    """
    clock = time.process_time if team.device.type == "cpu" else time.perf_counter
    times = [clock()]

    def note(step: int, news: dict[str, float]) -> None:
        times.append(clock())  # the loss was read before, so a GPU has done the step

    brief = replace(
        config, steps=TIMED + 2, warmup_steps=0, log_period=1, val_period=TIMED + 2, checkpoint_period=TIMED + 2
    )
    retrain(
        network, patches=patches, images_v={"any": image}, sigma=sigma, config=brief, seed=0, state=None,
        save=lambda state: None, log=note, team=team,
    )  # fmt: skip
    # without the first, in which kernels are made ready, and the last, which is scored
    return min(later - earlier for earlier, later in pairwise(times[1:-1]))
