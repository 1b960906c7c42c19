"""The CLEARER authors' numbers against ours: supernets, derived networks, losses, steps of search and of training.

Everything is computed in float64, as the files were. What limits the agreement: sums in another order, 1e-9; Adam's quotient at
tiny gradients.
"""

import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from nasir.evaluation import protocols
from nasir.search import darts
from nasir.search.darts import DartsSection
from nasir.spaces.clearer import SPACE, Network, Supernet
from nasir.spaces.resolutions.genotype import LETTERS, Genotype
from nasir.spaces.resolutions.searching import PUBLISHED, RelaxedColumns
from nasir.spaces.resolutions.section import ColumnsSection
from nasir.training.loop import Batch, Descent
from nasir.training.parallel import alone
from nasir.training.schedule import cosine
from tests.vector_names import Named, rename
from tests.vector_report import Line, Report, deviation

EXACT, STEPS = 1e-9, 1e-7
VARIANTS = ("released", "fixed")


def is_described(content: Any) -> bool:
    """Whether META is that of CLEARER's files."""
    return isinstance(content, list) and any(
        isinstance(entry, dict) and entry.get("kind") in CHECKS for entry in content
    )


def check(arrays: Named, entry: Named) -> Report:
    """Check one file by its kind.

    Raises:
        ValueError: for an unknown kind.
    """
    if entry["kind"] not in CHECKS:
        raise ValueError(f"{entry.where} must have a kind of {list(CHECKS)}, got {entry['kind']!r}.")
    return Report(entry["kind"], (), CHECKS[entry["kind"]](arrays, entry))


def section(entry: Named, aliasing: str = "fixed") -> ColumnsSection:
    """Our settings of an entry."""
    blocks, *columns = entry["list_modules"]
    return ColumnsSection(
        columns=tuple(columns), widths=tuple(entry["list_channels"]), stem_blocks=blocks, downscale=1, transition="before",
        residual=False,
        norm="batch", initial_std=0.001, aliasing=aliasing, costs="published",
    )  # fmt: skip


def _module(rest: str) -> str:
    """Our name of a tensor in a parallel or a fusion module."""
    if found := re.fullmatch(r"branches\.(\d)\.0\.(conv|bn)(\d)\.(.*)", rest):
        branch, kind, number, name = found.groups()
        return f"branches.{branch}.{(int(number) - 1) * 3 + (kind == 'bn')}.{name}"
    found = re.fullmatch(r"fuse_layers\.(\d)\.(\d)\.(.*)", rest)
    if found is None:
        raise ValueError(f"a module's tensor must be branches.* or fuse_layers.*, got {rest!r}.")
    target, source, name = found.groups()
    if int(source) < int(target):
        step, layer, name = name.split(".", 2)
        name = f"{3 * int(step) + int(layer)}.{name}"
    return f"ways.{target}.{source}.{name}"


RULES: Sequence[tuple[str, Callable[..., str]]] = (
    (
        r"stage1\.(\d+)\.(conv|bn)(\d)\.(.*)",
        lambda block, kind, number, name: f"stem.{block}.body.{(int(number) - 1) * 3 + (kind == 'bn')}.{name}",
    ),
    (r"stage1\.(\d+)\.downsample\.(.*)", lambda block, name: f"stem.{block}.shortcut.{name}"),
    (r"transition1\.transition_layers\.0\.(\d)\.(.*)", lambda layer, name: f"transitions.0.first.{layer}.{name}"),
    (
        r"transition(\d)\.transition_layers\.\d\.0\.(\d)\.(.*)",
        lambda cell, layer, name: f"transitions.{int(cell) - 1}.added.{layer}.{name}",
    ),
    (r"stage(\d)\.(\d)\.horizontal\.(.*)", lambda c, i, rest: f"cells.{int(c) - 2}.{i}.0.{_module(rest)}"),
    (r"stage(\d)\.(\d)\.fuse\.(.*)", lambda c, i, rest: f"cells.{int(c) - 2}.{i}.1.{_module(rest)}"),
    (r"stage([2-9])\.(\d)\.(.*)", lambda c, i, rest: f"cells.{int(c) - 2}.{i}.{_module(rest)}"),
    (r"final_fuse\.(.*)", lambda rest: f"head.fusion.{_module(rest)}"),
    (r"final_conv\.0\.(.*)", lambda name: f"head.output.{name}"),
)


def tensor(arrays: Named, name: str) -> Tensor:
    """An array of the file."""
    return torch.from_numpy(arrays[name])


