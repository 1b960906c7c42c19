"""The genotype of a decoder: which features its blocks read, and the one cell that all of them have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nasir.config import reading
from nasir.messages import shown

VERSION = 1

TAPS = 4
"""Features of the encoder."""

OPERATIONS = (
    "conv_1x1", "conv_3x3", "sep_3x3", "sep_5x5", "pool", "conv_3x3_rate_3", "conv_3x3_rate_12", "sep_3x3_rate_3",
    "sep_5x5_rate_6", "skip", "none",
)  # fmt: skip
"""In the order of the authors' code. `pool` is the mean over the image, a 1x1 convolution of it at every pixel."""

NORMS = ("batch", "none")

MOST_BLOCKS = 100

MOST_LAYERS = 100


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One sum of a cell: two operations, each on one of the features that there are, and the operations' names."""

    inputs: tuple[int, int]
    operations: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """A derived architecture (Nekrasov et al., CVPR 2019, section 3.1).

    Features of a cell are counted as 0: its input, 1: the first operation's output, and of layer l = 0, 1, ... both operations'
    outputs and their sum, 2 + 3 l, 3 + 3 l, 4 + 3 l. Those of the decoder: the taps, then the blocks' outputs.
    """

    space: str
    first: str  # the operation on the cell's input
    layers: tuple[Layer, ...]
    blocks: tuple[tuple[int, int], ...]  # the features that each block reads
    residual: bool
    norm: str

    def __post_init__(self) -> None:
        if any(len(layer.operations) != 2 for layer in self.layers):
            raise ValueError("a layer of the cell must have two operations, got another number.")
        names = [self.first, *(name for layer in self.layers for name in layer.operations)]
        if unknown := sorted(set(names) - set(OPERATIONS)):
            raise ValueError(f"an operation must be one of {list(OPERATIONS)}, got {shown(unknown[0])}.")
        for number, layer in enumerate(self.layers):
            _require_inputs(f"layer {number} of the cell", layer.inputs, 2 + 3 * number)
        if not 1 <= len(self.blocks) <= MOST_BLOCKS or len(self.layers) > MOST_LAYERS:
            raise ValueError(
                f"a genotype must have 1 to {MOST_BLOCKS} blocks and at most {MOST_LAYERS} layers in its cell, got "
                f"{len(self.blocks)} and {len(self.layers)}."
            )
        for number, inputs in enumerate(self.blocks):
            _require_inputs(f"block {number}", inputs, TAPS + number)
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {list(NORMS)}, got {shown(self.norm)}.")

    @property
    def kept_of_cell(self) -> tuple[int, ...]:
        """The features whose sum is a cell's output: the first operation's and the sums, if no later layer reads them."""
        read = {index for layer in self.layers for index in layer.inputs}
        return tuple(index for index in range(1, 2 + 3 * len(self.layers), 3) if index not in read)

    @property
    def kept_blocks(self) -> tuple[int, ...]:
        """The features that are joined in the end: the blocks' that no later block reads."""
        read = {index for inputs in self.blocks for index in inputs}
        return tuple(index for index in range(TAPS, TAPS + len(self.blocks)) if index not in read)


def _require_inputs(what: str, inputs: Sequence[Any], features: int) -> None:
    if len(inputs) != 2 or any(type(index) is not int or not 0 <= index < features for index in inputs):
        raise ValueError(f"{what} must read two of {features} features, got {shown(list(inputs))}.")


def to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as a JSON object, with the schema's version."""
    return {
        "version": VERSION,
        "space": genotype.space,
        "first": genotype.first,
        "layers": [{"inputs": list(layer.inputs), "operations": list(layer.operations)} for layer in genotype.layers],
        "blocks": [list(inputs) for inputs in genotype.blocks],
        "residual": genotype.residual,
        "norm": genotype.norm,
    }


def from_json(value: Any) -> Genotype:
    """The inverse of `to_json`; another version, missing or unknown keys and values of another type are refused and named."""
    expected = {"version", "space", "first", "layers", "blocks", "residual", "norm"}
    if not isinstance(value, dict) or set(value) != expected:
        got = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"a genotype must have exactly the keys {sorted(expected)}, got {shown(got)}.")
    if value["version"] != VERSION:
        raise ValueError(
            f"this nasir reads version {VERSION} of such genotypes, got {shown(value['version'])}; derive it again."
        )
    return reading.build({key: part for key, part in value.items() if key != "version"}, Genotype, "genotype")
