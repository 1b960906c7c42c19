"""Scores of a denoiser under several protocols, image by image."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from nasir.data.pictures.collection import Sample
from nasir.evaluation import protocols
from nasir.evaluation.protocols import Denoiser, Score
from nasir.evaluation.timing import Timed

MEASURES = ("psnr_db", "ssim_zero_padded", "ssim_valid")
"""What is measured on each image."""


@dataclass(kw_only=True)
class Scored:
    """A denoiser under one protocol."""

    scores: list[Score] = field(default_factory=list)
    seconds: float = 0.0  # spent in the denoiser, of all images

    def means(self) -> dict[str, float]:
        """Each measure's mean over the images."""
        return {name: fmean(getattr(score, name) for score in self.scores) for name in MEASURES}

    def rows(self, **facts: object) -> list[dict[str, object]]:
        """A row for each image: `facts`, then its name and measures."""
        return [
            facts | {"name": score.name} | {name: getattr(score, name) for name in MEASURES} for score in self.scores
        ]


def score(
    denoiser: Denoiser,
    images: Mapping[str, Sample],
    plan: Mapping[str, Collection[str]],
    *,
    sigma: float,
    seed: int,
    batch: int,
    tell: Callable[[str, Score], None],
) -> dict[str, Scored]:
    """Score a denoiser on every image under every protocol that is planned for it.

    Args:
        denoiser: what is scored.
        images: by name.
        plan: protocol -> names of its images.
        sigma: noise standard deviation, 8-bit grey levels.
        seed: of the noise.
        batch: patches at once.
        tell: called with protocol and score, as they come.

    Returns:
        By protocol, in the order of the plan; its scores in the order of `images`.
    """
    found = {protocol: Scored() for protocol in plan}
    timed = Timed(denoiser)
    for name, sample in images.items():
        for protocol in (p for p in plan if name in plan[p]):  # inside: one restoration serves a protocol and its +y
            before = timed.seconds
            scored = protocols.score_image(timed, sample, name, sigma, protocol, seed, batch)
            found[protocol].seconds += timed.seconds - before
            found[protocol].scores.append(scored)
            tell(protocol, scored)
    return found


def draw(texts: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Protocols and the images to score under each: "whole" for all, "whole:50" for 50 drawn at random, always the same.

    Of a protocol that stands there twice, the larger draw counts.

    Raises:
        ValueError: for an unknown protocol or a number that is none.
    """
    plan: dict[str, list[str]] = {}
    for text in texts:
        protocol, _, number = text.partition(":")
        protocols.find(protocol)
        if number and (not number.isdigit() or int(number) < 1):
            raise ValueError(f"a protocol for some images reads NAME:NUMBER, as in whole:50, got {text!r}.")
        count = min(int(number), len(names)) if number else len(names)
        drawn = list(names) if not number else sorted(random.Random(0).sample(list(names), count))
        if len(drawn) > len(plan.get(protocol, [])):
            plan[protocol] = drawn
    return plan
