"""Where a step computes, and how repeatably."""

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


def set_determinism(device: torch.device) -> None:
    """Same bits from the same seed on a CPU (the default there). On CUDA the gradient of grid sampling has no such mode."""
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, so that scores do not depend on the device
    torch.use_deterministic_algorithms(device.type == "cpu")
    # nothing here reads memory that was never written
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 (the stubs lack it)


def facts(device: torch.device, precision: str) -> dict[str, object]:
    """What a run's bits depend on besides its settings: device, precision, torch and, on a CPU, the number of threads."""
    threads = {"threads": torch.get_num_threads()} if device.type == "cpu" else {}
    return {"device used": device.type, "precision used": precision, "torch": torch.__version__, **threads}


def peak_memory_mib(device: torch.device) -> float:
    """The most memory so far, MiB: allocated on a GPU; of the whole process, torch itself included, on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return memory.peak_mib()
