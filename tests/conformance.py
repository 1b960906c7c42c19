"""Are our networks' numbers those of another program? Checks vectors of the HiNAS authors' code, or any in the same form.

    python -m tests.conformance FILE.npz META.json [--twin plain|fast]

FILE holds a supernet, a derived network, genotype draws or path draws; its names say which (`tests/data/vectors/README.txt`).
Every quantity is printed with its largest deviation and its tolerance; the exit status is 1 if one is beyond it.

What limits the agreement is the file, which was computed in float32:

- Outputs: 1e-5 (1e-6 in float64 with running statistics): convolutions and normalisations one after the other.
- Loss: SSIM takes variances as differences of nearly equal products. Rounded to float32 before C2 = 9e-4 is added, they
  shift its mean by up to 1e-6, and its gradient by 1e-5 of the largest entry. Ours is computed differently.
- Gradients: relative to the largest entry of each. ReLU and leaky ReLU have a kink at 0: where rounding decides on which side
  a value lies, two right programs differ by the jump of the slope. Values within KINK of 0 are given both slopes in turn, in
  float64; twice what that moves a gradient by is added to its tolerance, since jumps may cancel each other. Without such
  values nothing is added.
"""

import argparse
import copy
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasir.evaluation.metrics import ssim_zero_padded
from nasir.files import read_json
from nasir.spaces import hinas
from nasir.spaces.cells.cell import SuperCell
from nasir.spaces.cells.decode import decode, step_evidence, viterbi
from nasir.spaces.cells.fast.cell import FastCell
from nasir.spaces.cells.genotype import Cell
from nasir.spaces.cells.operations import SLOPE
from nasir.training.losses import log_ssim, restoration_loss
from tests import clearer_vectors, rl_vectors
from tests.vector_names import (
    EVAL,
    Loaded,
    MakeCell,
    Named,
    is_tied,
    load_network,
    load_supernet,
    operation_name,
    our_beta,
    our_cells,
    rename,
    their_beta,
)
from tests.vector_report import Line, Report, deviation, find_entry, only

EVAL_TOLERANCE = {torch.float32: EVAL, torch.float64: 1e-6}
TRAIN = 1e-5
LOSS = 5e-6
GRADIENT = 5e-5
STATISTICS = 1e-6
KINK = 4e-6
"""How far rounding moves a value in front of an activation, at most; the values are of the order of 1."""


def check(file: Path, meta: Path, make_cell: MakeCell = SuperCell) -> Report:
    """Check one file.

    Args:
        file: the vectors, `.npz`.
        meta: the JSON file that describes them.
        make_cell: which twin's cells a supernet is made of.

    Raises:
        ValueError: for a file that is missing, is something else, or does not fit its META.
    """
    try:
        with np.load(file) as archive:
            arrays = Named({name: archive[name] for name in archive.files}, str(file))
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} must be an .npz file of plain arrays, got {error}.") from error
    content = read_json(meta)
    for of in (clearer_vectors, rl_vectors):
        if of.is_described(content):
            return of.check(arrays, find_entry(only(content, list, meta), file.stem, meta))
    if all(re.fullmatch(r"(alphas|betas)_\d+", name) for name in arrays):
        return Report("genotype draws", (), check_genotype_draws(arrays, Named(only(content, dict, meta), str(meta))))
    if all(re.fullmatch(r"betas_L\d+_\d+", name) for name in arrays):
        return Report("path draws", (), check_path_draws(arrays, only(content, list, meta), meta))
    is_supernet = "sd/arch_alphas" in arrays
    if not is_supernet and "sd/stem1.0.weight" not in arrays:
        raise ValueError(
            f"{file} must hold a supernet, a derived network, genotype draws (alphas_00, betas_00, ...) or path draws "
            f"(betas_L3_0, ...), got the names {list(arrays)[:4]}."
        )
    entry = find_entry(only(content, list, meta), file.stem, meta)
    if is_supernet:
        loaded = plain = load_supernet(arrays, entry)
        if make_cell is not SuperCell:
            loaded = load_supernet(arrays, entry, make_cell)
        lines = check_supernet_facts(arrays, entry, plain.network)
        weights = entry.get("loss_weights", (1.0, 0.5))
    else:
        loaded = plain = load_network(arrays, entry)
        lines = check_network_facts(entry, plain.network)
        weights = entry.get("loss_weights", (1.0, 0.6))
    lines += check_numbers(loaded, plain, arrays, weights)
    return Report("supernet" if is_supernet else "derived network", loaded.notes, lines)


# --- exact facts ---


