"""synthesize: describe the degraded images; Gaussian noise is a function of (name, sigma, seed) and need not be stored."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasir import task as tasks
from nasir.config.synthesize import SynthesizeConfig
from nasir.data import noise
from nasir.data.pictures import listing
from nasir.data.pictures.collection import pair_of, stack, to_array, to_sample
from nasir.data.pictures.images import save_png, to_uint8
from nasir.evaluation.metrics import psnr
from nasir.files import Log, write_csv

COLUMNS = (
    "name",
    "split",
    "sigma",
    "seed",
    "height",
    "width",
    "measured_sigma",
    "mean_noise",
    "noisy_psnr_db",
    "sha256",
)

ARTIFACTS = ("previews",)


def run(*, pictures: Path, out: Path, task: str, sigma: float, seed: int, config: SynthesizeConfig, log: Log) -> None:
    """Write `manifest.csv` and previews of the first test images into `out`.

    A row describes one degraded image under protocol `whole`: the standard deviation and the mean of what was added in
    8-bit grey levels, its PSNR once clipped to [0, 1], and the SHA-256 of its float32 values (little-endian, row by row).
    """
    chosen = tasks.find(task)
    listed = listing.read(pictures)
    previewed = listing.names(listed, "test")[: config.previews]
    rows = []
    for step, picture in enumerate(listed, start=1):
        name = picture.name
        clean, degraded = pair_of(to_sample(stack(pictures, picture, chosen), chosen))
        noisy = noise.add_keyed_noise(degraded, name, sigma, seed)
        clipped = noisy.clamp(0, 1)
        row = _describe(clean, noisy, clipped)
        rows.append({"name": name, "split": picture.split, "sigma": sigma, "seed": seed} | row)
        if name in previewed:
            side_by_side = torch.cat([clean, clipped], dim=2)
            save_png(out / "previews" / f"{name.replace('/', '_')}.png", to_uint8(to_array(side_by_side)))
        log(step, {name: row[name] for name in ("measured_sigma", "noisy_psnr_db")})
    write_csv(out / "manifest.csv", rows, COLUMNS)


def _describe(clean: Tensor, noisy: Tensor, clipped: Tensor) -> dict[str, Any]:
    levels = noisy.double().sub_(clean).mul_(255)
    return {
        "height": clean.shape[-2],
        "width": clean.shape[-1],
        "measured_sigma": levels.std(correction=0).item(),
        "mean_noise": levels.mean().item(),
        "noisy_psnr_db": psnr(clipped[None], clean[None]).item(),
        "sha256": noise.digest(noisy),
    }
