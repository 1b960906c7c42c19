"""A study as small as it can be: three methods, one noise level, four images."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nasir.files import write_csv, write_json, write_text
from nasir.reporting import paper
from nasir.reporting.study import Plan, Study

IMAGES = ("a", "b", "c", "d")
COLUMNS = ("protocol", "name", "psnr_db", "ssim_zero_padded", "ssim_valid")

PUBLISHED = """table,row,dataset,sigma,psnr_db,ssim,params_m,time_s,time_device,protocol_inferred,source,note
1,BM3D,bsd500,50,25.06,0.6831,,,,half,IR-NAS Table 1,
1,WNNM,bsd500,50,25.26,0.3460,,,,half,IR-NAS Table 1,probably a slip
1,N3Net,bsd500,50,26.50,0.7490,0.68,121.11,GTX 980,whole,IR-NAS Table 1,
1,IR-NAS,bsd500,50,26.77,0.7635,0.63,83.25,GTX 980,overlap,IR-NAS Table 1,
3,IR-NAS,rain800,,26.31,0.8685,,21.80,GTX 980,unknown,IR-NAS Table 3,
"""

ROWS = """table,row,method,why
1,noisy input,noisy,
1,BM3D,bm3d,
1,WNNM,,"printed value only: MATLAB code, not reimplemented"
1,N3Net,,printed value only: not reimplemented
1,IR-NAS,irnas,
3,IR-NAS,,not run: Rain800 is not run yet
"""

CLAIMS = """claim,words,printed,unit,source,why,note
search_time,search on one GPU,6,h,section 1,,the GPU is not named
search_memory,peak memory,,MiB,,,
memory_share,shared against unshared,0.333,times,section 1,,
parameters,parameters,0.63,M,Table 1,,a note on counts
search_falsr,speed against FALSR,96,times,section 2,printed value only: FALSR is not reimplemented,
"""

MEASURED = {
    "parameters": {"irnas": 2**20, "dncnn": 556_096},
    "search": {"seconds": 7200.0, "peak_memory_mib": 902.4, "device": "CPU", "steps": 2000, "is_resumed": False},
    "memory": {"shared_mib": 300.0, "unshared_mib": 600.0, "what": "one step, batch 4"},
    "inference": {"image": "481x321", "device": "CPU", "threads": 2, "seconds": {"irnas": 0.5, "bm3d": 2.0}},
}

PLAN = Plan(
    profile="fast",
    dataset="bsd500",
    sigmas=(50.0,),
    seeds=(0,),
    methods={"noisy": None, "bm3d": None, "irnas": None},
    protocols=("whole", "overlap", "overlap-shared", "patch-mean"),
    matrix_sigma=50.0,
)

WHOLE = {"a": 25.0, "b": 26.0, "c": 27.0, "d": 28.0}
"""PSNR of the found network under `whole`; mean 26.5."""


def shifted(decibels: float, spread: float = 0.0) -> dict[str, float]:
    """`WHOLE` plus so many dB, and `spread` more on a and b, less on c and d."""
    signs = {"a": 1, "b": 1, "c": -1, "d": -1}
    return {name: value + decibels + spread * signs[name] for name, value in WHOLE.items()}


SCORES = {
    "noisy": {"whole": shifted(-11)},
    "bm3d": {"whole": shifted(-0.5), "half": shifted(-1.2)},
    "irnas": {
        "whole": WHOLE,
        "overlap": shifted(0.25),
        "overlap-shared": shifted(-0.05, spread=0.2),
        "patch-mean": shifted(1),
    },
}
"""PSNR by method, protocol and image."""


def write_cell(
    folder: Path, method: str, scores: Mapping[str, Mapping[str, float]], *, seed: int = 0, sigma: float = 50,
    ssim: float = 0.76,
) -> None:  # fmt: skip
    rows = [
        dict(zip(COLUMNS, (protocol, name, psnr_db, ssim, ssim - 0.01), strict=True))
        for protocol, values in scores.items()
        for name, psnr_db in values.items()
    ]
    facts = {"method": method, "sigma": sigma, "seed": seed, "parameters": None, "flops_per_pixel": None}
    facts |= {"seconds_per_image": {}, "images": len(IMAGES), "settings": {}, "reason": None}
    for cell in cells_of(folder, method, sigma, seed):
        write_csv(cell / "scores.csv", rows, COLUMNS)
        write_json(cell / "cell.json", facts)


def cells_of(folder: Path, method: str, sigma: float, seed: int) -> list[Path]:
    """Where a cell lies; that of the found network stands in the protocol matrix too."""
    groups = ("scores", "matrix") if method == "irnas" else ("scores",)
    return [folder / group / f"{method}-{sigma:g}-{seed}" for group in groups]


def write_reason(folder: Path, method: str, reason: str, *, seed: int = 0, sigma: float = 50) -> None:
    facts = {"method": method, "sigma": sigma, "seed": seed, "images": len(IMAGES), "reason": reason}
    for cell in cells_of(folder, method, sigma, seed):
        write_json(cell / "cell.json", facts)


def write_study(root: Path) -> None:
    for method, scores in SCORES.items():
        write_cell(root / "study", method, scores)
    write_json(root / "study" / "claims.json", MEASURED)
    write_text(root / "published.csv", PUBLISHED)
    write_text(root / "rows.csv", ROWS)
    write_text(root / "claims.csv", CLAIMS)


def read(root: Path, plan: Plan = PLAN) -> Study:
    return paper.read(root / "study", root / "published.csv", root / "rows.csv", plan)


DEMO = replace(PLAN, profile="demo", dataset="sample")