def check_supernet_facts(arrays: Named, entry: Named, network: nn.Module) -> list[Line]:
    """Counts, and the genotype that the file's alphas and betas derive to, where META has them."""
    lines = []
    if "n_weight_params" in entry:
        count = sum(weight.numel() for weight in network.weights())  # type: ignore[operator]
        lines.append(Line("parameters of the weights", abs(count - entry["n_weight_params"]), 0))
    if "genotype_cells" in entry:
        lines += compare_genotype("genotype", arrays["sd/arch_alphas"], arrays["sd/arch_betas"], entry["primitives"])(
            our_cells(entry["genotype_cells"]), tuple(entry["genotype_path"])
        )
    return lines


def check_network_facts(entry: Named, network: nn.Module) -> list[Line]:
    """Parameters; theirs has further ones that no output depends on."""
    if "n_params" not in entry:
        return []
    count = sum(parameter.numel() for parameter in network.parameters())
    return [Line("parameters", abs(count - entry["n_params"] + entry.get("n_params_without_grad", 0)), 0)]


def compare_genotype(
    name: str, alphas: np.ndarray, betas: np.ndarray, primitives: Sequence[str]
) -> Callable[[tuple[Cell, ...], tuple[int, ...]], list[Line]]:
    """Derive; gives what counts the differing edges and layers to expected cells and path."""
    if tuple(map(operation_name, primitives)) != hinas.OPERATIONS:
        raise ValueError(f"primitives must be those of hinas in this order, {hinas.OPERATIONS}, got {primitives}.")
    beta = our_beta(betas)
    nodes = round((9 / 4 + 2 * alphas.shape[-2]) ** 0.5 - 3 / 2)  # edges = nodes (nodes + 3) / 2
    found = decode(
        torch.from_numpy(alphas[0] if is_tied(alphas) and alphas.ndim == 3 else alphas),
        beta,
        space="hinas",
        nodes=nodes,
        width_factors=range(1, beta.shape[1] + 1),
        residual=True,
        activation="relu",
        beta_norm="outgoing",
        inputs=2,
    )

    def compare(cells: tuple[Cell, ...], path: tuple[int, ...]) -> list[Line]:
        ours = [edge for layer in range(len(cells)) for kept in found.cell_of(layer) for edge in kept]
        theirs = [edge for cell in cells for kept in cell for edge in kept]
        return [
            Line(f"{name}: kept edges that differ, of {len(theirs)}", differences(ours, theirs), 0),
            Line(f"{name}: layers of the path that differ, of {len(path)}", differences(found.path, path), 0),
        ]

    return compare


def differences(ours: Sequence[object], theirs: Sequence[object]) -> int:
    """How many places differ; a place that one of them lacks does."""
    return sum(a != b for a, b in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))


def check_genotype_draws(arrays: Named, meta: Named) -> list[Line]:
    """Every draw of alphas and betas derives to the cells and the path of META."""
    described = {f"{draw['draw']:02d}": draw for draw in meta["draws"]}
    lines = []
    for number in [name.removeprefix("alphas_") for name in arrays if name.startswith("alphas_")]:
        if number not in described:
            raise ValueError(f"{meta.where} must have an entry for draw {number}, got {list(described)}.")
        compare = compare_genotype(
            f"draw {number}", arrays[f"alphas_{number}"], arrays[f"betas_{number}"], meta["primitives"]
        )
        lines += compare(our_cells(described[number]["cells"]), tuple(described[number]["path"]))
    return lines


def check_path_draws(arrays: Named, content: Sequence[Any], meta: Path) -> list[Line]:
    """Every draw of betas has the path of META."""
    described = {entry.get("key"): entry for entry in content}
    lines = []
    for name, betas in arrays.items():
        if name not in described:
            raise ValueError(f"{meta} must have an entry with the key {name!r}, got {list(described)}.")
        path = viterbi(step_evidence(our_beta(betas).double(), "outgoing"))
        expected = described[name]["path"]
        lines.append(Line(f"{name}: layers that differ, of {len(expected)}", differences(path, expected), 0))
    return lines


# --- numbers ---


