"""The numbers of the authors of the RL search against our decoder: cells, blocks, head and auxiliary cells."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nasir.layers.cost import parameters
from nasir.spaces.contextual.decoder import AuxiliaryCell, Decoder
from nasir.spaces.contextual.genotype import OPERATIONS, Genotype, Layer
from tests.vector_names import Named, rename
from tests.vector_report import Line, deviation

FORWARD = 1e-11
SLOPES = 1e-10


def _operation(number: str, rest: str) -> str:
    """Their operations and sums share one list; the parts of an operation have names there."""
    place = int(number) - int(number) // 3
    rest = rest.replace("op.sep_", "").replace("conv1x1.", "conv.")
    return f"operations.{place}.{rest}"


RULES: Sequence[tuple[str, Callable[..., str]]] = (
    (r"adapt(\d)\.(.*)", lambda tap, rest: f"decoder.adapt.{int(tap) - 1}.{rest}"),
    (
        r"cells\.(\d)\.op_(\d)\._ops\.(\d+)\.(.*)",
        lambda block, side, *more: f"decoder.blocks.{block}.cells.{int(side) - 1}.{_operation(*more)}",
    ),
    (
        r"cells\.(\d)\.agg\.branch_(\d)\.(.*)",
        lambda block, side, rest: f"decoder.blocks.{block}.joins.{int(side) - 1}.{rest}",
    ),
    (
        r"aux_clfs\.(\d)\.aux_cell\._ops\.(\d+)\.(.*)",
        lambda block, *more: f"auxiliary.{block}.cell.{_operation(*more)}",
    ),
    (r"aux_clfs\.(\d)\.aux_clf\.(.*)", lambda block, rest: f"auxiliary.{block}.output.{rest}"),
    (r"pre_clf\.(.*)", lambda rest: f"decoder.reduce.{rest}"),
    (r"conv_clf\.(.*)", lambda rest: f"decoder.output.{rest}"),
)


class Both(nn.Module):
    """A decoder and its auxiliary cells, which stay at the size of their blocks."""

    def __init__(self, genotype: Genotype, entry: Named) -> None:
        super().__init__()
        width, classes, repeats = entry["channels"], entry["classes"], entry["sep_repeats"]
        self.decoder = Decoder(genotype, entry["in_channels"], width, classes, repeats, reads_first=False)
        self.auxiliary = nn.ModuleList(AuxiliaryCell(genotype, width, classes, repeats) for _ in genotype.blocks)
        if not entry["aux_cell"]:
            for cell in self.auxiliary:
                cell.cell = nn.Identity()

    def forward(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """The decoder's output, and that of each auxiliary cell."""
        seen: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda module, given, output: seen.append(output))
            for block in self.decoder.blocks
        ]
        result = self.decoder(taps)
        for hook in hooks:
            hook.remove()
        return [result, *(cell(features, features) for cell, features in zip(self.auxiliary, seen, strict=True))]


def genotype_of(given: Sequence[Sequence[object]]) -> Genotype:
    """Theirs as ours: the cell as [op_1, [pos_a, pos_b, op_a, op_b], ...], and the blocks."""
    (first, *layers), blocks = given  # type: ignore[misc]
    return Genotype(
        space="nekrasov", first=OPERATIONS[first], blocks=tuple(map(tuple, blocks)), residual=False, norm="batch",
        layers=tuple(
            Layer(inputs=(a, b), operations=(OPERATIONS[one], OPERATIONS[two])) for a, b, one, two in layers
        ),
    )  # fmt: skip


def check_decoder(arrays: Named, entry: Named) -> list[Line]:
    """Outputs with running and with batch statistics, gradients, the statistics after one pass, counts."""
    genotype = genotype_of(entry["genotype"])
    ours = Both(genotype, entry).double()
    ours.load_state_dict(_named(arrays, "sd/"))
    taps = [torch.from_numpy(arrays[f"input_{tap}"]).double() for tap in range(len(entry["in_channels"]))]
    names = ["output", *(f"aux_{block}" for block in range(len(genotype.blocks)))]
    probes = ["probe", *(f"probe_aux_{block}" for block in range(len(genotype.blocks)))]
    lines = [
        Line("parameters_without_aux", abs(parameters(ours.decoder) - entry["parameters_without_aux"]), 0),
        Line("parameters", abs(parameters(ours) - entry["parameters"]), 0),
        Line("blocks_collected", float(list(genotype.kept_blocks) != entry["blocks_collected"]), 0),
        Line("cell_collected", float(list(genotype.kept_of_cell) != entry["cell_collected"]), 0),
    ]
    for mode in ("eval", "train"):
        ours.train(mode == "train")
        outputs = ours(taps)
        lines += [
            Line(f"{mode}_{name}", deviation(output, arrays[f"{mode}_{name}"]), FORWARD)
            for name, output in zip(names, outputs, strict=True)
        ]
    loss = sum((torch.from_numpy(arrays[probe]) * output).sum() for probe, output in zip(probes, outputs, strict=True))
    assert isinstance(loss, Tensor)
    lines.append(Line("loss", abs(loss.item() / float(arrays["loss"]) - 1), FORWARD))
    found = dict(ours.named_parameters())
    expected = _named(arrays, "grad/")
    slopes = torch.autograd.grad(loss, [found[name] for name in expected], allow_unused=True)
    lines += [
        Line(f"grad/{name}", deviation(torch.zeros_like(value) if slope is None else slope, value.numpy()), SLOPES)
        for (name, value), slope in zip(expected.items(), slopes, strict=True)
    ]
    state = ours.state_dict()
    return lines + [
        Line(f"post_train/{name}", deviation(state[name], value.numpy()), FORWARD)
        for name, value in _named(arrays, "post_train/").items()
    ]


def _named(arrays: Named, prefix: str) -> dict[str, Tensor]:
    """What stands under a prefix, by our names."""
    return {
        rename(name.removeprefix(prefix), RULES): torch.from_numpy(np.asarray(value))
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
