"""`nasir export`: a trained network as a file for other programs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from nasir.commands.failing import refusing
from nasir.commands.terminal import print_json, require_suffix, say


@refusing
def export(
    model: Annotated[str, typer.Argument(help="A folder that retrain wrote, or the name of a shipped network.")],
    to: Annotated[str, typer.Option(help="onnx, torch-export or safetensors.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; none: MODEL's own name here, with the suffix of TO.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a network for other programs: as an ONNX model, a torch.export program (.pt2), or its weights.

    Both programs take `noisy`, float32 in [0, 1] plus noise of the level that the network was trained for, of the shape (images,
    channels, height, width), all free but the channels, and give `restored` of that shape, not clipped. Sides that the network
    needs filled up are filled up inside; deformable convolutions are written as gathers and products; a network that was trained
    behind a picture's tone begins with its estimate. An image goes through in one piece.

    Before the file is put in place, what it computes is compared with the network on three sizes; it must agree to 1e-4.

    ONNX needs three more packages: pip install 'nasir[export]'.

    The file has what `model.json` says of the network under "nasir": in an ONNX model's metadata, in the extra files of a .pt2,
    in the header of a file of weights.
    """
    from nasir.inference import exporting

    if to not in exporting.SUFFIXES:
        raise ValueError(f"--to must be one of {list(exporting.SUFFIXES)}, got {to!r}.")
    out = out or Path(Path(model).resolve().name + exporting.SUFFIXES[to])
    require_suffix("--out", out, [exporting.SUFFIXES[to]])
    from nasir.files import require_writable, writing
    from nasir.inference import model as models
    from nasir.inference import zoo

    require_writable(out)
    denoiser = models.load(model)
    facts = models.describe(zoo.SHELF / model if model in zoo.names() else Path(model))
    with writing(out):
        found = exporting.export(denoiser.network, denoiser.channels, to, facts, out, denoiser.tone)
    told: dict[str, Any] = {"name": model, "to": to, "file": str(out)} | asdict(found)
    if json:
        print_json(told | {"checked": [list(sides) for sides in exporting.CHECKED], "tolerance": exporting.TOLERANCE})
        return
    sides = f"\nit takes images with sides of {found.smallest_side} pixels or more" if found.smallest_side > 1 else ""
    say(f"{out}: {model}, {found.bytes:,} bytes{_checked(found.largest_difference)}{sides}")


def _checked(difference: float | None) -> str:
    """How the file was checked, for a person."""
    from nasir.inference import exporting

    if difference is None:
        return ", the weights as they were trained"
    sizes = ", ".join(f"{height}x{width}" for height, width in exporting.CHECKED)
    return f", {difference:.1g} from the network at most on images of {sizes}"
