"""Pairs of clean and camera-degraded patches, chosen by rule: the recipe of SIM1800 without its hand-picking.

SIM1800 (Zhang et al., IR-NAS / HiNAS) degraded 25,000 patches with the pipeline of Jaroensri et al. 2019 and kept 1,812 by
hand. Here a rule stands in for the hand, so the result can be made again from any folder of clean pictures:

    candidate   uniform over images, then uniform over even offsets in the prepared image
    rejected    flat: gradient energy of the clean patch below the 20th percentile of all candidates
                psnr: outside [20, 36] dB        saturated: more than 5 % of the degraded pixels at full scale
    kept        a random choice of the rest

Candidate i, its place, camera settings, noise and rank in the choice are functions of (i, seed) and the images' names.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir.data.camera import camera
from nasir.data.camera.output import to_srgb
from nasir.data.camera.realism import FLAT_PERCENTILE, REASONS, gradient_energy, rejection, saturated_share
from nasir.data.pairs.alignment import psnr
from nasir.files import Log

_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Where a patch lies: rows and columns of the prepared image, `camera.MARGIN` pixels more than the patch is wide."""

    index: int
    image: str
    top: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One photographed candidate; both images are sRGB, uint8, shape (side, side, 3)."""

    candidate: Candidate
    settings: camera.Settings
    clean: NDArray[np.uint8]
    degraded: NDArray[np.uint8]
    psnr: float  # dB
    saturated: float  # share of the degraded pixels

    @property
    def name(self) -> str:
        """IMAGE/INDEX."""
        return f"{self.candidate.image}/{self.candidate.index}"

    @property
    def record(self) -> dict[str, object]:
        """Plain values: index, image, top, left, psnr, saturated, settings."""
        return asdict(self.candidate) | {
            "psnr": self.psnr,
            "saturated": self.saturated,
            "settings": asdict(self.settings),
        }


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What `generate` kept, in the order of the candidates' numbers, and what became of the rest."""

    pairs: list[Shot]
    counts: dict[str, int]  # candidates, one for each of REASONS, accepted, kept
    flat_below: float  # gradient energy, in squared sRGB units of [0, 1]


def generate(
    images: Mapping[str, NDArray[np.uint8]],
    *,
    candidates: int,
    keep: int,
    side: int,
    factor: int,
    seed: int,
    log: Log,
) -> Selection:
    """Draw candidates from clean pictures, photograph them, and keep a random choice of those that the rule accepts.

    Pictures are asked for one at a time, three times each (size, clean patches, photographs), so a mapping that loads them
    keeps memory small. At no time are more than `keep` pairs held besides the batches at work.

    Args:
        images: sRGB pictures by name, uint8, shape (H, W, 3); all of one split.
        candidates: how many patches are drawn.
        keep: how many pairs are kept.
        side: side of a patch in pixels.
        factor: what pictures are subsampled by, against their own noise.
        seed: the run's seed.
        log: called with the number of candidates done, and `accepted` and `rejected` so far.

    Returns:
        The kept pairs, the counts and the threshold of flatness. The same arguments give the same bytes.

    Raises:
        ValueError: if a picture is too small for a patch, or fewer than `keep` candidates are accepted.
    """
    _check(images, candidates, keep, side)
    drawn = _place(images, candidates, side, factor, seed)
    energy = np.zeros(candidates)
    for batch, light in _batches(images, drawn, side, factor):
        settings = [camera.draw(one.image, one.index, seed) for one in batch]
        energy[[one.index for one in batch]] = gradient_energy(to_srgb(camera.reference(light, settings))).numpy()
    flat_below = float(np.percentile(energy, FLAT_PERCENTILE))
    rank = camera.keyed("choice", "", 0, seed).permutation(candidates)

    counts = dict.fromkeys(REASONS, 0) | {"flat": int((energy < flat_below).sum()), "accepted": 0}
    held: list[tuple[int, int, Shot]] = []  # a heap: the highest rank first
    done = counts["flat"]
    structured = [one for one in drawn if energy[one.index] >= flat_below]
    for made in _photograph_all(_batches(images, structured, side, factor), seed):
        for pair in made:
            reason = rejection(pair.psnr, pair.saturated)
            counts[reason or "accepted"] += 1
            if reason is None:
                index = pair.candidate.index
                heapq.heappush(held, (-int(rank[index]), index, pair))
                if len(held) > keep:
                    heapq.heappop(held)
        done += len(made)
        log(done, {"accepted": counts["accepted"], "rejected": done - counts["accepted"]})
    if len(held) < keep:
        raise ValueError(
            f"expected at least {keep} accepted patches of {candidates} candidates, got {counts['accepted']} "
            f"(rejected: {', '.join(f'{reason} {counts[reason]}' for reason in REASONS)}); "
            "draw more candidates or keep fewer."
        )
    pairs = [pair for _, _, pair in sorted(held, key=lambda entry: entry[1])]
    return Selection(pairs=pairs, counts={"candidates": candidates} | counts | {"kept": keep}, flat_below=flat_below)


