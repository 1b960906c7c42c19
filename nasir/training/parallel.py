"""Several processes that train one network on one batch, set up by Lightning Fabric; or one process, without it.

Fabric starts the processes (or finds those of torchrun or SLURM), gives each its device, joins them (gloo on CPUs, NCCL on
GPUs) and brings their autocast for `bf16-mixed`. The rest is here, and gives the numbers of one process with the whole batch:

    batch        every process draws the whole batch from the same generator state and takes its part
    statistics   of batch normalisation, and both means in the loss, are over all processes (`Team.mean`)
    gradients    each process has its part of the sum that is the batch's gradient; the parts are added up (`add_up`)

Fabric's DDP strategy therefore only joins the processes: its wrapper of the network is not used. That wrapper averages the
gradients of per-process losses, which is not exact for the logarithm of a mean SSIM, and it does not see gradients taken
with `torch.autograd.grad`, as the search does. Price: the exchange starts after the backward pass, not within it.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from nasir.data.pictures.collection import Sample
from nasir.layers.normalisation import reduce_sum, reduce_sums, share_statistics, together, world_size
from nasir.training.device import choose
from nasir.training.precision import FULL
from nasir.training.precision import choose as choose_precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

TIMEOUT = timedelta(minutes=30)
"""A process that waits this long for another one gives up. One that has ended is noticed at once or within seconds."""

KINDS = ("auto", "ddp")


@dataclass(frozen=True)
class Team:
    """This process among those that share a batch."""

    rank: int  # 0 is the first, which alone writes
    size: int
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # around the network's forward pass
    precision: str = FULL  # of that pass

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and tells news."""
        return self.rank == 0

    def say(self, text: str) -> None:
        """A line on standard error, by the first process."""
        if self.is_first:
            print(text, file=sys.stderr, flush=True)

    def shard(self, batch: Tensor, parts: int = 1) -> Tensor:
        """This process's part of a batch, shape (N / size, ...).

        A batch that is worked off in `parts`, one after the other, is cut into these first and each of them among the
        processes, so that the parts of all processes together are those of one.

        Raises:
            ValueError: if the batch cannot be cut so.
        """
        if len(batch) % (self.size * parts):
            raise ValueError(
                f"a batch must be a multiple of its parts times the processes ({parts} * {self.size}), got {len(batch)}; "
                "change one of them."
            )
        if self.size == 1:
            return batch
        return torch.cat([part.chunk(self.size)[self.rank] for part in batch.chunk(parts)])

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the values of all processes (equally many each), with a gradient.

        The gradient is this process's part: added up over the processes it is that of the common mean.
        """
        return values.mean() if self.size == 1 else _CommonMean.apply(values.mean())

    def align(self, module: nn.Module, step: int) -> None:
        """Before training: statistics over all processes, and everywhere the first process's weights and buffers.

        Raises:
            ValueError: if the processes do not stand at the same step.
        """
        if self.size == 1:
            return
        steps = self._gather(step)
        if len(set(steps)) > 1:
            raise ValueError(
                f"all processes must start at the same step, got {steps}; let every machine see the same checkpoint."
            )
        share_statistics(module)
        for values in module.state_dict().values():
            together(partial(distributed.broadcast, values, 0))

    def score(
        self, score: Callable[[Mapping[str, Sample]], dict[str, float]], images: Mapping[str, Sample]
    ) -> dict[str, float]:
        """`score(images)` where that is a mean over the images: each process scores some, all get the same result."""
        if self.size == 1:
            return score(images)
        mine = dict(list(images.items())[self.rank :: self.size])
        gathered = [(n, means) for n, means in self._gather((len(mine), score(mine) if mine else {})) if n]
        return {name: sum(n * means[name] for n, means in gathered) / len(images) for name in gathered[0][1]}

    def _gather(self, value: Any) -> list[Any]:
        """Every process's plain value, by rank."""
        values: list[Any] = [None] * self.size
        together(lambda: distributed.all_gather_object(values, value))
        return values


def alone(device: torch.device) -> Team:
    """One process."""
    return Team(rank=0, size=1, device=device)


def add_up(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Each gradient's sum over the processes, in one exchange; None, which all must have alike, stays None.

    With one process the very tensors.
    """
    totals = iter(reduce_sums(*(gradient for gradient in gradients if gradient is not None)))
    return [None if gradient is None else next(totals) for gradient in gradients]


class _CommonMean(torch.autograd.Function):
    """Mean of one number of each process; its gradient with respect to this process's number is 1 / processes."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        return reduce_sum(mine) / world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / world_size()


def is_first() -> bool:
    """Whether this process is the first one, as far as the environment says: before, and without, `assemble`."""
    return all(int(os.environ.get(name) or 0) == 0 for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))