def load(network: nn.Module, arrays: Named) -> None:
    """Give a network the file's weights, and alpha where it has one."""
    content = {rename(name[3:], RULES): tensor(arrays, name) for name in arrays if name.startswith("sd/")}
    if hasattr(network, "alpha"):
        content["alpha"] = tensor(arrays, "arch_param")
    network.double().load_state_dict(content)


def load_supernet(arrays: Named, entry: Named, aliasing: str) -> RelaxedColumns:
    """A supernet of the file's weights."""
    space = section(entry, aliasing)
    network = Supernet(entry["in_channel"], space, torch.Generator())
    load(network, arrays)
    return RelaxedColumns(network, space)


def load_network(arrays: Named, entry: Named) -> nn.Module:
    """A derived network of the file's weights."""
    words = tuple(entry["choices_text"].split())
    genotype = Genotype(space="clearer", cells=words, residual=False, norm="batch", downscale=1, transition="before")
    network = Network(
        genotype, channels=entry["in_channel"], widths=entry["list_channels"], stem_blocks=entry["list_modules"][0],
        initial_std=0.001,
    )  # fmt: skip
    load(network, arrays)
    return network


def check_supernet(arrays: Named, entry: Named) -> list[Line]:
    """Outputs, losses, gradients and running statistics, with and without the aliased list."""
    lines = []
    for variant in VARIANTS:
        relaxed = load_supernet(arrays, entry, variant)
        lines.append(
            Line(f"{variant}: parameters", abs(sum(w.numel() for w in relaxed.weights()) - entry["n_weight_params"]), 0)
        )
        lines += _passes(relaxed, arrays, variant)
    relaxed = load_supernet(arrays, entry, "fixed")
    decoded = relaxed.decode(relaxed.network.state_dict())
    lines.append(Line("columns that differ", _differ(decoded.letters, entry["choices"]), 0))
    return lines + _losses(relaxed, arrays, ("arch_loss", "comp_loss", "grad_arch_param_arch", "grad_arch_param_comp"))


def _passes(relaxed: RelaxedColumns, arrays: Named, variant: str) -> list[Line]:
    network, lines = relaxed.network, []
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs, target = tensor(arrays, "input"), tensor(arrays, "target")
    for mode in ("eval", "train"):
        network.load_state_dict(before)
        output = network.train(mode == "train")(inputs)
        mse = (output - target).square().mean()
        loss = mse + 0.01 * relaxed.indecision()
        for name, value in (("output", output), ("mse", mse), ("loss", loss)):
            lines.append(Line(f"{variant}: {mode}_{name}", deviation(value, arrays[f"{variant}/{mode}_{name}"]), EXACT))
        for name, of in (("", loss), ("_mse", mse)):
            [slope] = torch.autograd.grad(of, [relaxed.alpha], retain_graph=True)
            key = f"{variant}/grad_arch_param_{mode}{name}"
            lines.append(Line(key, deviation(slope, arrays[key]), EXACT))
    network.zero_grad()
    loss.backward()
    return lines + _of_weights(network, arrays, f"{variant}/")


def _of_weights(network: nn.Module, arrays: Named, prefix: str) -> list[Line]:
    """Gradients and buffers after a pass in training."""
    lines = []
    for name in arrays:
        if name.startswith(f"{prefix}grad/"):
            slope = network.get_parameter(rename(name.removeprefix(f"{prefix}grad/"), RULES)).grad
            assert slope is not None
            lines.append(Line(name, deviation(slope, arrays[name]), EXACT))
        elif name.startswith(f"{prefix}post_train/"):
            buffer = network.get_buffer(rename(name.removeprefix(f"{prefix}post_train/"), RULES))
            lines.append(Line(name, deviation(buffer, arrays[name]), EXACT))
    return lines


def _losses(relaxed: RelaxedColumns, arrays: Named, names: Sequence[str]) -> list[Line]:
    """L_Arch and L_Comp, and their gradients; where theirs is no number, ours is one."""
    arch, comp = relaxed.indecision(), relaxed.size("parameters") * sum(PUBLISHED) / len(PUBLISHED)
    slopes = [torch.autograd.grad(of, relaxed.alpha)[0] for of in (arch, comp)]
    lines = []
    for name, value in zip(names, (arch, comp, *slopes), strict=True):
        if np.isnan(arrays[name]).any():
            lines.append(Line(f"{name} is a number", float(not value.isfinite().all()), 0))
        else:
            lines.append(Line(name, deviation(value, arrays[name]), EXACT))
    return lines


def _differ(letters: str, choices: Sequence[int]) -> int:
    return sum(a != LETTERS[b] for a, b in zip(letters, choices, strict=True))


