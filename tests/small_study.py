"""A study as small as it can be: three methods, one noise level, four images; beside it one with rain and trials, and one with
CLEARER."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nasir.files import write_csv, write_json, write_text
from nasir.reporting.paper import page
from nasir.reporting.paper.study import Method, Part, Plan, Study

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
time_rescan,speed against RESCAN,2.03,times,section 4.2,,
parameters,parameters,0.63,M,Table 1,,a note on counts
search_falsr,speed against FALSR,96,times,section 2,printed value only: FALSR is not reimplemented,
"""

MEASURED = {
    "parameters": {"irnas": 2**20, "dncnn": 556_096},
    "search": {"seconds": 7200.0, "peak_memory_mib": 902.4, "device": "CPU", "steps": 2000, "is_resumed": False},
    "memory": {"shared_mib": 300.0, "unshared_mib": 600.0, "what": "one step, batch 4"},
    "inference": {"image": "481x321", "device": "CPU", "threads": 2, "seconds": {"irnas": 0.5, "bm3d": 2.0}},
}


def methods(**reasons: str) -> dict[str, Method]:
    """The study's methods; a reason keeps one from running."""
    names = ("noisy", "bm3d", "irnas")
    return {name: Method(reason=reasons.get(name), sigmas=(50.0,)) for name in names}


PLAN = Plan(
    profile="fast",
    parts={"denoise": Part(dataset="bsd500", methods=methods()), "derain": Part(dataset="rain800", methods={})},
    sigmas=(50.0,),
    seeds=(0,),
    protocols=("whole", "overlap", "overlap-shared", "patch-mean"),
    matrix_sigma=50.0,
)


def without(**reasons: str) -> Plan:
    """`PLAN` with a reason why these methods do not run."""
    return replace(PLAN, parts={**PLAN.parts, "denoise": Part(dataset="bsd500", methods=methods(**reasons))})


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


SCORED = {"noisy": "classical", "bm3d": "bm3d"}
"""The methods that are scored without training, and the cell that they are scored in."""

GENOTYPE = "5a" * 32
"""SHA-256 of what every network that was found was built from."""


def write_cell(
    folder: Path, method: str, scores: Mapping[str, Mapping[str, float]], *, seed: int = 0, sigma: float = 50,
    ssim: float = 0.76, task: str = "denoise", draw: int = 0,
) -> None:  # fmt: skip
    rows = [
        dict(zip(COLUMNS, (protocol, name, psnr_db, ssim, ssim - 0.01), strict=True))
        for protocol, values in scores.items()
        for name, psnr_db in values.items()
    ]
    facts = {"method": method, "sigma": sigma, "seed": seed, "draw": draw, "parameters": None, "flops_per_pixel": None}
    facts |= {"genotype_sha256": None if method in SCORED else GENOTYPE, "seconds_per_image": {}}
    facts |= {"images": len(IMAGES), "settings": {}, "reason": None}
    cell = cell_of(folder, task, method, sigma, seed, draw)
    write_csv(cell / "scores.csv", rows, COLUMNS)
    write_json(cell / "cell.json", facts)


def cell_of(folder: Path, task: str, method: str, sigma: float, seed: int, draw: int) -> Path:
    """Where a cell lies."""
    name = f"{method}-{sigma:g}-draw{draw}-seed{seed}" if draw else f"{method}-{sigma:g}-seed{seed}"
    if method in SCORED:
        return folder / "scored" / f"{task}-{SCORED[method]}-{seed}" / name
    return folder / "trained" / task / name


def write_reason(
    folder: Path, method: str, reason: str, *, seed: int = 0, sigma: float = 50, task: str = "denoise", draw: int = 0
) -> None:
    facts = {"method": method, "sigma": sigma, "seed": seed, "draw": draw, "images": len(IMAGES), "reason": reason}
    write_json(cell_of(folder, task, method, sigma, seed, draw) / "cell.json", facts)


def write_study(root: Path) -> None:
    for method, scores in SCORES.items():
        write_cell(root / "study", method, scores)
    write_json(root / "study" / "claims" / "denoise.json", MEASURED)
    write_text(root / "published.csv", PUBLISHED)
    write_text(root / "rows.csv", ROWS)
    write_text(root / "claims.csv", CLAIMS)


def read(root: Path, plan: Plan = PLAN) -> Study:
    return page.read(root / "study", root / "published.csv", root / "rows.csv", plan)


DEMO = replace(
    PLAN,
    profile="demo",
    parts={name: replace(part, dataset="sample") for name, part in PLAN.parts.items()},
)


