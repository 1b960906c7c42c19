"""How well a picture's tone is told: over folds of the training pairs, the error of the curve that the others give.

    python -m benchmarks.tone --pictures runs/pair --split runs/split

Of a data set of pairs in colour that pair and split have prepared (task derain). The error of a curve is the root of the mean
square over its levels, in shares of the range, over the pairs of W and A; beside the estimate of `nasir.training.toning` stand
no correction, the mean curve of the other folds, and a forest on the histogram of the degraded picture or on its texture. Test
pairs are not read.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.table import to_markdown
from nasir import task as tasks
from nasir.config.retrain import ToneConfig
from nasir.data import split_lists
from nasir.data.pictures import listing
from nasir.data.pictures.collection import load
from nasir.inference.tone import LEVELS
from nasir.training import toning

CONFIG = ToneConfig(kinds=14, components=60, folds=10)
Values = NDArray[np.float64]
Way = Callable[[Values, Values, Values], Values]
"""Features and curves of the other folds, and features of a fold -> its curves."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=Path, required=True, help="what pair wrote")
    parser.add_argument("--split", type=Path, required=True, help="what split wrote")
    given = parser.parse_args()
    parts = split_lists.read(given.split / "split.json", "wa")
    names = parts["w"] + parts["a"]
    listed = {picture.name: picture for picture in listing.read(given.pictures)}
    is_elsewhere = np.array([bool(listed[name].also_in) for name in names])
    pairs = load(given.pictures, names, tasks.find("derain"))
    curves, textures = toning.curves_of(pairs), toning.textures_of(pairs)
    histograms = np.array([histogram(pair[..., 3:]) for pair in pairs.values()])
    ways: list[tuple[str, Values, Way]] = [
        ("no correction", textures, lambda x, y, of: np.zeros((len(of), LEVELS))),
        ("the mean curve", textures, lambda x, y, of: np.repeat(y.mean(axis=0)[None], len(of), axis=0)),
        ("the histogram, extremely randomised trees", histograms, by_trees),
        ("the texture, extremely randomised trees", textures, by_trees),
    ]
    for kinds, components in ((14, 60), (10, 60), (20, 60), (14, 30), (14, 90)):
        config = dataclasses.replace(CONFIG, kinds=kinds, components=components)
        ways.append((f"**the texture, {kinds} kinds, {components} components**", textures, by_kinds(config)))
    groups = [f"{is_elsewhere.sum()} pairs whose picture is BSD500's, too", f"{(~is_elsewhere).sum()} others"]
    rows: list[dict[str, object]] = []
    fold = toning.folds_of(len(names), CONFIG, 0)
    for name, features, way in ways:
        found = np.zeros_like(curves)
        for number in range(CONFIG.folds):
            is_own = fold == number
            found[is_own] = way(features[~is_own], curves[~is_own], features[is_own])
        errors = [np.sqrt(((found - curves)[chosen] ** 2).mean()) for chosen in (is_elsewhere, ~is_elsewhere)]
        rows.append({"told from": name} | {group: round(error, 4) for group, error in zip(groups, errors, strict=True)})
    print(to_markdown(rows))


def histogram(image: NDArray[np.uint8]) -> Values:
    """Shares of the luma's levels in 32 parts, and how much of the picture is black or white."""
    luma = image @ np.array([0.299, 0.587, 0.114])
    shares = np.histogram(luma, bins=32, range=(0, 256))[0] / luma.size
    return np.concatenate([shares, [(luma < 2).mean(), (luma > 253).mean(), luma.mean(), luma.std()]])


def by_trees(x: Values, y: Values, of: Values) -> Values:
    return ExtraTreesRegressor(300, min_samples_leaf=2, random_state=0).fit(x, y).predict(of)


def by_kinds(config: ToneConfig) -> Way:
    def way(x: Values, y: Values, of: Values) -> Values:
        found = toning.learn(x, y, config, 0)
        assert found is not None  # there are hundreds of pairs
        logits = of @ found.weight.double().numpy().T + found.bias.double().numpy()
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True) @ found.curves.double().numpy()

    return way


if __name__ == "__main__":
    main()
