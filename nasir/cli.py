"""`nasir`: what a person does with one image."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Neural architecture search for image restoration.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Keep `restore` a command of its own while it is the only one."""


@app.command()
def restore(
    image: Annotated[Path, typer.Argument(help="An 8-bit image, grey or colour.")],
    model: Annotated[Path, typer.Option(help="The model folder that retrain wrote.")],
    sigma: Annotated[float, typer.Option(help="Noise standard deviation in the image, 8-bit grey levels.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Denoise IMAGE and write it to OUT as a PNG of the same size; a colour image channel by channel."""
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out must end in .png (a lossy format would add noise again), got {out}.")
    from nasir.data import images
    from nasir.training import model as models
    from nasir.training.device import choose

    noisy = images.load_colour(image)  # before the slower parts, so that a wrong path answers at once
    denoiser = models.load(model, choose(device))
    images.save_png(out, models.restore_image(denoiser, noisy, sigma))
    print(f"{out}: {noisy.shape[1]}x{noisy.shape[0]}, restored at sigma {sigma:g}")


def main() -> None:
    """Run a command; an error that says what to do is shown without a traceback."""
    try:
        app()
    except ValueError as error:
        sys.exit(f"error: {error}")