def check_numbers(loaded: Loaded, plain: Loaded, arrays: Named, weights: Sequence[float]) -> list[Line]:
    """Outputs, loss, running statistics and gradients, in float32 and from the same weights in float64.

    Args:
        loaded: what is checked.
        plain: the same network out of modules, in which activations can be watched.
        arrays: the file.
        weights: of the loss, (w0 * mse + w1 * log_ssim) / 2.
    """
    spans = kink_spans(plain, arrays, weights)
    lines = []
    for dtype in (torch.float32, torch.float64):
        network, kind = copy.deepcopy(loaded.network).to(dtype), str(dtype).removeprefix("torch.")
        with torch.no_grad():
            output = network.eval()(torch.from_numpy(arrays["input"]).to(dtype))
        lines.append(Line(f"{kind} eval_output", deviation(output, arrays["eval_output"]), EVAL_TOLERANCE[dtype]))
        output, loss, terms = train_once(network, arrays, weights)
        lines.append(Line(f"{kind} train_output", deviation(output, arrays["train_output"]), TRAIN))
        lines.append(Line(f"{kind} loss", deviation(loss, arrays["loss"]), LOSS))
        lines.append(Line(f"{kind} loss_terms", deviation(terms, arrays["loss_terms_unweighted"]), LOSS))
        for name, expected in arrays.items():
            if name.startswith("post_train/"):
                buffer = network.get_buffer(rename(name.removeprefix("post_train/"), loaded.rules))
                lines.append(Line(f"{kind} {name}", deviation(buffer, expected), STATISTICS))
        for name, gradient in gradients(network, loaded, arrays).items():
            largest = np.abs(arrays[name]).max().item() or 1.0
            relative = deviation(gradient, arrays[name]) / largest
            lines.append(Line(f"{kind} {name}", relative, GRADIENT + 2 * spans[name] / largest))
    return lines


def train_once(network: nn.Module, arrays: Named, weights: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """One forward and backward pass in training: output, loss and its terms."""
    dtype = next(network.parameters()).dtype
    inputs, target = (torch.from_numpy(arrays[name]).to(dtype) for name in ("input", "target"))
    output = network.train()(inputs)
    loss = weights[0] / 2 * restoration_loss(output, target, weights[1] / weights[0])
    network.zero_grad()
    loss.backward()
    terms = torch.stack([(output - target).square().mean(), log_ssim(ssim_zero_padded(output, target).mean())])
    return output, loss, terms


def gradients(network: nn.Module, loaded: Loaded, arrays: Named) -> dict[str, Tensor]:
    """The gradients that the file has, under its names and in its shapes, after `train_once`."""
    found = {}
    for name, expected in arrays.items():
        if name == "grad_arch_alphas":
            found[name] = _gradient(network, "alpha").reshape(expected.shape)
        elif name == "grad_arch_betas":
            found[name] = their_beta(_gradient(network, "beta"))
        elif name.startswith("grad/"):
            found[name] = _gradient(network, rename(name.removeprefix("grad/"), loaded.rules))
    return found


def _gradient(network: nn.Module, name: str) -> Tensor:
    parameter = network.get_parameter(name)
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def kink_spans(plain: Loaded, arrays: Named, weights: Sequence[float]) -> dict[str, float]:
    """How far each gradient moves, at most, when activations near 0 take either slope (float64)."""
    sides = []
    for is_positive in (True, False):
        network = copy.deepcopy(plain.network).double()
        with one_sided(network, is_positive):
            train_once(network, arrays, weights)
        sides.append(gradients(network, plain, arrays))
    return {name: (value - sides[1][name]).abs().max().item() for name, value in sides[0].items()}


@contextmanager
def one_sided(network: nn.Module, is_positive: bool) -> Iterator[None]:
    """Meanwhile values within KINK of 0 have the slope of the positive or of the negative side in every activation."""

    def replace(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        slope = 1.0 if is_positive else SLOPE if isinstance(module, nn.LeakyReLU) else 0.0
        return torch.where(inputs[0].abs() < KINK, slope * inputs[0], output)

    activations = [module for module in network.modules() if isinstance(module, nn.ReLU | nn.LeakyReLU)]
    hooks = [module.register_forward_hook(replace) for module in activations]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE.npz")
    parser.add_argument("meta", type=Path, metavar="META.json")
    parser.add_argument("--twin", choices=sorted(TWINS), default="plain", help="of a supernet's cells")
    given = parser.parse_args(arguments)
    try:
        report = check(given.file, given.meta, TWINS[given.twin])
    except ValueError as error:
        print(f"error in {given.file}: {error}", file=sys.stderr)
        return 1
    print(f"{given.file}: {report.kind}")
    for text in [*report.notes, *report.lines]:
        print(text)
    missed = sum(not line.is_met for line in report.lines)
    print(f"{len(report.lines) - missed} of {len(report.lines)} within tolerance")
    return 1 if missed or not report.lines else 0


TWINS: dict[str, MakeCell] = {"plain": SuperCell, "fast": partial(FastCell, recompute="none")}

if __name__ == "__main__":
    sys.exit(main())
