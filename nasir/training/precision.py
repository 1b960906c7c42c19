"""In which numbers a network is trained: float32, or bfloat16 in its convolutions."""

import torch

AUTO, FULL, MIXED = "auto", "32-true", "bf16-mixed"


def choose(precision: str, device: torch.device) -> str:
    """`precision` itself; for `auto` bf16-mixed where the device multiplies bfloat16 faster than float32, else 32-true.

    That is a CPU with AVX512-BF16 or AMX, and a CUDA device of compute capability 8 or above; others would emulate it. It is
    read off the device and not timed, so that it is the same in every run on it.
    """
    if precision != AUTO:
        return precision
    return MIXED if is_bfloat16_fast(device) else FULL


def is_bfloat16_fast(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
