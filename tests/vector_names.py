"""The HiNAS authors' networks as ours: which network a file of vectors holds, and our name for each of its tensors."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasir.spaces import hinas
from nasir.spaces.cells.cell import SuperCell
from nasir.spaces.cells.genotype import Cell, Edge, Genotype
from nasir.spaces.cells.operations import Style
from nasir.spaces.cells.widths import levels

MakeCell = Callable[[Sequence[str], int, int, Style], nn.Module]
Rules = Sequence[tuple[str, Callable[..., str]]]

EVAL = 1e-5
"""How far the evaluation of the right network may be from `eval_output`, both in float32."""

MASK = -50.0
"""What a forbidden direction has in their betas."""

KINDS = {"con": "conv", "sep": "sep", "dil": "dil"}


class Named(dict[str, Any]):
    """What stands in a file; a name that it lacks is an error that says so."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        super().__init__(content)
        self.where = where

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"{self.where} must have {name!r}, got {len(self)} names without it.")


@dataclass(frozen=True)
class Loaded:
    """A network of ours with the weights of a file."""

    network: nn.Module
    rules: Rules  # pattern of their names -> ours
    notes: tuple[str, ...]  # what was not in META and how it was found

    def parameter(self, name: str) -> nn.Parameter:
        """Our parameter for their name."""
        return self.network.get_parameter(rename(name, self.rules))


def rename(name: str, rules: Rules) -> str:
    """Our name of a tensor of theirs; the first rule whose pattern is the whole name gives it."""
    for pattern, make in rules:
        if found := re.fullmatch(pattern, name):
            return make(*found.groups())
    raise ValueError(f"unknown name {name!r}; no tensor of ours belongs to it.")


def inside_operation(rest: str) -> str:
    """Position inside one of our operations: theirs nests the halves of a separable convolution, ours is one sequence."""
    if found := re.fullmatch(r"sep_([01])\.([123])(\..+)", rest):
        return f"{4 * int(found[1]) + int(found[2])}{found[3]}"
    return rest


def supernet_rules(layers: int, widths: int) -> Rules:
    """Pattern of theirs -> ours, for a supernet."""
    cells = [(layer, level) for layer in range(layers) for level in levels(layer, widths)]
    routers = beta_rows(layers, widths)

    def router(row: str, direction: str, rest: str) -> str:
        layer, source = routers[int(row)]
        return f"from_last.{layer}.{source + int(direction) - 1}.{source}.{rest}"

    def operation(cell: str, edge: str, column: str, rest: str) -> str:
        layer, level = cells[int(cell)]
        return f"cells.{layer}.{level}.operations.{edge}.{column}.{inside_operation(rest)}"

    return [
        (r"stem1\.0\.(.+)", "stem.0.{}".format),
        (r"stem2\.(.+)", "stem_last.{}".format),
        (r"reduce1\.(.+)", "stem_before_last.{}".format),
        (r"upsamplers\.(\d+)\.(.+)", lambda level, rest: f"widen.{int(level) + 1}.{rest}"),
        (r"routers\.(\d+)\.postprocess([012])\.(.+)", router),
        (r"cells\.(\d+)\._ops\.(\d+)\._ops\.(\d+)\.op\.(.+)", operation),
        (r"decoder\.aspps\.(\d+)\.conv1\.(.+)", "heads.{}.pointwise.0.{}".format),
        (r"decoder\.aspps\.(\d+)\.atrous\.(.+)", "heads.{}.atrous.{}".format),
        (r"decoder\.aspps\.(\d+)\.conv_last\.(.+)", "heads.{}.join.0.{}".format),
        (r"decoder\.pre_cls\.(.+)", "join.0.{}".format),
        (r"decoder\.clf\.(.+)", "output.{}".format),
    ]


def beta_rows(layers: int, widths: int) -> list[tuple[int, int]]:
    """(layer, source level) of each row of their betas."""
    return [(layer, source) for layer in range(layers) for source in range(min(layer + 1, widths))]


def network_rules() -> Rules:
    """Pattern of theirs -> ours, for a derived network."""

    def scaler(number: str, rest: str) -> str:
        kind = ("from_last", "from_before_last")[int(number) % 2]
        return f"{kind}.{int(number) // 2}.{rest}"

    def operation(layer: str, entry: str, rest: str) -> str:
        return f"cells.{layer}.operations.{int(entry) // 2}.{int(entry) % 2}.{inside_operation(rest)}"

    return [
        (r"stem1\.(.+)", "stem.0.{}".format),
        (r"stem2\.(.+)", "stem_last.{}".format),
        (r"reduce\.(.+)", "reduce.{}".format),
        (r"scalers\.(\d+)\.conv\.(.+)", scaler),
        (r"cells\.(\d+)\._ops\.(\d+)\.op\.(.+)", operation),
        (r"decoder\.pre_conv\.conv1\.(.+)", "tail.pointwise.0.{}".format),
        (r"decoder\.pre_conv\.atrous\.(.+)", "tail.atrous.{}".format),
        (r"decoder\.pre_conv\.conv_last\.(.+)", "tail.join.0.{}".format),
        (r"decoder\.pre_conv\.(.+)", "tail.0.{}".format),
        (r"decoder\.proj\.(.+)", "project.0.{}".format),
        (r"decoder\.conv([01])\.(.+)", "decoder.{}.{}".format),
        (r"decoder\.clf\.(.+)", "output.{}".format),
    ]