@contextmanager
def assemble(*, section: str, devices: int, parallel: str, precision: str, device: str) -> Iterator[Team]:
    """Join the processes of a step.

    Without torchrun or SLURM, Fabric starts the command of this process again, `devices` - 1 times, with LOCAL_RANK set. One
    process needs no Fabric, which is not even imported then. All wait for each other at the end.

    Args:
        section: of the profile, for messages.
        devices: processes in all: one for each GPU, on all machines, or on one machine's CPU.
        parallel: Fabric's strategy: ddp, or auto, which is the same here.
        precision: 32-true, or bf16-mixed: convolutions in bfloat16, weights, statistics and loss in float32; auto: see
            `nasir.training.precision`.
        device: auto, cpu or cuda.

    Raises:
        ValueError: if torchrun or SLURM started another number of processes, there are too few GPUs, or Fabric is missing.
        ConnectionError: if the processes do not come together, or one of them ends before the others.
    """
    kind = choose(device)
    precision = choose_precision(precision, kind)
    started = _started_outside(devices)
    if started not in (None, devices):
        raise ValueError(
            f"{section}.devices must be the number of processes that were started, {started}, got {devices}; "
            f"pass --set {section}.devices={started}, or start {devices}."
        )
    if parallel not in KINDS:
        raise ValueError(f"{section}.parallel must be one of {list(KINDS)}, got {parallel!r}.")
    if devices == 1:
        autocast = nullcontext if precision == FULL else partial(torch.autocast, kind.type, torch.bfloat16)
        yield Team(rank=0, size=1, device=kind, autocast=autocast, precision=precision)
        return
    fabric = _fabric(section, devices, precision, kind)
    together(fabric.launch)
    yield Team(
        rank=fabric.global_rank,
        size=fabric.world_size,
        device=fabric.device,
        autocast=fabric.autocast,
        precision=precision,
    )
    together(fabric.barrier)  # not after an error, when the others would wait for nothing
    distributed.destroy_process_group()


def _started_outside(devices: int) -> int | None:
    """How many processes were started for this step before it looked; None if none but this one."""
    if "LOCAL_RANK" in os.environ:  # by torchrun, or by Fabric in the first process
        return int(os.environ.get("WORLD_SIZE") or devices)
    return int(os.environ["SLURM_NTASKS"]) if _is_srun(devices) else None


def _is_srun(devices: int) -> bool:
    """Whether srun started this process; a batch script has SLURM's variables too, and no step unless srun makes one."""
    tasks = int(os.environ.get("SLURM_NTASKS") or 0)
    is_interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return not is_interactive and tasks > 0 and ("SLURM_STEP_ID" in os.environ or min(tasks, devices) > 1)


def _fabric(section: str, devices: int, precision: str, kind: torch.device) -> "Fabric":
    """Fabric for these settings, not launched yet."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import LightningEnvironment
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise ValueError(
            f"{section}.devices {devices} with precision {precision} needs Lightning Fabric, got {error}; "
            "install it (pip install lightning-fabric), or set devices to 1."
        ) from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce every process
    is_outside = "TORCHELASTIC_RUN_ID" in os.environ or _is_srun(devices)
    each = _per_machine(section, devices) if is_outside else devices
    if kind.type == "cuda" and torch.cuda.device_count() < each:
        raise ValueError(
            f"{section}.devices asks for {each} GPUs on this machine, got {torch.cuda.device_count()}; "
            f"lower it, or set {section}.device to cpu."
        )
    try:
        return Fabric(
            accelerator=kind.type,
            devices=each,
            num_nodes=devices // each,
            strategy=DDPStrategy(timeout=TIMEOUT) if devices > 1 else "auto",
            precision=precision,  # type: ignore[arg-type]  # the config allows two of Fabric's words
            plugins=[] if is_outside else [LightningEnvironment()],  # SLURM's variables alone do not make processes
        )
    except RuntimeError as error:  # of srun's options; the message names them
        raise ValueError(f"Lightning Fabric must accept how the processes were started, got: {error}") from error


def _per_machine(section: str, devices: int) -> int:
    """Processes on this machine, where torchrun or srun spread `devices` over several."""
    name = "GROUP_WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_NNODES"
    machines = int(os.environ.get(name) or 1)
    if devices % machines:
        raise ValueError(f"{section}.devices must be a multiple of the {machines} machines, got {devices}; change one.")
    return devices // machines
