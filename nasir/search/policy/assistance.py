"""What helps short trainings to tell candidates apart: auxiliary cells, a stem trained once, and a teacher.

Nekrasov, Chen, Shen and Reid (CVPR 2019). The first training of every candidate is on the same noisy patches, drawn once with
their noise; what a stem that is trained before all candidates, and stands still in it, makes of them is stored. Its loss has in
addition the weighted losses of the auxiliary cells (`Space.auxiliary`) and the mean squared distance to what a teacher, a
hand-designed network that is trained first, makes of the same patches. The second training is of all weights, on fresh patches,
with auxiliary cells and without the teacher.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nasir.config.reading import require, require_between
from nasir.config.training import MOST_STEPS
from nasir.layers.cost import flops_per_pixel
from nasir.layers.downscaling import enlarge
from nasir.layers.starting import start_at_zero
from nasir.networks import catalogue
from nasir.search.contract import Problem
from nasir.search.sampling.alone import AGAIN, build, train
from nasir.spaces.contract import Genotype, random_tokens
from nasir.training.loop import Batch, Descent, draw_batch
from nasir.training.losses import restoration_loss
from nasir.training.parallel import Team, alone

OF_TEACHER, OF_STEM, OF_CACHE = 2, 3, 4
"""Batches of the teacher's training, of the stem's, and of the stored patches: a candidate's two trainings have 0 and 1."""

MOST_STORED = 1_000_000
"""Patches."""

AVERAGE = 0.99
"""Decay of the running mean of the teacher's and the stem's weights."""

CHUNK = 64
"""Patches that the stem and the teacher look at together."""


@dataclass(frozen=True, kw_only=True)
class Assisted:
    """The part of a strategy's section that says what helps its candidates' trainings."""

    average: float  # decay of the running mean of a candidate's weights in its first training; 0: none
    more_average: float  # in its second
    auxiliary: float  # weight of each auxiliary cell's loss; 0: there are none
    cache: int  # patches of all first trainings, drawn once with their noise; 0: fresh ones
    stem_steps: int  # of the stem's training before all; 0: it is trained with each candidate
    teacher: str  # a hand-designed network; empty: none
    teacher_steps: int
    distillation: float  # weight of the distance to what the teacher makes of a patch

    def __post_init__(self) -> None:
        for name in ("average", "more_average"):
            require(0 <= getattr(self, name) < 1, f"strategy.{name} must be 0 or more and below 1", getattr(self, name))
        for name in ("auxiliary", "distillation"):
            require(getattr(self, name) >= 0, f"strategy.{name} must be 0 or more", getattr(self, name))
        require_between(self, "strategy", ("stem_steps", "teacher_steps"), 0, MOST_STEPS)
        require_between(self, "strategy", ("cache",), 0, MOST_STORED)
        for name in ("stem_steps", "teacher"):
            require(
                not getattr(self, name) or self.cache > 0,
                f"strategy.cache must be 1 or more with a strategy.{name}, whose outputs are stored",
                self.cache,
            )
        if self.teacher:
            catalogue.module(self.teacher)
            require(
                self.teacher_steps > 0, "strategy.teacher_steps must be 1 or more with a teacher", self.teacher_steps
            )


class Cache:
    """Noisy patches with what belongs to them.

    Args:
        noisy, clean: shape (patches, C, side, side).
        features: what the stem makes of the noisy ones: a tensor, or several, the first axis that of the patches; None where it
            does not stand still.
        taught: what the teacher makes of them; None without a teacher.
    """

    def __init__(self, noisy: Tensor, clean: Tensor, features: Any, taught: Tensor | None) -> None:
        self.noisy, self.clean, self._features, self._taught = noisy, clean, features, taught
        self.features: Any = None
        self.taught: Tensor | None = None

    def look(self, rows: Tensor) -> Batch:
        """Give patches; `features` and `taught` are theirs from now on."""
        self.features = _each(self._features, lambda stored: stored[rows])
        self.taught = _each(self._taught, lambda stored: stored[rows])
        return self.noisy[rows], self.clean[rows]


def _each(value: Any, make: Callable[[Tensor], Tensor]) -> Any:
    """A tensor, or each of several; None stays None."""
    if value is None or isinstance(value, Tensor):
        return value if value is None else make(value)
    return type(value)(make(one) for one in value)


class Stored(nn.Module):
    """In the place of a stem: gives the features of the present patches, whatever it is given."""

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self._give = lambda: cache.features  # a function: a copy of this module is not one of the cache

    def forward(self, x: Tensor) -> Any:
        return self._give()