def operation_name(theirs: str) -> str:
    """`con_c_3x3_leaky` is our `conv_3x3`; the ending names the activation."""
    if theirs in ("skip_connect", "none"):
        return theirs.removesuffix("_connect")
    found = re.fullmatch(r"(con|sep|dil)_c_(\dx\d)(_leaky|_relu)?", theirs)
    name = f"{KINDS[found[1]]}_{found[2]}" if found else theirs
    if name not in hinas.OPERATIONS:
        raise ValueError(f"unknown operation {theirs!r}; the space hinas has {list(hinas.OPERATIONS)}.")
    return name


def activation_name(theirs: Sequence[str]) -> str:
    """The activation that the operations' names end with."""
    return "leaky_relu" if any(name.endswith("_leaky") for name in theirs) else "relu"


def settings(config: Mapping[str, Any], activation: str) -> list[tuple[bool, str]]:
    """(residual, activation outside of cells), every pair that META leaves possible."""
    residual, outside = config.get("MODEL__USE_RES"), config.get("MODEL__ACTIVATION_F")
    residuals = [True, False] if residual is None else [bool(residual)]
    if outside is not None:
        return [(one, "leaky_relu" if "leaky" in outside.lower() else "relu") for one in residuals]
    return list(itertools.product(residuals, dict.fromkeys([activation, "leaky_relu"])))


def width_levels(betas: np.ndarray) -> tuple[int, int]:
    """(layers, widths) of their betas, which have a row for each source level and MASK where no step leads."""
    rows = len(betas)
    for layers, widths in itertools.product(range(1, rows + 1), range(1, rows + 2)):
        sources = beta_rows(layers, widths)
        if len(sources) == rows and widths <= layers + 1:
            narrow, wide = [s == 0 for _, s in sources], [s == widths - 1 for _, s in sources]
            if [*(betas[:, 0] == MASK)] == narrow and [*(betas[:, 2] == MASK)] == wide:
                return layers, widths
    raise ValueError(
        f"betas of shape {betas.shape} with {MASK:g} in {int((betas == MASK).sum())} places fit no number of layers and "
        "widths; columns 0 of level 0 and 2 of the widest level must be masked, and no others."
    )


def our_beta(betas: np.ndarray) -> Tensor:
    """Their betas as ours, shape (layers, widths, 3); 0 where no step leads or no cell is."""
    layers, widths = width_levels(betas)
    beta = torch.zeros(layers, widths, 3)
    for row, (layer, source) in zip(torch.from_numpy(betas), beta_rows(layers, widths), strict=True):
        beta[layer, source] = torch.where(row == MASK, 0, row)
    return beta


def their_beta(beta: Tensor) -> Tensor:
    """The inverse of `our_beta`, shape (rows, 3), without the mask."""
    return torch.stack([beta[place] for place in beta_rows(*beta.shape[:2])])


def our_cells(cells: Sequence[Sequence[Sequence[Any]]]) -> tuple[Cell, ...]:
    """Their cells, lists of [operation, input] with two for each node, as ours."""
    return tuple(
        tuple(
            tuple(Edge(input=source, operation=operation_name(name)) for name, source in pair)
            for pair in zip(cell[::2], cell[1::2], strict=True)
        )
        for cell in cells
    )


