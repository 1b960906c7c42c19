"""The results of every step before the report, as small as they can be, and the report of them."""

import math
from pathlib import Path

import numpy as np
from picture_folder import list_pictures
from PIL import Image

from nasir.config.params import Params
from nasir.data import manifest
from nasir.files import write_csv, write_json, write_text
from nasir.reporting.run.record import STEPS
from nasir.spaces import contract as spaces
from nasir.spaces.cells import drawing
from nasir.spaces.cells import genotype as genotypes
from nasir.spaces.cells.genotype import Edge, Genotype
from stages import report

PARAMS = Params(
    dataset="sample",
    task="denoise",
    folder="data",
    layout="clean",
    sigma=50.0,
    space="irnas",
    seed=0,
    profile="demo",
)

GENOTYPE = Genotype(
    space="irnas",
    cells=(
        (
            (Edge(input=1, operation="conv_3x3"), Edge(input=0, operation="skip")),
            (Edge(input=2, operation="dil_3x3"), Edge(input=0, operation="def_3x3")),
        ),
    ),
    path=(1, 2),
    width_factors=(1, 2, 4),
    residual=True,
    activation="relu",
)

PUBLISHED = """table,row,dataset,sigma,psnr_db,ssim,params_m,time_s,time_device,protocol_inferred,source,note
1,BM3D,bsd500,30,27.31,0.7755,,,,half,IR-NAS Table 1,
1,BM3D,bsd500,50,25.06,0.6831,,,,half,IR-NAS Table 1,
1,IR-NAS,bsd500,50,26.77,0.7635,0.63,83.25,GTX 980,overlap,IR-NAS Table 1,a note
3,IR-NAS,rain800,,26.31,0.8685,,21.80,GTX 980,unknown,IR-NAS Table 3,
5,IR-NAS* (MSE),bsd500,50,26.77,0.7498,,,,overlap,IR-NAS Table 5,
"""

NAMES = {"w": ["train/a", "train/b"], "a": ["train/c", "train/d"], "v": ["train/e"], "test": ["test/f", "test/g"]}


def write_curves(path: Path, curves: dict[str, dict[int, float]]) -> None:
    rows = [{"step": s, "metric": m, "value": v} for m, curve in curves.items() for s, v in curve.items()]
    write_csv(path, rows, ("step", "metric", "value"))


def write_images(root: Path) -> None:
    generator = np.random.default_rng(0)
    entries = []
    for part, names in NAMES.items():
        for name in names:
            path = root / "pictures" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (80, 96), dtype=np.uint8)).save(path)
            split = "test" if part == "test" else "train"
            entries.append(manifest.describe(root / "pictures", f"{name}.png", split))
    manifest.write(root / "download" / "manifest.csv", entries)
    list_pictures(root / "pictures", [name for names in NAMES.values() for name in names])
    noise = [
        {"name": e.name, "split": e.split, "measured_sigma": sigma, "noisy_psnr_db": decibels}
        for e, sigma, decibels in zip(entries, (9, 9, 9, 9, 9, 49.5, 50.25), (9, 9, 9, 9, 9, 14.5, 15.0), strict=True)
    ]
    write_csv(root / "synthesize" / "manifest.csv", noise, ("name", "split", "measured_sigma", "noisy_psnr_db"))
    write_json(root / "split" / "split.json", {"seed": 0, "exclude_leaks": True, "leaks": []} | NAMES)
    kinds = {"planted": {"copy": 4, "quarter": 4}, "found": {"copy": 4, "quarter": 3}}
    quality = {"false": [["planted/copy/a", "test/f"]], "recall": 7 / 8, "precision": 7 / 8}
    write_json(root / "audit" / "audit.json", {"images": 1234, "matches": 2} | kinds | quality)


def write_search(root: Path) -> None:
    steps = range(1, 101)
    write_curves(
        root / "search" / "history.csv",
        {
            "train_loss": {s: 0.3 / s + 0.01 for s in steps},
            "val_loss": {s: 0.3 / s + 0.02 for s in steps if s > 40},
            "psnr_db": {50: 20.0, 75: 22.5, 100: 22.0},
            "ssim": {50: 0.5, 75: 0.6, 100: 0.6},
            "alpha_entropy": {s: math.log(6) - s / 200 for s in steps},
            "beta_entropy": {s: math.log(3) - s / 300 for s in steps},
            "skip_share": {s: 1 / 6 + s / 1000 for s in steps},
            "none_share": {s: 1 / 6 - s / 1000 for s in steps},
        },
    )
    facts = {"space": "irnas", "nodes": 2, "layers": 2, "width": 10, "width_factors": [1, 2, 4], "residual": True}
    facts |= {"steps": 100, "best_step": 75, "best_scores": {"psnr_db": 22.5, "ssim": 0.6}, "parameters": 123456}
    write_json(root / "search" / "search.json", facts)
    genotypes.save(GENOTYPE, root / "derive" / "genotype.json")
    drawing.draw(GENOTYPE, facts, root / "derive" / "architecture.svg", root / "derive" / "architecture.png")