def _place(
    images: Mapping[str, NDArray[np.uint8]], candidates: int, side: int, factor: int, seed: int
) -> list[Candidate]:
    """Draw every candidate's image and corner; sorted by image, then by number."""
    names = sorted(images)
    shapes = {name: tuple(-(-length // factor) for length in images[name].shape[:2]) for name in names}
    need = side + camera.MARGIN
    small = [f"{name} ({height}x{width})" for name, (height, width) in shapes.items() if min(height, width) < need]
    if small:
        raise ValueError(
            f"images must be at least {need}x{need} after subsampling by {factor}, for patches of {side} pixels with a "
            f"margin of {camera.MARGIN}; got {', '.join(small[:5])}{' and others' if len(small) > 5 else ''}; "
            "leave them out, or take a smaller side or factor."
        )
    drawn = []
    for index in range(candidates):
        which, down, right = (float(share) for share in camera.keyed("place", "", index, seed).random(3))
        name = names[int(which * len(names))]
        height, width = shapes[name]
        top, left = 2 * int(down * ((height - need) // 2 + 1)), 2 * int(right * ((width - need) // 2 + 1))
        drawn.append(Candidate(index=index, image=name, top=top, left=left))
    return sorted(drawn, key=lambda one: (one.image, one.index))


def _batches(
    images: Mapping[str, NDArray[np.uint8]], drawn: Sequence[Candidate], side: int, factor: int
) -> Iterator[tuple[list[Candidate], Tensor]]:
    """Candidates and their clean light, (N, 3, side + 2, side + 2), in batches; each picture is prepared once."""
    need = side + camera.MARGIN
    batch: list[Candidate] = []
    light: list[Tensor] = []
    prepared, name = torch.empty(0), None
    for one in drawn:
        if one.image != name:
            prepared, name = camera.prepare(images[one.image], factor), one.image
        batch.append(one)
        light.append(prepared[:, one.top : one.top + need, one.left : one.left + need].clone())
        if len(batch) == _BATCH:
            yield batch, torch.stack(light)
            batch, light = [], []
    if batch:
        yield batch, torch.stack(light)


def _photograph_all(batches: Iterator[tuple[list[Candidate], Tensor]], seed: int) -> Iterator[list[Shot]]:
    """Photograph batches in their order, as many at a time as torch has threads, each in one thread.

    Torch's own threads meet after every operation, and there are hundreds of short ones: on two cores that others use too,
    that made a batch seven times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max_workers=threads) as pool:
            waiting: deque[Future[list[Shot]]] = deque()
            for batch, light in batches:
                waiting.append(pool.submit(_photograph, batch, light, seed))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def _photograph(batch: Sequence[Candidate], light: Tensor, seed: int) -> list[Shot]:
    """Both images of each candidate, and what the rule looks at."""
    keys = [(one.image, one.index, seed) for one in batch]
    settings = [camera.draw(*key) for key in keys]
    degraded = camera.shoot(light, settings, keys)
    clean = (to_srgb(camera.reference(light, settings)) * 255).round().to(torch.uint8)
    pairs = []
    for number, one in enumerate(batch):
        before, after = (np.ascontiguousarray(stack[number].permute(1, 2, 0).numpy()) for stack in (clean, degraded))
        pair = Shot(
            candidate=one,
            settings=settings[number],
            clean=before,
            degraded=after,
            psnr=psnr(before, after),
            saturated=saturated_share(after),
        )
        pairs.append(pair)
    return pairs


def _check(images: Mapping[str, NDArray[np.uint8]], candidates: int, keep: int, side: int) -> None:
    if not images:
        raise ValueError("expected at least one image, got none; check the folder.")
    if side < 8:
        raise ValueError(f"side must be 8 or more, a JPEG block, got {side}.")
    if not 0 < keep <= candidates:
        raise ValueError(f"keep must lie in [1, candidates = {candidates}], got {keep}; draw more candidates.")
