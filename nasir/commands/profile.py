"""`nasir profile`: what a network takes to restore one image, and which of its layers take it."""

import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nasir.commands.failing import refusing
from nasir.commands.terminal import align, print_json, say
from nasir.config.training import DEVICES
from nasir.messages import cut

if TYPE_CHECKING:
    from nasir.inference.profiling import Profile

LONGEST = 1_000_000
"""Side of an image, pixels; above it no memory holds what a network makes of it."""


@refusing
def profile(
    model: Annotated[str, typer.Argument(help="A folder that retrain wrote, or the name of a shipped network.")],
    size: Annotated[str, typer.Option(help="Of the image: HEIGHTxWIDTH in pixels, as in 321x481.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    rounds: Annotated[int, typer.Option(help="Passes that are timed; the fastest counts.", min=1)] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure one forward pass: its parameters, operations, seconds and memory, in all and by kind of layer.

    The image goes through in one piece, however large (`nasir restore` cuts it into tiles), and the network as it runs there:
    with batch normalisation folded into convolutions.

    Memory is the most that the tensors of the pass take at one time, without the weights, the image and the libraries' own; on
    a CPU, that of the whole process is told, too. Of a kind it is the most while one of its layers runs, with what others have
    left; its seconds are its share of the time of a watched pass, taken from those of the fastest.
    """
    sides = parse(size)
    if device not in DEVICES:
        raise ValueError(f"--device must be one of {list(DEVICES)}, got {device!r}.")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler, which reads it as it is loaded, tells of itself
    import torch

    from nasir.inference import model as models
    from nasir.inference import profiling
    from nasir.training.device import choose, peak_memory_mib

    denoiser = models.load(model, choose(device))
    found = profiling.profile(denoiser.network, denoiser.channels, sides, rounds)
    where = next(denoiser.network.parameters()).device
    facts: dict[str, object] = {
        "name": model,
        "height": sides[0],
        "width": sides[1],
        "channels": denoiser.channels,
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "process_mib": None if where.type == "cuda" else peak_memory_mib(where),
    }
    if json:
        print_json(facts | asdict(found))
        return
    say(_text(facts, found))


def parse(size: str) -> tuple[int, int]:
    """Height and width out of HEIGHTxWIDTH.

    Raises:
        ValueError: for anything else, or a side of more than LONGEST.
    """
    if not (sides := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size, re.ASCII)):
        raise ValueError(f"--size must be HEIGHTxWIDTH in pixels, as in 321x481, got {cut(repr(size))}.")
    if max(map(len, sides.groups())) > len(str(LONGEST)) or max(map(int, sides.groups())) > LONGEST:
        raise ValueError(f"--size may have sides of at most {LONGEST:,} pixels, got {cut(size)}; choose smaller ones.")
    return int(sides[1]), int(sides[2])


def _text(facts: dict[str, object], found: "Profile") -> str:
    threads = "" if facts["process_mib"] is None else f", threads: {facts['threads']}"
    memory = f"{found.tensors_mib:,.1f} MiB of tensors"
    if facts["process_mib"] is not None:
        memory += f"; the whole process {facts['process_mib']:,.1f} MiB"
    pixels = int(str(facts["height"])) * int(str(facts["width"]))
    said = [
        ("image", f"{facts['height']}x{facts['width']} (height x width), channels: {facts['channels']}"),
        ("device", f"{facts['device']}{threads}"),
        ("parameters", f"{found.parameters:,}"),
        ("operations", f"{found.flops / 1e9:,.3f} billion, {found.flops / pixels:,.0f} per pixel"),
        ("seconds", f"{found.seconds:.4f}, the least of {facts['rounds']}"),
        ("memory", memory),
    ]
    lines = [["layers", "number", "parameters", "billion operations", "seconds", "share", "MiB"]]
    for kind in found.kinds:
        number = "" if kind.name == "other" else str(kind.layers)
        told = [f"{kind.parameters:,}", f"{kind.flops / 1e9:,.3f}", f"{kind.seconds:.4f}", f"{kind.share:.1%}"]
        lines.append([kind.name, number, *told, f"{kind.tensors_mib:,.1f}"])
    return f"{facts['name']}\n\n{align(said, left=2)}\n\n{align(lines)}"
