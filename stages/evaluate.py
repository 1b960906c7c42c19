"""evaluate: score the trained network beside the noisy input and tuned classical denoisers, under named protocols."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from nasir import task as tasks
from nasir.config.evaluate import EvaluateConfig
from nasir.data import noise, split_lists
from nasir.data.pictures.collection import Sample, crop_middle, detail, load_samples, pair_of, to_array
from nasir.data.pictures.images import save_png, to_uint8
from nasir.evaluation import classical, protocols, scoring
from nasir.evaluation.metrics import psnr
from nasir.evaluation.protocols import Denoiser, Score
from nasir.evaluation.scoring import MEASURES, Scored
from nasir.files import Log, read_csv, sha256_file, to_float, to_int, write_csv, write_json
from nasir.inference import model as models
from nasir.layers import cost
from nasir.task import Task
from nasir.training.device import choose, set_determinism

ARTIFACTS = ("metrics.json", "scores.csv", "pictures")
PICTURES = "pictures/crops"
COLUMNS = ("method", "protocol", "name", *MEASURES)

ERROR_GAIN = 4
"""Pictures of the error show 4 |restored - clean|, so that white is an error of a quarter of the range."""

MOST_SHOWN = 60
"""Test images of which pictures are kept, the worst ones; more would not fit into one page."""

SIDE = 256
"""Of a detail in pixels, of an image that is neither the worst nor the middle nor the best."""

CROPS = 4
CROP = 128  # pixels


def methods(task: Task) -> tuple[str, ...]:
    """What is scored; the classical denoisers take Gaussian noise of a known level alone."""
    return ("noisy", "nasir") if task.is_paired else ("noisy", "tv", "nlm", "nasir")


def count(split: Path, task: str, config: EvaluateConfig) -> int:
    """How many scores `run` will make: one for each method, protocol and test image."""
    return (
        len(methods(tasks.find(task)))
        * len(config.protocols)
        * len(split_lists.read(split / "split.json", ["test"])["test"])
    )


def run(
    *,
    pictures: Path,
    synthesize: Path,
    split: Path,
    model: Path,
    out: Path,
    task: str,
    sigma: float,
    seed: int,
    config: EvaluateConfig,
    log: Log,
) -> None:
    """Write `scores.csv`, `metrics.json`, `timing.json` and `pictures/` into `out`.

    `timing.json` also says into what tiles the network had to cut images, if it had to (`nasir.inference.tiling`).
    Everything but `timing.json` is a function of the inputs. `log` is called once for each score, with the step
    counting them over all methods and protocols, and at last with the means.
    """
    parts = split_lists.read(split / "split.json", ["test", "v"])
    chosen = tasks.find(task)
    test, v = (_load(pictures, parts[part], chosen, f"{split / 'split.json'}: {part}") for part in ("test", "v"))
    _check_noise(test | v, synthesize / "manifest.csv", sigma, seed)

    device = choose(config.device)
    set_determinism(device)
    network = models.load(model, device=device)
    denoisers: dict[str, Denoiser] = {"noisy": classical.identity, "nasir": network}
    settings = {}
    for method, factors in (("tv", config.tv_factors), ("nlm", config.nlm_factors)):
        if method in methods(chosen):
            denoisers[method], settings[method] = classical.tune(method, factors, v, sigma, seed)
    test_plan = {protocol: list(test) for protocol in config.protocols}
    step = 0
    scored: dict[str, dict[str, Scored]] = {}
    for method in methods(chosen):

        def tell(protocol: str, score: Score, method: str = method) -> None:
            nonlocal step
            step += 1
            log(step, {f"{method}_{protocol}_psnr_db": score.psnr_db})

        scored[method] = scoring.score(
            denoisers[method], test, test_plan, sigma=sigma, seed=seed, batch=config.batch, tell=tell
        )

    table = [
        row
        for method, by_protocol in scored.items()
        for protocol, found in by_protocol.items()
        for row in found.rows(method=method, protocol=protocol)
    ]
    write_csv(out / "scores.csv", table, COLUMNS)
    means = {method: {p: found.means() for p, found in by.items()} for method, by in scored.items()}
    parameters = network.parameters
    metrics = {
        "sigma": sigma,
        "images": len(test),
        "parameters": parameters,
        "weights_sha256": sha256_file(model / "best.safetensors"),
        "flops_per_pixel": cost.flops_per_pixel(network.network, network.channels),
        "methods": means,
        "classical": settings,
    }
    write_json(out / "metrics.json", metrics)
    news = {
        f"mean_{m}_{p}_{key}": value for m, by in means.items() for p, of in by.items() for key, value in of.items()
    }
    log(step, news | {"parameters": float(parameters)})
    timing = {
        "seconds_per_image": {
            method: {p: found.seconds / len(test) for p, found in by.items()} for method, by in scored.items()
        },
        "tiling": network.tiling and asdict(network.tiling),
    }
    write_json(out / "timing.json", timing)
    whole = (
        scored["nasir"]["whole"].scores
        if "whole" in scored["nasir"]
        else protocols.score(network, test, sigma, "whole", seed)
    )
    _draw_pictures(denoisers, test, whole, sigma, seed, out / "pictures")
    _cut_crops(network, test, sigma, seed, out / PICTURES)


def _load(pictures: Path, names: list[str], task: Task, where: str) -> dict[str, Sample]:
    if not names:
        raise ValueError(f"{where} must name at least one image, got none; run the split step again.")
    return load_samples(pictures, names, task)


def _check_noise(images: Mapping[str, Sample], manifest: Path, sigma: float, seed: int) -> None:
    """Refuse degraded images that differ in a bit from those that the synthesize step described."""
    described = {row["name"]: row for row in read_csv(manifest, ("name", "sigma", "seed", "sha256"))}
    remedy = "run the synthesize step again on this machine"
    for name, sample in images.items():
        row = described.get(name)
        if row is None:
            raise ValueError(f"{manifest} must describe every image, got no row for {name!r}; {remedy}.")
        if (to_float(row, "sigma", manifest), to_int(row, "seed", manifest)) != (sigma, seed):
            raise ValueError(
                f"{manifest} must be for sigma {sigma:g} and seed {seed}, got sigma {row['sigma']} and "
                f"seed {row['seed']} for {name!r}; {remedy}."
            )
        digest = noise.digest(noise.add_keyed_noise(pair_of(sample).degraded, name, sigma, seed))
        if digest != row["sha256"]:
            raise ValueError(
                f"the degraded image {name!r} must have the SHA-256 {row['sha256'][:12]}... of {manifest}, got "
                f"{digest[:12]}...: the image, its decoder or NumPy differs from then; {remedy}."
            )


def _draw_pictures(
    denoisers: Mapping[str, Denoiser],
    images: Mapping[str, Sample],
    scores: list[Score],
    sigma: float,
    seed: int,
    out: Path,
) -> None:
    """Draw the images with the lowest, the (lower) median and the highest PSNR under `whole`, of others a detail; list them.

    They are listed with those three first, then from the worst on. What classical denoisers make of them lies beside.
    """
    ordered = sorted(scores, key=lambda score: score.psnr_db)
    places = {"worst": 0, "median": (len(ordered) - 1) // 2, "best": len(ordered) - 1}
    others = [place for place in range(len(ordered)) if place not in places.values()]
    places |= {str(place + 1): place for place in others[: max(0, MOST_SHOWN - len(places))]}
    drawn: dict[str, tuple[Path, dict[str, float]]] = {}
    listed = []
    for rank, place in places.items():
        score = ordered[place]
        if score.name in drawn:  # the worst of a few is also the best
            folder, psnr_db = drawn[score.name]
            shutil.copytree(folder, out / rank)
        else:
            side = SIDE if rank.isdigit() else None
            psnr_db = _draw(denoisers, images[score.name], score.name, sigma, seed, side, out / rank)
            drawn[score.name] = out / rank, psnr_db
        listed.append(
            {
                "rank": rank,
                "place": place + 1,
                "name": score.name,
                "psnr_db": score.psnr_db,
                "noisy_psnr_db": psnr_db["noisy"],
                "classical_psnr_db": {method: value for method, value in psnr_db.items() if method != "noisy"},
                "error_gain": ERROR_GAIN,
            }
        )
    write_json(out / "pictures.json", listed)


def _draw(
    denoisers: Mapping[str, Denoiser], sample: Sample, name: str, sigma: float, seed: int, side: int | None, out: Path
) -> dict[str, float]:
    """Draw an image, or its detail of `side` pixels: clean, noisy, restored by each method, and the error; gives PSNRs in dB."""
    pictures = _restore(denoisers["nasir"], sample, name, sigma, seed)
    others = [method for method in denoisers if method not in ("noisy", "nasir")]
    for method in others:
        pictures[method] = protocols.restore(denoisers[method], sample, name, sigma, "whole", seed)
    clean = pictures["clean"]
    psnr_db = {method: psnr(pictures[method][None], clean[None]).item() for method in ("noisy", *others)}
    pictures["error"] = (ERROR_GAIN * (pictures["restored"] - clean).abs()).clamp(max=1)
    window = _window(clean, side or max(clean.shape[-2:]))
    for kind, picture in pictures.items():
        save_png(out / f"{kind}.png", to_uint8(to_array(picture))[window])
    return psnr_db


def _window(clean: Tensor, side: int) -> tuple[slice, slice]:
    """Rows and columns of an image's detail, at most `side` pixels high and wide; all of a small one."""
    height, width = clean.shape[-2:]
    if max(height, width) <= side:
        return slice(height), slice(width)
    side = min(side, height, width)
    top, left = detail(clean.double().mean(dim=0).cpu().numpy(), side)
    return slice(top, top + side), slice(left, left + side)


def _cut_crops(network: Denoiser, images: Mapping[str, Sample], sigma: float, seed: int, out: Path) -> None:
    """Cut the middle of some test images, which are the same whatever was trained: evenly spaced among all names."""
    names = sorted(images)
    chosen = sorted({round(place * (len(names) - 1) / (CROPS - 1)) for place in range(CROPS)})
    for number, place in enumerate(chosen, start=1):
        name = names[place]
        for kind, picture in _restore(network, images[name], name, sigma, seed).items():
            middle = crop_middle(to_uint8(to_array(picture)), CROP)
            save_png(out / f"{number} {Path(name).name} {kind}.png", middle)


def _restore(network: Denoiser, sample: Sample, name: str, sigma: float, seed: int) -> dict[str, Tensor]:
    """An image clean, noisy and restored under protocol `whole`."""
    return {
        "clean": pair_of(sample).clean,
        "noisy": protocols.restore(classical.identity, sample, name, sigma, "whole", seed),
        "restored": protocols.restore(network, sample, name, sigma, "whole", seed),
    }