def check_network(arrays: Named, entry: Named) -> list[Line]:
    """Outputs, loss, gradients and running statistics of a derived network."""
    network = load_network(arrays, entry)
    count = sum(parameter.numel() for parameter in network.parameters())
    lines = [Line("parameters", abs(count - entry["n_params"]), 0)]
    with torch.no_grad():
        output = network.eval()(tensor(arrays, "input"))
    lines.append(Line("eval_output", deviation(output, arrays["eval_output"]), EXACT))
    output = network.train()(tensor(arrays, "input"))
    lines.append(Line("train_output", deviation(output, arrays["train_output"]), EXACT))
    loss = (output - tensor(arrays, "target")).square().mean()
    lines.append(Line("loss", deviation(loss, arrays["loss"]), EXACT))
    loss.backward()
    return lines + _of_weights(network, arrays, "")


def check_alpha_draws(arrays: Named, entry: Named) -> list[Line]:
    """Choices, losses and sizes of each draw of alpha, at the authors' size."""
    space, lines = section(entry), []
    for draw in entry["draws"]:
        number = f"{draw['draw']:02d}"
        network = Supernet(1, space, torch.Generator())
        network.alpha = nn.Parameter(tensor(arrays, f"alpha_{number}").double())
        relaxed = RelaxedColumns(network, space)
        genotype = relaxed.decode(network.state_dict())
        lines.append(Line(f"draw {number}: columns that differ", _differ(genotype.letters, draw["choices"]), 0))
        for key, channels in (("n_params_denoise", 1), ("n_params_derain", 3)):
            with torch.device("meta"):
                built = SPACE.build(genotype, SPACE.candidate_sizes(space), channels)
            count = sum(parameter.numel() for parameter in built.parameters())
            lines.append(Line(f"draw {number}: {key}", abs(count - draw[key]), 0))
        names = [f"{name}_{number}" for name in ("arch_loss", "comp_loss", "grad_arch", "grad_comp")]
        lines += _losses(relaxed, arrays, names)
    return lines


def _descent(network: nn.Module, weights: Sequence[Tensor], optimiser: torch.optim.Optimizer, clip: float) -> Descent:
    budget: Any = SimpleNamespace(clip_norm=clip, clip_usual=0.0, ssim_weight=0.0, batch=2)
    nothing: Any = None
    return Descent(
        network=network, weights=weights, optimiser=optimiser, patches=nothing, sigmas=0.0, budget=budget, steps=1, parts=1,
        generator=torch.Generator(), team=alone(torch.device("cpu")), section="search",
    )  # fmt: skip


def check_search_steps(arrays: Named, entry: Named) -> list[Line]:
    """Steps of the search: alpha in evaluation mode on A, then the weights on W, the rate of each epoch."""
    of_darts = DartsSection(
        architecture_lr=entry["adam"]["lr"], architecture_weight_decay=entry["adam"]["weight_decay"],
        architecture_beta1=entry["adam"]["betas"][0], architecture_data="a",
        architecture_mode="eval", indecision=0.01, order=1, complexity=0.0,
        complexity_of="parameters", early_stop="none", patience=1, keep_from=0, beta_decay=0.0,
        optimiser="sgd", lr_max=0.001,
    )  # fmt: skip
    lines = []
    for variant in VARIANTS:
        relaxed, sgd = load_supernet(arrays, entry, variant), entry["sgd"]
        on_weights = torch.optim.SGD(
            relaxed.weights(), lr=sgd["lr"], momentum=sgd["momentum"], weight_decay=sgd["weight_decay"]
        )
        on_alpha = darts.architecture_optimiser(relaxed, of_darts)
        descent = _descent(relaxed.network, relaxed.weights(), on_weights, sgd["grad_clip"])
        losses, lrs, alphas, slopes, a = [], [], [], [], 0
        for epoch in entry["plan"]:
            lr = cosine(epoch["epoch_index"], entry["epochs"], sgd["lr"], sgd["lr_min"])
            on_weights.param_groups[0]["lr"] = lr
            for _ in range(epoch["steps"]):
                batch_w = _batch(arrays, "train", len(lrs))
                if epoch["alpha_steps"]:
                    batch_a = _batch(arrays, "valid", a)
                    loss, found = darts.architecture_gradients(relaxed, batch_a, batch_w, descent, of_darts, 0.0)
                    losses.append(loss.item())
                    slopes.append(found[0])
                    darts.loop.descend(on_alpha, relaxed.architecture(), found)
                    a += 1
                losses.append(descent.descend(batch_w, len(lrs)) + 0.01 * relaxed.indecision().item())
                lrs.append(lr)
                alphas.append(relaxed.alpha.detach().clone())
        lines += [
            Line(f"{variant}: rates", deviation(torch.tensor(lrs, dtype=torch.float64), np.array(entry["lrs"])), EXACT),
            Line(
                f"{variant}: losses",
                deviation(torch.tensor(losses, dtype=torch.float64), arrays[f"{variant}/losses"]), STEPS,
            ),
            Line(f"{variant}: alpha", deviation(torch.stack(alphas), arrays[f"{variant}/arch_param_after"]), STEPS),
            Line(
                f"{variant}: alpha's gradients",
                deviation(torch.stack([s for s in slopes if s is not None]), arrays[f"{variant}/grad_arch_param"]), STEPS,
            ),
            *_after(relaxed.network, arrays, f"{variant}/after/"),
        ]  # fmt: skip
    return lines


