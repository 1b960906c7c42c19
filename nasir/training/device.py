"""Where a step computes, and how repeatably."""

import os

import torch

from nasir import memory
from nasir.config.training import DEVICES


def choose(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; `auto` takes a CUDA device where there is one.

    Raises:
        ValueError: for another name, or if `cuda` is asked for and there is none.
    """
    if name not in DEVICES:
        raise ValueError(f"device must be one of {list(DEVICES)}, got {name!r}; correct it.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, got a torch without a CUDA device; use auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def is_deterministic(device: torch.device, asked: bool | str = "auto") -> bool:
    """Whether computations on a device are to give the same bits each time: as `safety.deterministic` says; auto: on a CPU."""
    return device.type == "cpu" if asked == "auto" else bool(asked)


def set_determinism(device: torch.device, asked: bool | str = "auto") -> None:
    """Same bits from the same seed, or not: then torch may take quicker sums whose order, and so last bits, differ each time.

    On CUDA some operations have no such mode, the gradient of grid sampling in `def_3x3` among them; where it was asked for, they
    raise torch's RuntimeError, which names them.

    Args:
        device: where is computed.
        asked: `safety.deterministic`: true, false, auto.
    """
    is_asked = is_deterministic(device, asked)
    if is_asked and device.type == "cuda":
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # read by cuBLAS when it starts; without it torch refuses
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, so that scores do not depend on the device
    torch.backends.cudnn.benchmark = False  # which would choose among algorithms by their seconds
    torch.use_deterministic_algorithms(is_asked)
    # nothing here reads memory that was never written
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 (the stubs lack it)


def facts(device: torch.device, precision: str, asked: bool | str = "auto") -> dict[str, object]:
    """What a run's bits depend on besides its settings: device, precision, torch, whether it is deterministic (`set_determinism`)
    and, on a CPU, the number of threads.
    """
    threads = {"threads": torch.get_num_threads()} if device.type == "cpu" else {}
    used: dict[str, object] = {"device used": device.type, "precision used": precision, "torch": torch.__version__}
    return used | {"deterministic": is_deterministic(device, asked)} | threads


def peak_memory_mib(device: torch.device) -> float:
    """The most memory so far, MiB: allocated on a GPU; of the whole process, torch itself included, on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return memory.peak_mib()
