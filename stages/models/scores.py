"""scores: every shipped network scored again on its test images, beside the scores on its card, or under further protocols."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from nasir import settings as resolving
from nasir import task as tasks
from nasir.data import split_lists
from nasir.data.pictures.collection import load_samples
from nasir.evaluation import protocols, scoring
from nasir.inference import model as models
from nasir.inference import zoo
from nasir.reporting.tables import table
from nasir.settings import Settings
from stages.models import cards, shelve

ALIKE = 0.005
"""Difference of a score, dB, below which it counts as the same: other processors give other last bits."""

BATCH = 16
"""Patches at once; with more of them what a layer computes does not stay in a processor's cache."""

DATA = "stages.tables.data"


def run(
    *,
    names: Sequence[str],
    profiles: Path,
    shipped: Path,
    known: Path,
    work: Path,
    under: Sequence[str] = (),
    also: Sequence[str] = (),
) -> bool:
    """Score networks and print their means and the largest difference from the card; whether all are as it says.

    Args:
        names: of shipped networks; empty: all.
        under: protocols of the cards to score again; empty: all. A network whose card has none of them is left out.
        also: protocols under which a network is scored instead if its card has no scores under them; these are written on the
            card. Empty: none.
        profiles: folder of base.yaml and of the profiles.
        shipped, known: as the step `data` of the tables takes them.
        work: folder for the data sets.
    """
    rows, are_alike = [], True
    if under and also:
        raise ValueError(
            f"protocols must be those of the cards (--under) or further ones (--also), got {list(under)} and {list(also)}; "
            "give one of the two."
        )
    for protocol in (*under, *also):
        protocols.find(protocol)
    shelf = [(name, cards.read(name)) for name in dict.fromkeys(names or zoo.names())]
    chosen = [_choose(card["scores"], under, also) for _, card in shelf]
    if under and not any(chosen):
        raise ValueError(
            f"one of the networks must have scores under {', '.join(under)}, got {', '.join(name for name, _ in shelf)}, which "
            "have none; --also scores them under further protocols."
        )
    for (name, card), asked in zip(shelf, chosen, strict=True):
        if not asked:
            continue
        folder = zoo.folder(name)
        settings = _settings(card, profiles)
        data = work / f"{card['made_with']['profile']}-{card['task']}-{card['data']['dataset']}"
        images = work / f"{card['data']['dataset']}-images"
        import_module(DATA).bring(settings=settings, shipped=shipped, known=known, images=images, out=data)
        task = tasks.find(card["task"])
        test = load_samples(data / "pictures", split_lists.read(data / "split" / "split.json", ["test"])["test"], task)
        plan = {protocol: list(test) for protocol in asked}
        known_scores = {(row["protocol"], row["name"]): float(row["psnr_db"]) for row in cards.scores(name)}
        if {name for _, name in known_scores} != set(test):
            raise ValueError(
                f"{folder / 'scores.csv'} must have scores of the {len(test)} test images in {data}, got others; remove {data} "
                "if it was made by another version."
            )
        print(f"{name}: {len(test)} images under {', '.join(plan)}", file=sys.stderr, flush=True)
        found = scoring.score(
            models.load(folder), test, plan, sigma=card["sigma"], seed=card["made_with"]["seed"], batch=BATCH,
            tell=lambda protocol, score: None,
        )  # fmt: skip
        if also:
            shelve.add(name, [row for protocol, scored in found.items() for row in scored.rows(protocol=protocol)])
            card = cards.read(name)
        for protocol, scored in found.items():
            gap = max(abs(s.psnr_db - known_scores.get((protocol, s.name), s.psnr_db)) for s in scored.scores)
            are_alike &= gap < ALIKE
            means = scored.means()
            card_db = card["scores"][protocol]["psnr_db"]
            values = [f"{value:.4f}" for value in (means["psnr_db"], means["ssim_zero_padded"], card_db)]
            rows.append([name, protocol, str(len(scored.scores)), *values, f"{gap:.1e}"])
            verdict = "as on its card" if gap < ALIKE else f"up to {gap:.3g} dB from its card"
            print(f"{name}: {protocol} {values[0]} dB, {verdict}", file=sys.stderr, flush=True)
    columns = [
        "network",
        "protocol",
        "images",
        "PSNR, dB",
        "SSIM",
        "on its card, dB",
        "largest difference of an image, dB",
    ]
    print(table(columns, rows, columns[2:]))
    return are_alike


def _choose(scores: Mapping[str, Any], under: Sequence[str], also: Sequence[str]) -> list[str]:
    """The protocols to score a network under whose card has `scores`: those asked for that it lacks, or of its own."""
    if also:
        return [protocol for protocol in also if protocol not in scores]
    return [protocol for protocol in scores if not under or protocol in under]


def _settings(card: Mapping[str, Any], profiles: Path) -> Settings:
    """Of the data set's pictures and split, as the network's profile has them."""
    params = {
        "dataset": card["data"]["dataset"], "task": card["task"], "folder": "data", "layout": "clean",
        "sigma": card["sigma"] or 50, "space": "irnas", "seed": card["made_with"]["seed"],
        "profile": card["made_with"]["profile"],
    }  # fmt: skip
    return Settings(resolving.resolve(params, profiles), "models")
