"""Fits the estimate of a picture's tone (`nasir.inference.tone`) to training pairs, in closed form.

The pairs' curves fall into kinds (k-means), and a linear discriminant analysis on the principal components of their texture
tells the kinds apart. A pair's own curve must not lead to its own estimate, or a network would be trained on better ones than
it meets: a training pair is corrected as a fit to the pairs of other folds tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasir.config.retrain import ToneConfig
from nasir.data.pictures.collection import to_clean
from nasir.inference import tone
from nasir.inference.tone import Tone

LEAST = 4
"""Pairs of a kind: with fewer it is left out, as their texture has no spread worth the name."""

OF_A_KIND = 20
"""Pairs on average, or there are fewer kinds than asked for."""

Pairs = Mapping[str, NDArray[np.uint8]]
"""name -> shape (H, W, 6), 8 bits, the clean channels first."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What training pairs give."""

    tone: Tone  # of all pairs
    undone: dict[str, NDArray[np.uint8]]  # the pairs, each without the tone that those of other folds tell of it


def fewest(config: ToneConfig) -> int:
    """Training pairs that an estimate needs: two kinds in each fit."""
    return -(-2 * OF_A_KIND * config.folds // (config.folds - 1))


def fit(pairs: Pairs, config: ToneConfig, seed: int) -> Fitted | None:
    """Fit the estimate to training pairs and correct them.

    Args:
        pairs: of colour images.
        config: how many kinds, principal components and folds.
        seed: of k-means and the folds.

    Returns:
        None if there are fewer than `fewest` pairs, or all have one tone.
    """
    if len(pairs) < fewest(config):
        return None
    textures, curves = textures_of(pairs), curves_of(pairs)
    fold = folds_of(len(pairs), config, seed)
    fits = [learn(textures[fold != number], curves[fold != number], config, seed) for number in range(config.folds)]
    whole = learn(textures, curves, config, seed)
    if whole is None or None in fits:
        return None
    undone = {name: undo(pair, fits[own]) for (name, pair), own in zip(pairs.items(), fold, strict=True)}
    return Fitted(tone=whole, undone=undone)


def undo(pair: NDArray[np.uint8], estimate: Tone) -> NDArray[np.uint8]:
    """A pair of shape (H, W, 6) with the tone of its degraded image taken back, rounded to 8 bits."""
    degraded = to_clean(pair[..., 3:])
    tone.take_back(degraded, estimate.estimate(degraded), degraded)
    levels = degraded.mul_(255).round_().to(torch.uint8).numpy().transpose(1, 2, 0)
    return np.concatenate([pair[..., :3], levels], axis=2)


def textures_of(pairs: Pairs) -> NDArray[np.float64]:
    """`nasir.inference.tone.texture` of each pair's degraded image, shape (pairs, FEATURES)."""
    return np.array([tone.texture(to_clean(pair[..., 3:])).double().numpy() for pair in pairs.values()])


def curves_of(pairs: Pairs) -> NDArray[np.float64]:
    """`nasir.inference.tone.curve_of` of each pair, shape (pairs, LEVELS)."""
    return np.array([tone.curve_of(pair[..., :3], pair[..., 3:]) for pair in pairs.values()])


def folds_of(count: int, config: ToneConfig, seed: int) -> NDArray[np.int64]:
    """The fold of each pair."""
    return np.random.default_rng(seed).permutation(count) % config.folds


def learn(x: NDArray[np.float64], curves: NDArray[np.float64], config: ToneConfig, seed: int) -> Tone | None:
    """The estimate that textures and curves of the same pairs give; None as `fit`, but for the folds."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import StandardScaler

    kinds = min(config.kinds, len(x) // OF_A_KIND, len(np.unique(curves, axis=0)))
    if kinds < 2:
        return None
    kind = KMeans(kinds, n_init=5, random_state=seed).fit(curves).labels_
    is_kept = np.bincount(kind, minlength=kinds)[kind] >= LEAST
    x, curves, kind = x[is_kept], curves[is_kept], kind[is_kept]
    if len(np.unique(kind)) < 2:
        return None
    scaler = StandardScaler().fit(x)
    parts = PCA(min(config.components, *x.shape), svd_solver="full").fit(scaler.transform(x))
    classes = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(
        parts.transform(scaler.transform(x)), kind
    )
    rows, offsets = classes.coef_, classes.intercept_
    if len(rows) == 1:  # of two kinds there is one decision, of more one each
        rows, offsets = np.concatenate([-rows, rows]) / 2, np.concatenate([-offsets, offsets]) / 2
    directions = rows @ parts.components_
    return Tone(
        weight=_tensor(directions / scaler.scale_),
        bias=_tensor(offsets - directions @ (scaler.mean_ / scaler.scale_ + parts.mean_)),
        curves=_tensor([curves[kind == one].mean(axis=0) for one in classes.classes_]),
    )


def _tensor(values: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)
