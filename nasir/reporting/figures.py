"""The figures of the report, each a PNG as bytes: curves of the search and of the training, and strips of pictures."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image

from nasir.canvas import DPI, plain_style, to_png
from nasir.data.pictures.collection import detail
from nasir.reporting.history import History, moving, smooth
from nasir.reporting.run.record import PANELS

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#6b6b6b"
_SIZE = (8.5, 2.9)  # inches
_CROP, _GUTTER, _TITLE = 208, 8, 24  # pixels
_SCORED = {"darts": "its supernet", "one_shot": "a candidate with shared weights"}


def search_curves(history: History, best_step: int | None = None) -> bytes:
    """Losses (train_loss on W, val_loss on A) and PSNR on V over the steps of the search.

    Args:
        history: the search's curves.
        best_step: step of the kept supernet, marked with a line; None marks nothing.
    """
    with plain_style():
        figure, (losses, scores) = _panels(2)
        _plot(losses, history, {"train_loss": ("weights, on W", _BLUE), "val_loss": ("architecture, on A", _ORANGE)})
        losses.set(title="Loss", xlabel="step")
        _log_scale(losses, history, ("train_loss", "val_loss"))
        _plot(scores, history, {"psnr_db": ("on V", _BLUE)})
        scores.set(title="PSNR in dB", xlabel="step")
        if best_step is not None:
            scores.axvline(best_step, color=_GREY, lw=1, ls="--", label=f"kept: step {best_step}")
            # beside the title, as the line may stand anywhere
            scores.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        return to_png(figure)


def best_so_far_curves(histories: Mapping[str, History]) -> bytes:
    """Best score on V so far (SSIM + PSNR / 100) against the operations spent, one line for each strategy.

    The scores are not of one kind, and the figure says so: `darts` scores its supernet, in which all choices are still mixed,
    `one_shot` candidates with shared weights, others trained networks. A line can be read for when its strategy stops
    getting better, not for which strategy finds the better network.

    Args:
        histories: curves of each search, with `best_score` and `spent_flops`, by its strategy's name; " in SPACE" may follow.

    Raises:
        ValueError: if a history has no `best_score` or no `spent_flops`.
    """
    with plain_style():
        figure, [axes] = _panels(1)
        styles = itertools.cycle(itertools.product(("-", "--"), (_BLUE, _ORANGE, _GREY)))
        for (strategy, history), (dashes, colour) in zip(histories.items(), styles, strict=False):
            absent = [metric for metric in ("best_score", "spent_flops") if metric not in history]
            if absent:
                raise ValueError(
                    f"a search's history must have best_score and spent_flops, got none of {absent} for "
                    f"{strategy}; run search again."
                )
            spent, best = history["spent_flops"].values / 1e12, history["best_score"].values
            label = f"{strategy}: {_SCORED.get(strategy.partition(' in ')[0], 'a trained candidate')}"
            axes.plot(spent, best, dashes, color=colour, label=label, drawstyle="steps-post", marker=".")
        axes.set(
            title="Best score on V so far: SSIM + PSNR / 100",
            xlabel="spent: 10$^{12}$ operations of forward passes\nThese scores are not of one kind.",
        )
        axes.legend(loc="best")
        return to_png(figure)


def choice_curves(history: History) -> bytes:
    """How decided the search is: entropy of alpha and beta, and the mean share of `skip` and `none` on an edge."""
    with plain_style():
        figure, (entropy, share) = _panels(2)
        _plot(entropy, history, {"alpha_entropy": ("alpha", _BLUE), "beta_entropy": ("beta", _ORANGE)})
        entropy.set(title="Mean entropy of the choices", xlabel="step")
        _plot(share, history, {"skip_share": ("skip", _BLUE), "none_share": ("none", _ORANGE)})
        share.set(title="Mean share of an edge's weight", xlabel="step")
        for axes in (entropy, share):
            axes.set_ylim(bottom=0)
        return to_png(figure)


def reward_curves(history: History) -> bytes:
    """What a controller was rewarded with (each candidate, moving mean and a standard deviation around it), and its entropy.

    Where `stopped` was recorded, also which share of the candidates had no second training.
    """
    with plain_style():
        figure, (rewards, entropy, *more) = _panels(3 if "stopped" in history else 2)
        numbers, values = history["reward"].steps, history["reward"].values
        of = moving(values)
        rewards.plot(numbers, values, ".", color=_GREY, ms=4, label="candidate")
        rewards.fill_between(numbers, of.mean - of.spread, of.mean + of.spread, color=_BLUE, alpha=0.2, lw=0)
        rewards.plot(numbers, of.mean, color=_BLUE, label=f"mean of {of.count}")
        rewards.set(title="Reward", xlabel="candidate")
        rewards.legend()
        rewards.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
        _plot(entropy, history, {"entropy": ("of the candidates in the ring", _BLUE)})
        entropy.set(title="Entropy of the controller in nats", xlabel="candidate")
        for axes in more:
            share = moving(history["stopped"].values)
            axes.plot(history["stopped"].steps, share.mean, color=_BLUE)
            axes.set(title=f"Share ended early, of {share.count}", xlabel="candidate", ylim=(-0.03, 1.03))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
        return to_png(figure)


def training_curves(history: History) -> bytes:
    """Training loss (faint: each record; strong: running mean), PSNR and SSIM on V over the steps of the retraining."""
    with plain_style():
        figure, (loss, psnr, ssim) = _panels(3)
        _plot(loss, history, {"train_loss": ("on W and A", _BLUE)})
        loss.set(title="Loss", xlabel="step")
        _log_scale(loss, history, ("train_loss",))
        _plot(psnr, history, {"psnr_db": ("on V", _BLUE)})
        psnr.set(title="PSNR in dB", xlabel="step")
        _plot(ssim, history, {"ssim": ("on V", _BLUE)})
        ssim.set(title="SSIM", xlabel="step")
        return to_png(figure)


def picture_strip(folder: Path, captions: Mapping[str, str]) -> bytes:
    """A detail of clean | noisy | restored | error, pixel for pixel.

    The detail is the square of at most 208 pixels where the clean image's squared gradient is largest; it has the same
    place in all four.

    Args:
        folder: holds `clean.png`, `noisy.png`, `restored.png` and `error.png`, all of one size.
        captions: text above a picture, by its name; one without a caption is headed by its name.
    """
    pictures = [_load(folder / f"{name}.png") for name in PANELS]
    if len({picture.shape for picture in pictures}) != 1:
        sizes = {name: f"{p.shape[1]}x{p.shape[0]}" for name, p in zip(PANELS, pictures, strict=True)}
        raise ValueError(f"the pictures in {folder} must have one size, got {sizes}; run evaluate again.")
    side = min(_CROP, *pictures[0].shape[:2])
    top, left = detail(pictures[0].mean(axis=2), side)
    pitch = max(side, 150) + _GUTTER
    width, height = len(PANELS) * pitch + _GUTTER, side + _TITLE + _GUTTER
    with plain_style():
        figure = Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI))
        for column, (name, picture) in enumerate(zip(PANELS, pictures, strict=True)):
            x = _GUTTER + column * pitch
            figure.figimage(picture[top : top + side, left : left + side], xo=x, yo=_GUTTER, origin="upper")
            figure.text(x / width, 1 - _TITLE / 2 / height, captions.get(name, name), va="center")
        return to_png(figure)


def _panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, [figure.add_subplot(1, count, index + 1) for index in range(count)]


def _plot(axes: Axes, history: History, lines: Mapping[str, tuple[str, str]]) -> None:
    """Draw metrics by label and colour; a panel whose metrics were never recorded says so."""
    for metric, (label, colour) in lines.items():
        if metric not in history:
            continue
        steps, values = history[metric].steps, history[metric].values
        span = len(values) // 25
        if span >= 2:
            axes.plot(steps, values, color=colour, alpha=0.3, lw=0.8)
            axes.plot(steps, smooth(values, span), color=colour, label=label)
        else:
            axes.plot(steps, values, color=colour, label=label, marker=".", ms=5 if len(values) < 40 else 0)
    if not any(metric in history for metric in lines):
        axes.text(0.5, 0.5, f"not recorded: {', '.join(lines)}", ha="center", va="center", transform=axes.transAxes)
        return
    axes.legend()
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))


def _log_scale(axes: Axes, history: History, metrics: Sequence[str]) -> None:
    """A logarithmic axis with plain decimals, where all values allow it: the first losses are many times the last."""
    curves = [history[metric].values for metric in metrics if metric in history]
    if not curves or min(curve.min() for curve in curves) <= 0:
        return
    ratio = max(curve.max() for curve in curves) / min(curve.min() for curve in curves)
    if ratio < 2:
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio > 20 else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _load(path: Path) -> NDArray[np.uint8]:
    """A picture as RGB, shape (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