class StemAlone(nn.Module):
    """A stem, and a 3x3 convolution on each of its features; their sum is what to subtract from the image.

    Args:
        stem: maps what it is given to a tensor, or several at whole fractions of its size.
        channels: of the images.
        x: an image, shape (1, channels, H, W).
        enter: makes what the stem is given out of images, as its network does.
    """

    def __init__(self, stem: nn.Module, channels: int, x: Tensor, enter: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self._enter = stem, enter
        with torch.no_grad():
            given = enter(x)
            features = self._list(x)
        self.factor = round((given.shape[1] / channels) ** 0.5)  # blocks of pixels that are channels
        heads = [nn.Conv2d(feature.shape[1], given.shape[1], 3, padding=1) for feature in features]
        for head in heads:
            start_at_zero(head)
        self.heads = nn.ModuleList(heads).to(x.device)

    def features(self, x: Tensor) -> Any:
        """What the stem gives."""
        return self.stem(self._enter(x))

    def forward(self, x: Tensor) -> Tensor:
        size = self._enter(x).shape[-2:]
        outputs = [head(feature) for head, feature in zip(self.heads, self._list(x), strict=True)]
        total = sum((interpolate(output, size=size, mode="nearest") for output in outputs), torch.zeros(()))
        return x - enlarge(total, self.factor, x)

    def _list(self, x: Tensor) -> list[Tensor]:
        features = self.features(x)
        return [features] if isinstance(features, Tensor) else list(features)


class WithCells(nn.Module):
    """A candidate and its auxiliary cells.

    Args:
        network: the candidate.
        cells: see `Space.auxiliary`.
    """

    def __init__(self, network: nn.Module, cells: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.network, self.names = network, list(cells)
        self.auxiliary = nn.ModuleList(cells.values())
        self.outputs: list[Tensor] = []  # of the cells for the last images

    def forward(self, x: Tensor) -> Tensor:
        seen: dict[str, Any] = {}
        hooks = [
            self.network.get_submodule(name).register_forward_hook(partial(_keep, seen, name)) for name in self.names
        ]
        try:
            restored: Tensor = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        self.outputs = [cell(seen[name], x) for name, cell in zip(self.names, self.auxiliary, strict=True)]
        return restored


def _keep(seen: dict[str, Any], name: str, module: nn.Module, given: Any, output: Any) -> None:
    seen[name] = output


@dataclass(frozen=True, kw_only=True)
class AssistedDescent(Descent):
    """Steps down the loss with the auxiliary cells' and the distance to the teacher."""

    cache: Cache | None
    auxiliary: float
    distillation: float

    def draw(self, patches: Any = None) -> Batch:
        """A batch of the stored patches, or a fresh one where there are none."""
        if self.cache is None:
            return super().draw(patches)
        rows = torch.randint(len(self.cache.noisy), (self.budget.batch,), generator=self.generator)
        return self.cache.look(self.team.shard(rows.to(self.cache.noisy.device), self.parts))

    def loss(self, batch: Batch) -> Tensor:
        """The loss on a batch; without cells and teacher that of every training, which takes a batch in parts."""
        noisy, clean = batch
        assert isinstance(self.network, WithCells)
        if not self.network.names and self.cache is None:
            return super().loss(batch)
        with self.team.autocast():
            restored = self.network(noisy)
        outputs = [restored, *self.network.outputs]
        losses = [
            restoration_loss(one.to(clean.dtype), clean, self.budget.ssim_weight, self.team.mean) for one in outputs
        ]
        loss = losses[0] + self.auxiliary * sum(losses[1:], torch.zeros_like(losses[0]))
        if self.cache is not None and self.cache.taught is not None:
            loss = loss + self.distillation * self.team.mean((restored.to(clean.dtype) - self.cache.taught).square())
        return loss


class Assistance:
    """What is made once for all candidates of a search; without any of it a training is that of `sampling.alone`.

    Args:
        problem: whose section is `Assisted`.
        known: what `state` gave, to make the same again; only what it lacks is trained. None to train all.
        keep: called with `state` behind each training, so that it can be kept against a kill.
    """

    def __init__(
        self,
        problem: Problem,
        known: Mapping[str, Any] | None,
        keep: Callable[[dict[str, Any]], None] = lambda state: None,
    ) -> None:
        section: Any = problem.of_strategy
        self.problem, self.section, self._keep = problem, section, keep
        self.known: dict[str, Any] = (
            dict(known["weights"]) if known is not None else {}
        )  # state dicts of teacher and stem
        self.flops: float = known["flops"] if known is not None else 0.0
        # of forward passes in all trainings, to which the search adds; one that failed counts whole
        self.cache = self._store() if section.cache > 0 else None

    def state(self) -> dict[str, Any]:
        """All that is needed to carry on."""
        return {"weights": self.known, "flops": self.flops}

    def join(self, network: nn.Module, genotype: Genotype) -> WithCells:
        """A candidate with its auxiliary cells, and with the stem that was trained."""
        problem = self.problem
        cells: dict[str, nn.Module] = {}
        if self.section.auxiliary > 0:
            sizes = problem.space.candidate_sizes(problem.of_space)
            cells = problem.space.auxiliary(genotype, sizes, problem.channels)
        if "stem" in self.known:
            of_stem = {
                key.removeprefix("stem."): value for key, value in self.known["stem"].items() if key.startswith("stem.")
            }
            getattr(network, problem.space.stem).load_state_dict(of_stem)
        return WithCells(network, cells).to(problem.team.device)

    def train(
        self, network: WithCells, steps: int, name: str, lr_max: float, stage: int, count: Callable[[float], None]
    ) -> float:
        """Train a candidate, at stage 0 or 1; gives its last loss. `count` is told the operations of it before it begins."""
        section, cache = self.section, self.cache if stage == 0 else None
        average = section.average if stage == 0 else section.more_average
        descent = partial(AssistedDescent, cache=cache, auxiliary=section.auxiliary, distillation=section.distillation)
        with self._standing_still(network.network, cache):
            if cache is not None:
                cache.look(torch.zeros(1, dtype=torch.long, device=cache.noisy.device))
            count(self._cost(network, steps))
            loss = train(network, self.problem, steps, name, lr_max, average, stage, descent)
        network.outputs = []
        return loss

    def _cost(self, network: nn.Module, steps: int) -> float:
        """Operations of the forward passes of a training."""
        config = self.problem.config
        cost = flops_per_pixel(network, self.problem.channels, config.patch)
        return steps * config.batch * config.patch**2 * cost

    @contextmanager
    def _standing_still(self, network: nn.Module, cache: Cache | None) -> Iterator[None]:
        """Meanwhile the network reads stored features, if there are some."""
        if cache is None or "stem" not in self.known:
            yield
            return
        name = self.problem.space.stem
        stem = getattr(network, name)
        setattr(network, name, Stored(cache))
        try:
            yield
        finally:
            setattr(network, name, stem)

    def _store(self) -> Cache:
        problem, section = self.problem, self.section
        generator = torch.Generator().manual_seed(problem.seed + AGAIN * OF_CACHE)
        noisy, clean = draw_batch(
            problem.patches_w, problem.config.sigmas, section.cache, generator, alone(problem.team.device), 1,
            problem.config.noise,
        )  # fmt: skip
        features = taught = None
        if section.stem_steps > 0:
            features = _see(self._stem(noisy[:1]).features, noisy, problem.team)
        if section.teacher and section.distillation > 0:
            taught = _see(self._teacher(), noisy, problem.team)
        return Cache(noisy, clean, features, taught)

    def _stem(self, x: Tensor) -> StemAlone:
        """The stem, trained alone."""
        problem, section = self.problem, self.section
        if not problem.space.stem:
            raise ValueError(
                f"strategy.stem_steps must be 0 with the space {problem.space.name}, whose networks have no stem in common, got "
                f"{section.stem_steps}."
            )
        generator = torch.Generator().manual_seed(problem.seed)
        tokens = random_tokens(problem.space, problem.of_space, generator)
        network: Any = build(problem.space.from_tokens(problem.of_space, tokens), problem).to(problem.team.device)
        stem = StemAlone(getattr(network, problem.space.stem), problem.channels, x, network.enter)
        self._train("stem", stem, section.stem_steps, section.lr_max, OF_STEM)
        return stem

    def _teacher(self) -> nn.Module:
        problem, section = self.problem, self.section
        baseline = catalogue.find(section.teacher)
        torch.manual_seed(problem.seed)
        teacher = baseline.build(problem.channels).to(problem.team.device)
        self._train("teacher", teacher, section.teacher_steps, baseline.lr_max, OF_TEACHER)
        return baseline.finish(teacher)

    def _train(self, name: str, network: nn.Module, steps: int, lr_max: float, again: int) -> None:
        """Train a network, or give it the weights that it had; it is in evaluation mode then."""
        problem = self.problem
        if name in self.known:
            network.load_state_dict(self.known[name])
            network.eval()
            return
        problem.team.align(network, 0)
        train(network, problem, steps, f"the {name}", lr_max, AVERAGE, again)
        network.eval()
        self.known[name] = {key: value.cpu().clone() for key, value in network.state_dict().items()}
        self.flops += self._cost(network, steps)
        self._keep(self.state())


def _see(look: Callable[[Tensor], Any], noisy: Tensor, team: Team) -> Any:
    """What a network in evaluation mode makes of all patches, in their precision."""
    with torch.no_grad(), team.autocast():
        parts = [_each(look(part), lambda features: features.to(noisy.dtype)) for part in noisy.split(CHUNK)]
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return type(parts[0])(torch.cat(of_one) for of_one in zip(*parts, strict=True))