def write_training(root: Path) -> None:
    write_curves(
        root / "retrain" / "history.csv",
        {
            "train_loss": {s: 0.2 / s + 0.01 for s in range(1, 201)},
            "psnr_db": {100: 24.123, 150: 24.987, 200: 24.5},
            "ssim": {100: 0.61, 150: 0.65, 200: 0.64321},
            "learning_rate": {100: 0.001, 200: 0.0001},
        },
    )
    sizes = {"width": 12, "stem_channels": 16, "aspp_channels": 16, "aspp_rates": [2, 4]}
    facts = {"version": 2, "task": "denoise", "sigma": 50.0, "channels": 1, "sizes": sizes}
    write_json(root / "retrain/model/model.json", facts | {"genotype": genotypes.to_json(GENOTYPE)})


def write_scores(root: Path) -> None:
    def scores(psnr_db: float) -> dict[str, dict[str, float]]:
        whole = {"psnr_db": psnr_db, "ssim_zero_padded": 0.61237, "ssim_valid": 0.61812}
        overlap = {"psnr_db": psnr_db + 0.5, "ssim_zero_padded": 0.7, "ssim_valid": 0.71}
        return {"whole": whole, "overlap": overlap}

    methods = {"noisy": scores(14.901), "tv": scores(23.8), "nlm": scores(23.1), "nasir": scores(24.567)}
    metrics = {"sigma": 50, "images": 2, "parameters": 54321, "flops_per_pixel": 108000.4, "methods": methods}
    metrics["classical"] = {"tv": {"weight": 0.21}, "nlm": {"h": 0.175}}
    write_json(root / "evaluate" / "metrics.json", metrics)
    seconds = {method: {"whole": 0.01234, "overlap": 0.5} for method in methods}
    write_json(root / "evaluate" / "timing.json", {"seconds_per_image": seconds, "tiling": None})
    write_image_scores(root, {method: values["whole"]["psnr_db"] for method, values in methods.items()})
    generator = np.random.default_rng(1)
    rows = []
    shown = (
        ("worst", 1, "f", 22.0), ("median", 1, "f", 24.567), ("best", 2, "g", 27.0),
        ("2", 2, "g", 26.0), ("3", 3, "g", 25.5),
    )  # fmt: skip
    for rank, place, name, psnr_db in shown:
        folder = root / "evaluate" / "pictures" / rank
        folder.mkdir(parents=True)
        for panel in ("clean", "noisy", "restored", "error", "tv", "nlm"):
            Image.fromarray(generator.integers(0, 256, (80, 96), dtype=np.uint8)).save(folder / f"{panel}.png")
        facts = {"noisy_psnr_db": 14.9, "classical_psnr_db": {"tv": 21.0, "nlm": 20.5}, "error_gain": 4}
        rows.append({"rank": rank, "place": place, "name": f"test/{name}", "psnr_db": psnr_db, **facts})
    write_json(root / "evaluate" / "pictures" / "pictures.json", rows)


def write_image_scores(root: Path, means: dict[str, float], ours: tuple[float, float] = (-1, 1)) -> None:
    """Two test images: `means` under `whole` minus and plus 1 dB, or for our network plus `ours`; `overlap` 0.5 above."""
    rows = [
        (method, protocol, name, mean + shift + change, 0.61237 + extra, 0.61812 + extra)
        for method, mean in means.items()
        for protocol, shift, extra in (("whole", 0, 0), ("overlap", 0.5, 0.08))
        for name, change in zip(NAMES["test"], ours if method == "nasir" else (-1, 1), strict=True)
    ]
    columns = ("method", "protocol", "name", "psnr_db", "ssim_zero_padded", "ssim_valid")
    write_csv(root / "evaluate" / "scores.csv", [dict(zip(columns, row, strict=True)) for row in rows], columns)


def write_checks(root: Path, **failed: dict[str, object]) -> None:
    for step in ("download", "synthesize", "split", "audit", "evaluate"):
        passed = {"expectation": "is_unique", "column": "name", "success": True, "unexpected": [], "observed": None}
        expectations = [passed, failed[step]] if step in failed else [passed]
        check = {"check": step, "success": step not in failed, "expectations": expectations}
        write_json(root / "checks" / f"{step}.json", check)


def write_receipts(root: Path) -> None:
    for number, step in enumerate(STEPS):
        receipt = {
            "stage": step,
            "is_resumed": False,
            "seconds": 1000.0 + number,
            "peak_memory_mib": 512.4,
            "device": "cpu",
            "seed": 0,
        }
        receipt |= {"versions": {"python": "3.11.2", "torch": "2.13.0"}, "commit": "abc1234", "profile": "demo"}
        write_json(root / "receipts" / f"{step}.json", receipt)


def write_run(root: Path) -> None:
    """The results of every step before the report, as small as they can be."""
    write_images(root)
    write_search(root)
    write_training(root)
    write_scores(root)
    write_checks(root)
    write_receipts(root)
    write_text(root / "published.csv", PUBLISHED)


def render(root: Path, out: Path, params: Params = PARAMS, studies: Path | None = None) -> str:
    """Write the report of these results into `out`; what stands in report.md."""
    report.run(
        download=root / "download",
        pictures=root / "pictures",
        runs=root,
        published=root / "published.csv",
        studies=studies,
        space=spaces.find(params.space),
        params=params,
        out=out,
        log=lambda step, values: None,
    )
    return (out / "report.md").read_text()
