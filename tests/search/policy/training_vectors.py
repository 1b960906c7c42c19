"""The numbers of the authors of the RL search against the parts of our trainings of a candidate: what helps it, step and mean.

Theirs are of classes, ours of images, so a step here has their loss of an output, and their optimiser with its rate. Ours is what
is around: stored features, auxiliary cells and distillation in one loss, the gradient and its clipped step, the running mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasir.layers.cost import parameters
from nasir.search.policy import assistance
from nasir.search.policy.assistance import AssistedDescent, Cache, Stored, WithCells
from nasir.spaces.contextual.decoder import AuxiliaryCell, Decoder
from nasir.spaces.contextual.genotype import Genotype
from nasir.training.averaging import Average
from nasir.training.loop import descend
from nasir.training.parallel import alone
from tests import decoder_vectors
from tests.decoder_vectors import genotype_of
from tests.vector_names import Named, rename
from tests.vector_report import Line, deviation

FORWARD = 1e-10
TRAINED = 1e-9

OF_BOTH = (
    "not compared: the loss of an output, theirs the NLL of classes in place of ours of images",
    "not compared: how an auxiliary output is brought to the size of what it is compared with, theirs bilinear, ours nearest",
    "not compared: the running mean's first steps, theirs uncorrected from the first weights on, which is our `is_compat`",
    "not compared: running statistics in the running mean, which ours takes in and theirs does not; weights alone are replaced",
)
NOTES = {
    "stage 0": (
        "not compared: the optimiser, theirs Adam at a constant rate; ours is AdamW, whose rate rises and falls",
        "not compared: when the mean takes the weights' place, theirs behind each epoch, ours once in the end",
        *OF_BOTH,
    ),
    "stage 1": (
        "not compared: the optimisers, theirs SGD of the encoder and Adam of the rest, each clipped alone; ours is one AdamW",
        *OF_BOTH,
    ),
}
"""By kind, which part has nothing of ours beside it, and why."""

RULES: Sequence[tuple[str, Callable[..., str]]] = (
    (r"encoder\.(.*)", "network.stem.{}".format),
    (r"(?:decoder\.)?(.*)", lambda name: _of_decoder(rename(name, decoder_vectors.RULES))),
)


def _of_decoder(name: str) -> str:
    return name if name.startswith("auxiliary.") else f"network.{name}"


class OwnSize(AuxiliaryCell):
    """An auxiliary cell that stays at its block's size: their loss resizes what it is given."""

    def forward(self, features: Tensor, filled: Tensor) -> Tensor:
        return super().forward(features, features)