def load_supernet(arrays: Named, entry: Named, make_cell: MakeCell = SuperCell) -> Loaded:
    """Our supernet with the weights of a file.

    Sizes come from the shapes and the betas; residual and the activation outside of cells from META, or, where it does not
    say, from what comes nearest to `eval_output`.

    Args:
        arrays: the file.
        entry: the file's part of META: `primitives`, `config`.
        make_cell: which twin.
    """
    primitives = entry["primitives"]
    if tuple(map(operation_name, primitives)) != hinas.OPERATIONS:
        raise ValueError(f"primitives must be those of hinas in this order, {hinas.OPERATIONS}, got {primitives}.")
    layers, widths = width_levels(arrays["sd/arch_betas"])
    if entry["config"].get("MODEL__NUM_LAYERS", layers) != layers:
        raise ValueError(f"META says {entry['config']['MODEL__NUM_LAYERS']} layers, the betas are for {layers}.")
    narrow, out = len(arrays["sd/reduce1.0.weight"]), len(arrays["sd/stem2.0.weight"])
    nodes = out // narrow
    ends = [arrays[f"sd/decoder.aspps.{level}.conv1.0.weight"] for level in levels(layers - 1, widths)]
    factors = [end.shape[1] // nodes for end in ends]  # with a width of 1 they are the channels
    factors += [factors[-1] + 1 + extra for extra in range(widths - len(ends))]  # levels that are never reached
    alphas = arrays["sd/arch_alphas"]
    stem_channels, channels = arrays["sd/stem1.0.0.weight"].shape[:2]
    activation = activation_name(primitives)

    def build(residual: bool, outside: str) -> hinas.Supernet:
        return hinas.Supernet(
            channels=channels,
            nodes=nodes,
            layers=layers,
            width=1,
            width_factors=factors,
            stem_channels=stem_channels,
            residual=residual,
            share_alpha=is_tied(alphas),
            beta_norm="outgoing",
            activation=outside,
            sigmoid=True,
            partial=1,
            generator=torch.Generator(),
            cell=lambda names, nodes, width, style: make_cell(
                names, nodes, width, dataclasses.replace(style, activation=activation)
            ),
        )

    rules = supernet_rules(layers, widths)
    unused = [f"upsamplers.{level}." for level in range(len(ends) - 1, widths)]
    state = state_of(arrays, rules, ("arch_", *unused))
    state["alpha"] = torch.from_numpy(alphas[0] if is_tied(alphas) and alphas.ndim == 3 else alphas)
    state["beta"] = our_beta(arrays["sd/arch_betas"])
    return nearest(arrays, rules, state, build, settings(entry["config"], activation))


def is_tied(alphas: np.ndarray) -> bool:
    """Whether their alphas are one table for all layers."""
    return alphas.ndim == 2 or len(alphas) == 1


def load_network(arrays: Named, entry: Named) -> Loaded:
    """Our derived network with the weights of a file; see `load_supernet`.

    Args:
        arrays: the file.
        entry: the file's part of META: `cells`, `path`, `config`.
    """
    cells, path, config = our_cells(entry["cells"]), tuple(entry["path"]), entry["config"]
    activation = activation_name([name for cell in entry["cells"] for name, _ in cell])
    channels_of = {0: arrays["sd/decoder.proj.0.weight"].shape[1] // len(cells[0])}
    for layer, level in enumerate(path):
        channels = len(arrays[f"sd/scalers.{2 * layer}.conv.0.weight"])
        if channels_of.setdefault(level, channels) != channels:
            raise ValueError(
                f"META's path {list(path)} has level {level} in layer {layer}, which has {channels} channels in the file; "
                f"elsewhere the level has {channels_of[level]}."
            )
    factors: list[float] = []
    for level in range(max(channels_of) + 1):  # a level that the path leaves out is anywhere in between
        factors.append(channels_of.get(level, factors[-1] + 0.5 if factors else 0))
    stem_channels, channels = arrays["sd/stem1.0.weight"].shape[:2]
    branch = arrays.get("sd/decoder.pre_conv.conv1.0.weight")
    genotype = Genotype(
        space="hinas", cells=cells, path=path, width_factors=tuple(factors), residual=True, activation=activation
    )

    def make(residual: bool, activation: str) -> hinas.Network:
        return hinas.Network(
            dataclasses.replace(genotype, residual=residual, activation=activation),
            channels=channels,
            width=1,
            stem_channels=stem_channels,
            aspp_channels=0 if branch is None else len(branch),
            aspp_rates=config.get("MODEL__ASPP_RATES", (2, 4, 6)),
        )

    def build(residual: bool, outside: str) -> hinas.Network:
        network = make(residual, outside)
        network.cells = make(residual, activation).cells
        return network

    rules = network_rules()
    # their network has `reduce` even where an endpoint stands in its place
    state = state_of(arrays, rules, () if genotype.endpoint is None else ("reduce.",))
    return nearest(arrays, rules, state, build, settings(config, activation))


def state_of(arrays: Named, rules: Rules, without: tuple[str, ...]) -> dict[str, Tensor]:
    """The file's state dict under our names, less what begins with one of `without`."""
    names = [name.removeprefix("sd/") for name in arrays if name.startswith("sd/")]
    return {
        rename(name, rules): torch.from_numpy(arrays[f"sd/{name}"]) for name in names if not name.startswith(without)
    }


def nearest(
    arrays: Named,
    rules: Rules,
    state: Mapping[str, Tensor],
    build: Callable[[bool, str], nn.Module],
    choices: Sequence[tuple[bool, str]],
) -> Loaded:
    """The network, out of the choices that META leaves, whose evaluation is nearest to `eval_output`."""
    inputs, expected = torch.from_numpy(arrays["input"]), torch.from_numpy(arrays["eval_output"])
    found = []
    for residual, outside in choices:
        network = build(residual, outside)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the file's weights do not fit the network that META describes: {error}") from error
        with torch.no_grad():
            deviation = (network.eval()(inputs) - expected).abs().max().item()
        found.append((deviation, len(found), network))
        if deviation <= EVAL:
            break
    _, number, network = min(found)
    residual, outside = choices[number]
    notes = f"META leaves open, nearest to eval_output: residual {residual}, activation outside of cells {outside}"
    return Loaded(network, rules, (notes,) if len(choices) > 1 else ())
