"""What `precision: auto` is taken for on which device."""

import pytest
import torch

from nasir.training.device import facts
from nasir.training.precision import choose

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({"architecture": "aarch64"}, "32-true"),
    ],
)
def test_auto_is_bfloat16_on_a_cpu_with_instructions_for_it(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert choose("auto", CPU) == expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_auto_is_bfloat16_on_a_gpu_from_capability_8_on(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose("auto", CUDA) == expected


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("is_fast", [True, False])
def test_what_a_person_has_chosen_is_taken_on_any_device(monkeypatch, precision, is_fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": is_fast, "amx_bf16": is_fast})
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0) if is_fast else (7, 0))
    assert (choose(precision, CPU), choose(precision, CUDA)) == (precision, precision)


def test_a_run_s_bits_depend_on_its_precision():
    one, other = (facts(CPU, precision) for precision in ("32-true", "bf16-mixed"))
    assert one | {"precision used": "bf16-mixed"} == other != one
