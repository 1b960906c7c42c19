"""`nasir show`: what a network is made of, in words, numbers and a drawing."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasir.commands.failing import refusing
from nasir.commands.terminal import align, print_json, require_suffix, say

if TYPE_CHECKING:
    from torch import nn

    from nasir.commands.subjects import Subject

SIDE = 64
"""Of the image that operations are counted on, pixels."""

Sizes = Annotated[
    str | None, typer.Option(help="Of a genotype: the profile whose sizes its network gets; none: that of params.yaml.")
]


@refusing
def show(
    model: Annotated[
        str,
        typer.Argument(help="A folder that retrain wrote, the name of a shipped network, or a genotype's JSON file."),
    ],
    out: Annotated[Path | None, typer.Option(help="A .svg or .png file to write: the drawing of the genotype.")] = None,
    sizes: Sizes = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a network is made of: its choices line by line, and what each part costs.

    Operations are those of convolutions and matrix products, two for a multiply-add, in one forward pass and divided by the
    pixels of the image; normalisation, activations, sums and interpolation are not counted.
    """
    if out is not None:
        require_suffix("--out", out, (".svg", ".png"))
    from nasir.commands import subjects

    subject = subjects.read(model, sizes)
    if out is not None and subject.space is None:
        raise ValueError(
            f"--out draws what a search found, got the hand-designed network {subject.facts['network']}; leave it out."
        )
    costs = cost_of(subject)
    if out is not None:
        _draw(subject, out)
    if json:
        drawn = {"drawing": None if out is None else str(out)}
        told = {"name": subject.name, "description": subject.description, "facts": dict(subject.facts)}
        print_json(told | {"outline": dict(subject.outline)} | costs | drawn)
        return
    parts = [f"{subject.name}: {subject.description}", align(list(subject.lines().items()), left=2), _table(costs)]
    say("\n\n".join(parts + ([] if out is None else [f"{out}: the drawing, at the sizes of this network"])))


def cost_of(subject: "Subject") -> dict[str, Any]:
    """Parameters and operations per pixel: of the whole network, and as a list of its top-level parts, cell by cell.

    What no part has (a parameter or a sum of the network itself) is a part "elsewhere"; parts without either are left out.
    """
    import torch

    from nasir.layers import cost
    from nasir.layers.breakdown import flops_within

    network = subject.network.eval()
    children = _parts_of(network)
    image = torch.zeros(1, subject.channels, SIDE, SIDE)
    total, within = flops_within(network, image, {name: list(child.modules()) for name, child in children.items()})
    counted = {name: (cost.parameters(child), within[name]) for name, child in children.items()}
    parameters = cost.parameters(network)
    rest = parameters - sum(own for own, _ in counted.values()), total - sum(flops for _, flops in counted.values())
    parts = [
        {"part": name, "parameters": own, "flops_per_pixel": flops / SIDE**2}
        for name, (own, flops) in (counted | {"elsewhere": rest}).items()
        if own or flops
    ]
    return {"parameters": parameters, "flops_per_pixel": total / SIDE**2, "parts": parts}


def _parts_of(network: "nn.Module") -> "dict[str, nn.Module]":
    """The top-level parts of a network by name, with each of its `cells` as a part of its own."""
    parts: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        own = {f"cell {number}": cell for number, cell in enumerate(child.children(), 1)} if name == "cells" else {}
        parts.update(own or {name: child})
    return parts


def _table(costs: dict[str, Any]) -> str:
    lines = [["part", "parameters", "operations per pixel"]]
    for part in (*costs["parts"], {"part": "all"} | costs):
        lines.append([part["part"], f"{part['parameters']:,}", f"{part['flops_per_pixel']:,.0f}"])
    return align(lines)


def _draw(subject: "Subject", out: Path) -> None:
    """The drawing of the space, which makes both formats, in the one that was asked for."""
    from nasir.files import write_bytes, writing
    from nasir.spaces import contract

    assert subject.space is not None
    with tempfile.TemporaryDirectory() as folder:
        svg, png = (Path(folder) / f"drawing{suffix}" for suffix in (".svg", ".png"))
        contract.part(subject.space.drawing).draw(subject.genotype, subject.section, svg, png)
        with writing(out):
            write_bytes(out, (svg if out.suffix.lower() == ".svg" else png).read_bytes())