class Encoder(nn.Module):
    """The one of META, whose four outputs are the taps."""

    def __init__(self, channels: int, taps: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, taps[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(taps[0])
        self.conv2 = nn.Conv2d(taps[0], taps[1], 3, 2, 1)
        self.conv3 = nn.Conv2d(taps[1], taps[2], 3, 2, 1)
        self.conv4 = nn.Conv2d(taps[2], taps[3], 3, 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        taps = [self.bn1(self.conv1(x)).relu()]
        for conv in (self.conv2, self.conv3, self.conv4):
            taps.append(conv(taps[-1]).relu())
        return taps


class Network(nn.Module):
    """A decoder on what a stem gives."""

    def __init__(self, stem: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.stem, self.decoder = stem, decoder

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decoder(self.stem(x))
        return result


def build(stem: nn.Module, taps: Sequence[int], arrays: Named, entry: Named) -> tuple[Genotype, WithCells]:
    """The file's candidate with its auxiliary cells and its first weights, in float64 and in training mode."""
    genotype = genotype_of(entry["genotype"])
    of_cell = (genotype, entry["channels"], entry["classes"], entry["sep_repeats"])
    decoder = Decoder(genotype, taps, *of_cell[1:], reads_first=False)
    cells = {f"decoder.blocks.{number}": OwnSize(*of_cell) for number in range(len(genotype.blocks))}
    ours = WithCells(Network(stem, decoder), cells).double()
    ours.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in _named(arrays, "sd/").items()})
    return genotype, ours.train()


def _named(arrays: Named, prefix: str) -> dict[str, np.ndarray]:
    """What stands under a prefix, by our names."""
    return {
        rename(name.removeprefix(prefix), RULES): value for name, value in arrays.items() if name.startswith(prefix)
    }


def class_loss(ignored: int) -> Callable[..., Tensor]:
    """Their loss of an output, in the place of `restoration_loss`: the NLL over the labelled pixels, at the labels' size."""

    def loss(output: Tensor, labels: Tensor, ssim_weight: float, mean: Any) -> Tensor:
        resized = F.interpolate(output, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        return F.cross_entropy(resized, labels.long(), ignore_index=ignored)

    return loss


@dataclass(frozen=True, kw_only=True)
class Watched(AssistedDescent):
    """Keeps the norm of each gradient that it follows, before it is clipped."""

    norms: list[float] = field(default_factory=list)

    def follow(self, weights: Sequence[nn.Parameter], slopes: Sequence[Tensor | None]) -> None:
        self.norms.append(_norm(slopes))
        super().follow(weights, slopes)


def _norm(slopes: Sequence[Tensor | None]) -> float:
    return float(sum(slope.square().sum() for slope in slopes if slope is not None) ** 0.5)


def descent(ours: WithCells, optimiser: Any, clip_norm: float, entry: Named, cache: Cache | None) -> Watched:
    """Our steps down the loss with the auxiliary cells' and the distance to the teacher."""
    budget: Any = SimpleNamespace(clip_norm=clip_norm, clip_usual=0.0, ssim_weight=0.0)
    none: Any = None
    return Watched(
        network=ours, weights=list(ours.parameters()), optimiser=optimiser, patches=none, sigmas=0.0, budget=budget, steps=0,
        parts=1, generator=torch.Generator(), team=alone(torch.device("cpu")), section="search", cache=cache,
        auxiliary=entry["aux_weight"], distillation=entry.get("kd_coeff", 0.0),
    )  # fmt: skip


def check_stage_0(arrays: Named, entry: Named) -> list[Line]:
    """Losses, norms, weights and their mean, which takes their place behind each epoch; on stored features."""
    taps = [torch.from_numpy(arrays[f"input_{tap}"]).double() for tap in range(len(entry["in_channels"]))]
    labels, taught = (torch.from_numpy(arrays[name]).double() for name in ("y", "kd_y"))
    cache = Cache(taps[0], labels, taps, taught)
    genotype, ours = build(Stored(cache), entry["in_channels"], arrays, entry)
    lines = _facts(genotype, ours, entry)
    adam = torch.optim.Adam(ours.parameters(), lr=entry["adam_lr"], weight_decay=entry["weight_decay"])
    course, mean = descent(ours, adam, entry["grad_clip"], entry, cache), Average(ours, entry["polyak"], is_compat=True)
    with mock.patch.object(assistance, "restoration_loss", class_loss(entry["ignore_label"])):
        for epoch, order in enumerate(arrays["orders"]):
            for step, rows in enumerate(torch.from_numpy(order).split(entry["batch"])):
                loss = course.descend(cache.look(rows), step)
                mean.follow()
                of, expected = f"{epoch}/{step}/", arrays["losses"][epoch, step]
                lines.append(Line(f"{of}loss", abs(loss - expected), FORWARD))
                lines.append(
                    Line(f"{of}grad_norm", abs(course.norms[-1] / arrays["grad_norms"][epoch, step] - 1), TRAINED)
                )
            lines += _weights(ours, arrays, f"trained_{epoch}/") + _weights(mean.network, arrays, f"average_{epoch}/")
            _replace(ours, mean)
    cache.look(torch.arange(len(labels)))
    return lines + _end(ours, taps[0], arrays)


def check_stage_1(arrays: Named, entry: Named) -> list[Line]:
    """Losses, norms, weights and their mean, of encoder and decoder; on fresh images."""
    images, masks = (torch.from_numpy(arrays[name]).double() for name in ("images", "masks"))
    stem = Encoder(images.shape[2], entry["encoder_channels"])
    _, ours = build(stem, entry["encoder_channels"], arrays, entry)
    of_encoder = list(stem.parameters())
    of_decoder = [weight for name, weight in ours.named_parameters() if not name.startswith("network.stem.")]
    sgd = torch.optim.SGD(
        of_encoder, lr=entry["sgd_lr"], momentum=entry["sgd_momentum"], weight_decay=entry["weight_decay"]
    )
    adam = torch.optim.Adam(of_decoder, lr=entry["adam_lr"], weight_decay=entry["weight_decay"])
    course, mean = descent(ours, None, 0.0, entry, None), Average(ours, entry["polyak"], is_compat=True)
    halves = (("encoder", sgd, of_encoder), ("decoder", adam, of_decoder))
    lines = []
    with mock.patch.object(assistance, "restoration_loss", class_loss(entry["ignore_label"])):
        for step, batch in enumerate(zip(images, masks, strict=True)):
            loss = course.loss(batch)
            lines.append(Line(f"{step}/loss", abs(loss.item() - arrays["losses"][step]), FORWARD))
            slopes = torch.autograd.grad(loss, of_encoder + of_decoder, allow_unused=True)
            for name, optimiser, weights in halves:
                own = slopes[: len(weights)] if name == "encoder" else slopes[-len(weights) :]
                expected = arrays[f"grad_norms_{name}"][step]
                lines.append(Line(f"{step}/grad_norm_{name}", abs(_norm(own) / expected - 1), TRAINED))
                descend(optimiser, weights, own, entry[f"grad_clip_{name}"])
            mean.follow()
    lines += _weights(ours, arrays, "trained/") + _weights(mean.network, arrays, "average/")
    _replace(ours, mean)
    return lines + _end(ours, images[0], arrays)


def _facts(genotype: Genotype, ours: WithCells, entry: Named) -> list[Line]:
    """Counts, and what is collected."""
    return [
        Line("parameters", abs(parameters(ours) - entry["parameters"]), 0),
        Line("parameters_without_aux", abs(parameters(ours.network) - entry["parameters_without_aux"]), 0),
        Line("blocks_collected", float(list(genotype.kept_blocks) != entry["blocks_collected"]), 0),
        Line("cell_collected", float(list(genotype.kept_of_cell) != entry["cell_collected"]), 0),
    ]


def _weights(network: nn.Module, arrays: Named, prefix: str) -> list[Line]:
    found = dict(network.named_parameters())
    return [
        Line(f"{prefix}{name}", deviation(found[name], expected), TRAINED)
        for name, expected in _named(arrays, prefix).items()
    ]


@torch.no_grad()
def _replace(ours: nn.Module, mean: Average) -> None:
    """The mean's weights into the network; its running statistics stay."""
    for weight, averaged in zip(ours.parameters(), mean.network.parameters(), strict=True):
        weight.copy_(averaged)


def _end(ours: nn.Module, x: Tensor, arrays: Named) -> list[Line]:
    """The running statistics in the end, and the output with them and the mean's weights."""
    state = ours.state_dict()
    lines = [
        Line(f"post_train/{name}", deviation(state[name], expected), TRAINED)
        for name, expected in _named(arrays, "post_train/").items()
    ]
    with torch.no_grad():
        return [*lines, Line("final_output", deviation(ours.eval()(x), arrays["final_output"]), TRAINED)]