def _batch(arrays: Named, kind: str, number: int) -> Batch:
    return tensor(arrays, f"{kind}_input_{number}"), tensor(arrays, f"{kind}_target_{number}")


def _after(network: nn.Module, arrays: Named, prefix: str) -> list[Line]:
    content = network.state_dict()
    return [
        Line(name, deviation(content[rename(name.removeprefix(prefix), RULES)], arrays[name]), STEPS)
        for name in arrays
        if name.startswith(prefix)
    ]


def check_training_steps(arrays: Named, entry: Named) -> list[Line]:
    """Steps of the training of a derived network: Adam, clipping, the rate of each epoch."""
    network, adam = load_network(arrays, entry), entry["adam"]
    weights = list(network.parameters())
    optimiser = torch.optim.Adam(weights, lr=adam["lr"], weight_decay=adam["weight_decay"])
    descent = _descent(network.train(), weights, optimiser, entry["grad_clip"])
    losses, lrs = [], []
    for epoch, steps in enumerate(entry["steps_by_epoch"]):
        for _ in range(steps):
            lrs.append(cosine(epoch, entry["epochs"], adam["lr"], 0.0))
            optimiser.param_groups[0]["lr"] = lrs[-1]
            number = len(losses)
            batch = tensor(arrays, f"input_{number}"), tensor(arrays, f"target_{number}")
            losses.append(descent.descend(batch, number))
    return [
        Line("rates", deviation(torch.tensor(lrs, dtype=torch.float64), np.array(entry["lrs"])), EXACT),
        Line("losses", deviation(torch.tensor(losses, dtype=torch.float64), arrays["losses"]), STEPS),
        *_after(network, arrays, "after/"),
    ]


def check_evaluation(arrays: Named, entry: Named) -> list[Line]:
    """Noise, crop, self-ensemble and patches, and the scores, on one image of theirs with their noise."""
    network = load_network(arrays, entry).float().eval()
    clean = tensor(arrays, "clean").permute(2, 0, 1).float() / 255
    noise = tensor(arrays, "noise").permute(2, 0, 1).float()
    seen: list[Tensor] = []

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        seen.append(noisy)
        restored: Tensor = network(noisy)
        return restored

    def theirs(image: Tensor, name: str, sigma: float, seed: int, patch: int | None) -> Tensor:
        return image + sigma / 255 * noise

    with mock.patch.object(protocols, "add_keyed_noise", theirs):
        joined = protocols.restore(denoise, clean, "one", entry["sigma"], "clearer", 0)
        noisy = seen[0][0].permute(1, 2, 0) * 255
        ensemble, patches = (
            protocols.score(denoise, {"one": clean}, entry["sigma"], name, 0)[0]
            for name in ("clearer", "clearer-patches")
        )
    return [
        Line("noisy image, grey levels", deviation(noisy, arrays["noisy"]), 1e-4),
        Line("self-ensemble", deviation(joined[None], arrays["ensemble_output_clipped"]), 1e-5),
        Line("PSNR, dB", abs(ensemble.psnr_db - entry["psnr"]), 1e-4),
        Line("SSIM", abs(ensemble.ssim_zero_padded - entry["ssim"]), 1e-5),
        Line("PSNR of patches, dB", abs(patches.psnr_db - entry["patches_psnr"]), 1e-4),
        Line("SSIM of patches", abs(patches.ssim_zero_padded - float(arrays["patches_ssim"])), 1e-5),
    ]


CHECKS: dict[str, Callable[[Named, Named], list[Line]]] = {
    "supernet": check_supernet,
    "derived network": check_network,
    "alpha draws": check_alpha_draws,
    "search steps": check_search_steps,
    "training steps": check_training_steps,
    "evaluation": check_evaluation,
}
