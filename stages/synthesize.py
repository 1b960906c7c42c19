"""synthesize: describe the noisy test images, which are a function of (name, sigma, seed) and need not be stored."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nasir.config import SynthesizeConfig
from nasir.data import manifest, noise
from nasir.data.collection import to_clean
from nasir.data.images import load_grey, save_png, to_uint8
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


def run(*, images: Path, out: Path, sigma: float, seed: int, config: SynthesizeConfig, log: Log) -> None:
    """Write `manifest.csv` and previews of the first test images into `out`.

    A row describes one noisy image under protocol `whole`: the standard deviation and the mean of its noise in 8-bit
    grey levels, its PSNR once clipped to [0, 1], and the SHA-256 of its float32 values (little-endian, row by row).
    """
    entries = manifest.read(images / "manifest.csv")
    missing = [entry.path for entry in entries if not (images / entry.path).is_file()]
    if missing:
        raise ValueError(
            f"{images} must hold the {len(entries)} images of its manifest, got {len(missing)} missing: "
            f"{manifest.list_some(missing)}; run the download step again."
        )
    previewed = manifest.names(entries, "test")[: config.previews]
    rows = []
    for step, entry in enumerate(entries, start=1):
        clean = to_clean(load_grey(images / entry.path))
        noisy = noise.add_keyed_noise(clean, entry.name, sigma, seed)
        clipped = noisy.clamp(0, 1)
        row = _describe(clean, noisy, clipped)
        rows.append({"name": entry.name, "split": entry.split, "sigma": sigma, "seed": seed} | row)
        if entry.name in previewed:
            pair = np.concatenate([clean[0].numpy(), clipped[0].numpy()], axis=1)
            save_png(out / "previews" / f"{entry.name.replace('/', '_')}.png", to_uint8(pair))
        log(step, {name: row[name] for name in ("measured_sigma", "noisy_psnr_db")})
    write_csv(out / "manifest.csv", rows, COLUMNS)


def _describe(clean: Tensor, noisy: Tensor, clipped: Tensor) -> dict[str, Any]:
    levels = (noisy.double() - clean.double()) * 255
    return {
        "height": clean.shape[-2],
        "width": clean.shape[-1],
        "measured_sigma": levels.std(correction=0).item(),
        "mean_noise": levels.mean().item(),
        "noisy_psnr_db": psnr(clipped[None], clean[None]).item(),
        "sha256": noise.digest(noisy),
    }
