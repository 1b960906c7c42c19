"""The space of contextual cells: the authors' codec, their parameter counts, sizes, tiles, and what is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nasir.inference.reach import radius
from nasir.inference.tiling import Tiled
from nasir.layers.cost import parameters
from nasir.spaces import contract
from nasir.spaces.contextual import drawing
from nasir.spaces.contextual.decoder import Decoder, at_largest, operation
from nasir.spaces.contextual.genotype import OPERATIONS, Genotype, Layer
from nasir.spaces.contextual.section import ContextualSection, ContextualSizes
from nasir.spaces.contract import random_tokens
from nasir.spaces.nekrasov import SPACE
from tests.decoder_vectors import genotype_of

CODEC = json.loads((Path(__file__).parents[2] / "data/vectors/rl_codec_a.json").read_text())
SECTION = ContextualSection(blocks=3, layers=3, width=4, taps=(2, 3, 4, 3), repeats=1, residual=True, norm="none")
SIZES = SPACE.candidate_sizes(SECTION)
RELEASED = {
    "arch0": [[8, [0, 0, 5, 2], [0, 2, 8, 8], [0, 5, 1, 4]], [[3, 3], [3, 2], [3, 0]]],
    "arch1": [[2, [1, 0, 3, 6], [0, 1, 2, 8], [2, 0, 6, 1]], [[2, 3], [3, 1], [4, 4]]],
    "arch2": [[5, [0, 0, 4, 1], [3, 2, 0, 1], [5, 6, 5, 0]], [[1, 3], [4, 3], [2, 2]]],
}


def draw(seed: int, **changes: Any) -> Genotype:
    section = dataclasses.replace(SECTION, **changes)
    return SPACE.from_tokens(section, random_tokens(SPACE, section, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("entry", CODEC, ids=[str(number) for number in range(len(CODEC))])
def test_the_authors_sequences_are_their_architectures(entry):
    sizes, counted = entry["sizes"], entry["decoder"]
    section = dataclasses.replace(
        SECTION, blocks=sizes["blocks"], layers=sizes["layers"] - 1, residual=False, norm="batch"
    )
    genotype = SPACE.from_tokens(section, entry["tokens"])
    (_, first), *layers = entry["decoded"][0]
    assert genotype == genotype_of([[first, *layers], entry["decoded"][1]])
    assert list(genotype.kept_blocks) == counted["blocks_collected"]
    assert list(genotype.kept_of_cell) == counted["cell_collected"]
    decoder = Decoder(
        genotype,
        counted["in_channels"],
        counted["channels"],
        counted["classes"],
        counted["sep_repeats"],
        reads_first=False,
    )
    assert parameters(decoder) == counted["parameters_without_aux"]


@pytest.mark.parametrize(
    ("name", "width", "repeats", "expected"),
    [("arch0", 48, 1, 399_717), ("arch1", 48, 1, 503_397), ("arch2", 48, 1, 594_405), ("arch0", 64, 2, 817_109)],
)
def test_the_released_decoders_have_as_many_parameters_as_theirs(name, width, repeats, expected):
    decoder = Decoder(genotype_of(RELEASED[name]), (24, 32, 96, 320), width, 21, repeats, reads_first=False)
    assert parameters(decoder) == expected


def test_tokens_are_in_the_order_of_the_authors_sampling():
    names = [token.name for token in SPACE.tokens(SECTION)]
    assert len(names) == 19
    assert names[:2] == ["block 0: input a", "block 0: input b"] and names[6] == "cell: first operation"
    assert [len(token.choices) for token in SPACE.tokens(SECTION)] == [4, 4, 5, 5, 6, 6, 11] + [
        count for places in (2, 5, 8) for count in (places, places, 11, 11)
    ]
    total = 1.0
    for token in SPACE.tokens(SECTION):
        total *= len(token.choices)
    assert total == pytest.approx(1.8e15, rel=0.01)
    assert all(
        SPACE.mask(SECTION, [0] * place) == (True,) * len(SPACE.tokens(SECTION)[place].choices) for place in range(19)
    )


@pytest.mark.parametrize("size", [(16, 20), (17, 23), (3, 5), (1, 1)])
def test_images_of_any_size_keep_it_and_are_left_as_they_are_at_first(size):
    x = torch.rand(2, 3, *size)
    for seed in range(3):
        assert torch.equal(SPACE.build(draw(seed), SIZES, 3)(x), x)  # says nothing to subtract yet
        plain = SPACE.build(draw(seed, residual=False), SIZES, 3)(x)
        assert plain.shape == x.shape and not torch.equal(plain, x)


def test_every_operation_keeps_channels_and_size_and_none_gives_zeros():
    x = torch.rand(2, 4, 9, 7)
    for name in OPERATIONS:
        y = operation(name, 4, 2, "batch")(x)
        assert y.shape == x.shape
        assert bool(y.any()) == (name != "none")
    pooled = operation("pool", 4, 1, "none")(x)
    assert torch.equal(pooled, pooled[..., :1, :1].expand_as(x))
    assert torch.equal(operation("skip", 4, 1, "batch")(x), x)


def test_features_come_to_the_size_of_the_largest():
    small, large = torch.rand(1, 2, 3, 4), torch.rand(1, 2, 6, 8)
    found = at_largest([small, large])
    expected = torch.nn.functional.interpolate(small, size=(6, 8), mode="bilinear", align_corners=False)
    assert torch.equal(found[0], expected) and found[1] is large


def test_a_network_in_tiles_is_the_whole_and_one_that_pools_cannot_be_tiled():
    layers = (Layer(inputs=(0, 1), operations=("conv_3x3", "sep_3x3")),)
    genotype = Genotype(
        space="nekrasov", first="conv_3x3", layers=layers, blocks=((0, 2), (1, 3)), residual=True, norm="none"
    )
    torch.manual_seed(0)
    network = SPACE.build(genotype, SIZES, 1).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.rand(1, 1, 150, 131)
    with torch.inference_mode():
        whole, tiled = network(x), Tiled(network, 1, 112)(x)
    assert torch.allclose(whole, tiled, atol=1e-4)
    assert not torch.allclose(whole, x, atol=1e-2)
    pooling = SPACE.build(dataclasses.replace(genotype, first="pool"), SIZES, 1)
    with pytest.raises(ValueError, match="reach must be bounded"):
        radius(pooling, 1)


def test_json_gives_the_same_genotype():
    for seed in range(5):
        genotype = draw(seed)
        assert SPACE.from_json(json.loads(json.dumps(SPACE.to_json(genotype)))) == genotype
        assert contract.of_json(SPACE.to_json(genotype)) is SPACE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "reads version 1"),
        ({"first": "conv_7x7"}, "an operation must be one of"),
        ({"layers": 3}, "layers must be a list of Layer, got 3"),
        (
            {"layers": [{"inputs": [0, 2], "operations": ["skip", "skip"]}]},
            r"layer 0 of the cell must read two of 2 features",
        ),
        (
            {"layers": [{"inputs": [0, 1, 1], "operations": ["skip", "skip"]}]},
            "layer 0 of the cell must read two of 2 features",
        ),
        ({"layers": [{"inputs": [0, 1], "operations": ["skip"]}]}, "must have two operations"),
        ({"layers": [{"inputs": [0, 1]}]}, r"layers\[0\] must have exactly the keys"),
        ({"first": ["skip"]}, "first must be a str"),
        ({"blocks": [[0, 1]] * 101}, "must have 1 to 100 blocks"),
        ({"layers": [{"inputs": [0, 1], "operations": ["skip", "skip"]}] * 101}, "at most 100 layers"),
        ({"blocks": []}, "must have 1 to 100 blocks and at most 100 layers in its cell, got 0 and 3"),
        ({"blocks": [[0, 4]]}, r"block 0 must read two of 4 features, got \[0, 4\]"),
        ({"blocks": [[0, True]]}, r"blocks\[0\]\[1\] must be a int, got True"),
        ({"blocks": ["ab"]}, r"blocks\[0\] must be a list of int, got 'ab'"),
        ({"norm": "layer"}, r"norm must be one of \['batch', 'none'\]"),
        ({"more": 1}, "a genotype must have exactly the keys"),
    ],
)
def test_json_of_no_genotype_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SPACE.from_json(SPACE.to_json(draw(0)) | change)


@pytest.mark.parametrize("tokens", [[0] * 18, [4] + [0] * 18, [-1] + [0] * 18])
def test_tokens_of_no_genotype_are_refused(tokens):
    with pytest.raises(ValueError, match=r"has 19 tokens, got 18|block 0: input a may be one of \[0, 1, 2, 3\], got"):
        SPACE.from_tokens(SECTION, tokens)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("blocks", 0, r"space\.blocks must be 1 or more"),
        ("layers", -1, r"space\.layers must be 0 or more"),
        ("width", 0, r"space\.width must be 1 or more"),
        ("taps", (1, 2, 3), r"space\.taps must be 4 numbers, 1 or more"),
        ("norm", "group", r"space\.norm must be one of"),
    ],
)
def test_sizes_that_no_network_can_have_are_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SECTION, **{key: value})
    with pytest.raises(ValueError, match=r"network\.repeats must be 1 or more"):
        ContextualSizes(width=4, taps=(1, 1, 1, 1), repeats=0)


def test_what_is_said_and_drawn_of_a_genotype(tmp_path):
    genotype = genotype_of(RELEASED["arch1"])
    said = SPACE.describe(genotype, SIZES)
    assert "block 2 of block 0 and block 0" in said and "7 operations" in said and "no global residual" in said
    assert SPACE.operations_of(genotype)[0] == "sep_3x3"
    idle = dataclasses.replace(genotype, first="skip", layers=(Layer(inputs=(0, 0), operations=("none", "pool")),))
    assert SPACE.idle_share(idle) == pytest.approx(2 / 3)
    for name in ("one", "two"):
        drawing.draw(genotype, dataclasses.asdict(SECTION), tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    svg = (tmp_path / "one.svg").read_text()
    assert svg == (tmp_path / "two.svg").read_text()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    for text in ("block 2", "sep_5x5", "conv_3x3_rate_12", "gives d + g + j", "decoder of 4 channels"):
        assert text in svg


def test_a_search_that_needs_a_supernet_refuses_the_space():
    from nasir.search import darts, one_shot

    problem: Any = type("Problem", (), {"space": SPACE, "of_space": SECTION})
    for strategy, needs in ((darts.STRATEGY, "a supernet"), (one_shot.STRATEGY, "shared weights")):
        with pytest.raises(ValueError, match=f"needs a space with {needs}, got nekrasov"):
            strategy.search(problem)


def test_in_words_the_drawing_says_the_same_choices():
    genotype = Genotype(
        space="nekrasov", first="conv_3x3", layers=(Layer(inputs=(0, 1), operations=("skip", "pool")),) * 2,
        blocks=((0, 3), (4, 1)), residual=True, norm="none",
    )  # fmt: skip
    sizes = ContextualSizes(width=6, taps=(2, 3, 4, 5), repeats=2)

    said = drawing.outline(genotype, sizes)

    assert said["tap 3"] == "5 channels (full, wide)"
    assert said["block 1"] == "cell(block 0) + cell(tap 1); 6 channels"
    assert said["head"] == "concat(tap 0, block 1)"
    cell = {key.removeprefix("cell, "): text for key, text in said.items() if key.startswith("cell")}
    assert cell == {
        "a": "conv_3x3(x)", "b": "skip(x)", "c": "pool(a)", "d": "b + c", "e": "skip(x)", "f": "pool(a)", "g": "e + f",
        "cell gives": "d + g",
    }  # fmt: skip