TRIALS_PUBLISHED = """4,IR-NAS,bsd500,30,29.14,0.7635,,,,overlap,IR-NAS Table 4,
4,"IR-NAS, R1",bsd500,30,29.06,0.7600,,,,overlap,IR-NAS Table 4,
4,IR-NAS,rain800,,26.31,0.8685,,,,unknown,IR-NAS Table 4,
4,"IR-NAS, R1",rain800,,21.48,0.6754,,,,unknown,IR-NAS Table 4,
"""

TRIAL_ROWS = """4,IR-NAS,irnas,
4,"IR-NAS, R1",irnas-r1,
"""

AT_30 = Method(reason=None, sigmas=(30.0,))
RAIN = Method(reason=None, sigmas=(0.0,))
WITH_TRIALS = replace(
    PLAN,
    parts={
        "denoise": Part(
            dataset="bsd500",
            methods=methods()
            | {"irnas": Method(reason=None, sigmas=(50.0, 30.0)), "irnas-r1": AT_30, "irnas-of-derain": AT_30},
        ),
        "derain": Part(dataset="rain800", methods={"irnas": RAIN, "irnas-r1": RAIN, "irnas-of-denoise": RAIN}),
    },
)
"""Table 4, with two tasks, and Table T; the found network also runs at 50, its trials do not."""

TRIALS = {
    ("denoise", "irnas-r1"): {"whole": shifted(2.3), "overlap": shifted(2.4)},
    ("denoise", "irnas-of-derain"): {"whole": shifted(2.4, spread=0.5)},
    ("derain", "irnas"): {"whole": WHOLE, "whole+y": shifted(1.5)},
    ("derain", "irnas-r1"): {"whole": shifted(-2), "whole+y": shifted(-0.5)},
    ("derain", "irnas-of-denoise"): {"whole": shifted(-0.3, spread=0.1)},
}
"""PSNR of each trial by protocol and image; the found denoising network has 29.0 at 30 under `whole`, 29.1 under `overlap`."""

RAIN_SECONDS = {"image": "512x384", "device": "CPU", "threads": 2, "seconds": {"irnas": 0.4, "rescan-gru": 1.0}}


def write_trials(root: Path) -> None:
    """Add to `write_study` what `WITH_TRIALS` has more."""
    write_cell(root / "study", "irnas", {"whole": shifted(2.5), "overlap": shifted(2.6)}, sigma=30)
    for (task, method), scores in TRIALS.items():
        write_cell(root / "study", method, scores, task=task, sigma=30 if task == "denoise" else 0)
    write_json(root / "study" / "claims" / "derain.json", {"inference": RAIN_SECONDS})
    write_text(root / "published.csv", PUBLISHED + TRIALS_PUBLISHED)
    write_text(
        root / "rows.csv", ROWS.replace("3,IR-NAS,,not run: Rain800 is not run yet", "3,IR-NAS,irnas,") + TRIAL_ROWS
    )


CLEARER_PUBLISHED = """clearer-1,N3Net,bsd500,50,26.50,0.7490,,,,whole,CLEARER Table 1,
clearer-1,CLEARER,bsd500,50,26.40,0.7600,,,,clearer,CLEARER Table 1,
clearer-1,CLEARER-P,bsd500,50,27.49,0.7768,,,,clearer-patches,CLEARER Table 1,of the same network
"""

CLEARER_ROWS = """clearer-1,N3Net,,printed value only: not reimplemented
clearer-1,BM3D,bm3d,
clearer-1,IR-NAS,irnas,
clearer-1,CLEARER,clearer,
clearer-1,CLEARER-P,clearer,
"""

CLEARER_SCORES = {
    "irnas": {**SCORES["irnas"], "clearer": shifted(0.1), "clearer-patches": shifted(1.1)},
    "clearer": {"whole": shifted(0.5), "clearer": shifted(-0.12), "clearer-patches": shifted(0.95, spread=0.2)},
}
"""Those of `SCORES` under CLEARER's protocols, and those of the network of its own, which fills two rows of its table."""

WITH_CLEARER = replace(
    PLAN,
    parts={
        **PLAN.parts,
        "denoise": Part(dataset="bsd500", methods=methods() | {"clearer": Method(reason=None, sigmas=(50.0,))}),
    },
    protocols=("whole", "overlap", "clearer", "clearer-patches"),
)


def write_clearer(root: Path) -> None:
    """Add to `write_study` what `WITH_CLEARER` has more."""
    for method, scores in CLEARER_SCORES.items():
        write_cell(root / "study", method, scores)
    write_text(root / "published.csv", PUBLISHED + CLEARER_PUBLISHED)
    write_text(root / "rows.csv", ROWS + CLEARER_ROWS)
