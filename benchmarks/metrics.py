"""PSNR and SSIM of a set of images: `nasir.evaluation.metrics` against scikit-image, in one run.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --images FOLDER

Without a folder: 50 random textures of 481x321 pixels; each image is scored with Gaussian noise of sigma 25, clipped. The
two take turns on each image, so that both meet the same load. Prints milliseconds for an image (mean over the set,
median of five rounds), their ratio and the largest difference, with torch's default number of threads and with one.
scikit-image has no SSIM of images continued by zeros; it gets images with 5 zeros on each side, which comes to the same.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.table import to_markdown
from nasir.data.pictures import images
from nasir.evaluation import metrics

Measure = Callable[[np.ndarray, np.ndarray], tuple[float, ...]]
COUNT = 50
ROUNDS = 5


def our_valid(restored: np.ndarray, clean: np.ndarray) -> tuple[float, ...]:
    """PSNR, valid SSIM."""
    x, y = torch.from_numpy(restored)[None, None], torch.from_numpy(clean)[None, None]
    return metrics.psnr(x, y).item(), metrics.ssim_valid(x, y).item()


def our_both(restored: np.ndarray, clean: np.ndarray) -> tuple[float, ...]:
    """PSNR, valid SSIM and zero-padded SSIM, from one map."""
    x, y = torch.from_numpy(restored)[None, None], torch.from_numpy(clean)[None, None]
    similarity = metrics.ssim_map(x, y)
    return metrics.psnr(x, y).item(), metrics.valid_region(similarity).mean().item(), similarity.mean().item()


def their_valid(restored: np.ndarray, clean: np.ndarray) -> tuple[float, ...]:
    """The same as `our_valid`, by scikit-image."""
    return peak_signal_noise_ratio(clean, restored, data_range=1), their_ssim(restored, clean)


def their_both(restored: np.ndarray, clean: np.ndarray) -> tuple[float, ...]:
    """The same as `our_both`, by scikit-image."""
    return *their_valid(restored, clean), their_ssim(np.pad(restored, metrics.RADIUS), np.pad(clean, metrics.RADIUS))


def their_ssim(restored: np.ndarray, clean: np.ndarray) -> float:
    """SSIM over the windows that lie inside."""
    return structural_similarity(
        clean, restored, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )


CONTESTS: dict[str, tuple[Measure, Measure]] = {
    "PSNR, valid SSIM": (our_valid, their_valid),
    "PSNR, valid and zero-padded SSIM": (our_both, their_both),
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=Path, help=f"a folder of 8-bit images, of which {COUNT} are read as grey levels"
    )
    folder = parser.parse_args().images

    print(to_markdown(measure(folder)))


def measure(folder: Path | None = None) -> list[dict[str, Any]]:
    """A row for each of `CONTESTS` and number of threads, on textures or on the first images of a folder."""
    rng = np.random.default_rng(0)
    cleans = draw_textures(rng) if folder is None else load(folder)
    pairs = [(np.clip(clean + 25 / 255 * rng.standard_normal(clean.shape), 0, 1), clean) for clean in cleans]
    sizes = " and ".join(sorted({"x".join(map(str, clean.shape)) for clean in cleans}))
    rows = []
    default = torch.get_num_threads()
    for threads in dict.fromkeys((default, 1)):
        torch.set_num_threads(threads)
        for name, contest in CONTESTS.items():
            ours, theirs, differences = compare(pairs, contest)
            rows.append(
                {"what": name, "images": f"{len(pairs)} of {sizes}", "threads": threads, "nasir_ms": ours}
                | {"scikit_image_ms": theirs, "ratio": theirs / ours}
                | {"largest_psnr_difference_db": differences[0], "largest_ssim_difference": max(differences[1:])}
            )
    torch.set_num_threads(default)
    return rows


def draw_textures(rng: np.random.Generator) -> list[np.ndarray]:
    """Sums of noise smoothed at four scales, intensities in [0, 1]."""
    fields = (
        sum(scale * gaussian_filter(rng.standard_normal((321, 481)), scale) for scale in (1, 2, 4, 8))
        for _ in range(COUNT)
    )
    return [(field - field.min()) / (field.max() - field.min()) for field in fields]


def load(folder: Path) -> list[np.ndarray]:
    """The first images of a folder, in the order of their names, intensities in [0, 1]."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".bmp", ".jpg", ".png", ".tif"))
    if not found:
        raise ValueError(f"{folder} must hold images (.bmp, .jpg, .png, .tif), got none; give another --images.")
    return [images.load_grey(path) / 255 for path in found[:COUNT]]


def compare(
    pairs: list[tuple[np.ndarray, np.ndarray]], contest: tuple[Measure, Measure]
) -> tuple[float, float, list[float]]:
    """Milliseconds for an image by ours and by theirs, and the largest difference in each value."""
    rounds = []
    for number in range(ROUNDS + 1):
        seconds, differences = [0.0, 0.0], []
        for pair in pairs:
            values = []
            for side, scored_by in enumerate(contest):
                start = time.perf_counter()
                values.append(scored_by(*pair))
                seconds[side] += time.perf_counter() - start
            differences.append([abs(ours - theirs) for ours, theirs in zip(*values, strict=True)])
        if number > 0:  # the first round does not count
            rounds.append([1000 * total / len(pairs) for total in seconds])
    ours, theirs = (statistics.median(times) for times in zip(*rounds, strict=True))
    return ours, theirs, [max(column) for column in zip(*differences, strict=True)]


if __name__ == "__main__":
    main()
