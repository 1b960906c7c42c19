"""A trained network as a file for other programs: an ONNX model, a torch.export program, or its weights alone.

What a file computes is compared with the network before anything is written. Input `noisy` and output `restored` have the shape
(images, channels, height, width), float32; the input is in [0, 1] plus noise, the output is not clipped.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from nasir.files import write_bytes
from nasir.inference import tracing
from nasir.inference.tone import Tone
from nasir.inference.traced_tone import TracedTone

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ".safetensors"}
"""What a network can be exported to, with the suffix of the file."""

OPSET = 20
"""Of ONNX's operators; ONNX Runtime reads it from 1.17 on."""

CHECKED = ((48, 64), (37, 51), (75, 29))
"""Height and width of the images that a file is checked with: multiples of 8, and odd ones."""

TOLERANCE = 1e-4
"""Largest difference that a file may make, of intensities in [0, 1]."""

EXAMPLE = (2, 40, 56)
"""Images, height and width of what the exporter is shown; none of them stays fixed."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how far it was checked."""

    bytes: int
    smallest_side: int  # pixels; images with a shorter one are refused by the file
    largest_difference: float | None  # from the network, over `CHECKED`; None for weights, which are the same bits


def export(
    network: nn.Module, channels: int, to: str, facts: Mapping[str, Any], out: Path, tone: Tone | None = None
) -> Exported:
    """Write a network as a file of one of `SUFFIXES`.

    Args:
        network: on a CPU; left as it is.
        channels: of its images.
        to: a key of `SUFFIXES`.
        facts: what is said of the network in the file, as JSON under the key "nasir".
        out: replaced whole, or left alone where anything goes wrong.
        tone: what the network was trained behind; its numbers go with the weights, and a graph begins with it.

    Raises:
        ValueError: if the network cannot be exported so, packages are missing, or the file computes something else.
    """
    note = json.dumps(dict(facts))
    if to == "safetensors":
        tensors = {key: value.detach().contiguous() for key, value in network.state_dict().items()}
        tensors |= tone.tensors() if tone is not None else {}
        data = safetensors.torch.save(tensors, metadata={"nasir": note})
        write_bytes(out, data)
        return Exported(bytes=len(data), smallest_side=1, largest_difference=None)
    if to == "onnx":
        _require_onnx()
    with _quiet(), torch.no_grad():
        restore: Callable[[Tensor], Tensor] = network
        traced = tracing.traceable(network, channels)
        if tone is not None:
            traced, restore = nn.Sequential(TracedTone(tone), traced), lambda noisy: network(tone.undo(noisy))
        program = _program(traced.eval(), channels)
        if to == "onnx":
            data, run = _to_onnx(program, note)
            smallest = 1  # an ONNX file has no such bound: sizes are computed in its graph
        else:
            data, run = _to_archive(program, note)
            smallest = _smallest_side(program)
        difference = _difference(restore, run, channels)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"what is exported must restore as the network does, up to {TOLERANCE:g}, got a difference of {difference:.2g}; "
            "nothing was written: export to another form."
        )
    write_bytes(out, data)
    return Exported(bytes=len(data), smallest_side=smallest, largest_difference=difference)


def _program(network: nn.Module, channels: int) -> torch.export.ExportedProgram:
    """The graph of a network, for any number of images, height and width.

    Raises:
        ValueError: for a network that torch cannot follow; its reason is told.
    """
    images, height, width = EXAMPLE
    example = torch.rand(images, channels, height, width, generator=torch.Generator().manual_seed(0))
    free = torch.export.Dim.DYNAMIC
    try:
        return torch.export.export(network, (example,), dynamic_shapes=({0: free, 2: free, 3: free},))
    except Exception as error:  # a network is anybody's, and torch has a dozen types for what it cannot follow
        raise ValueError(
            f"torch must be able to follow the network for images of every size, got {_reason(error)}; "
            f"export its weights (--to safetensors)."
        ) from error


def _smallest_side(program: torch.export.ExportedProgram) -> int:
    """Of the images that a program takes, pixels; torch asks for two images' room in every size that is free."""
    [noisy] = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    _, _, *sides = noisy.meta["val"].shape
    return max(int(program.range_constraints[side.node.expr].lower) for side in sides)


def _to_onnx(program: torch.export.ExportedProgram, note: str) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    """An ONNX model in one file, and what ONNX Runtime computes by it."""
    import onnxruntime

    try:
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=["noisy"], output_names=["restored"], verbose=False
        )
    except Exception as error:  # as above
        raise ValueError(
            f"torch must have every operation of the network in ONNX, got {_reason(error)}; export to torch-export."
        ) from error
    assert exported is not None
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for place, name in ((0, "images"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[place].dim_param = name
    model.metadata_props.add(key="nasir", value=note)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda noisy: torch.from_numpy(session.run(["restored"], {"noisy": noisy.numpy()})[0])


def _to_archive(program: torch.export.ExportedProgram, note: str) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    """A .pt2 archive, and what the program that is read from it computes."""
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={"nasir": note})
    data = file.getvalue()
    return data, torch.export.load(io.BytesIO(data)).module()


def _difference(restore: Callable[[Tensor], Tensor], run: Callable[[Tensor], Tensor], channels: int) -> float:
    """The largest one of what is run from what restores, over images of all sizes of `CHECKED`; NaN if there is one."""
    generator = torch.Generator().manual_seed(1)
    largest = torch.zeros(())
    for sides in CHECKED:
        noisy = torch.rand(1, channels, *sides, generator=generator)
        largest = torch.maximum(largest, (run(noisy) - restore(noisy)).abs().max())
    return float(largest)


def _require_onnx() -> None:
    """Refuse to begin without the packages of the extra `export`."""
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"ONNX needs the packages onnx, onnxscript and onnxruntime, got no {', '.join(missing)}; "
            "pip install 'nasir[export]'."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, torch's exporter keeps what it says of itself (old calls, packages that it does not need) to itself."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__} ({str(error).strip().partition(chr(10))[0]})"
