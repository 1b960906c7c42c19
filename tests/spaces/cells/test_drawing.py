import dataclasses
import itertools
import random
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from nasir.canvas import plain_style
from nasir.spaces import contract
from nasir.spaces.cells.drawing import COLOURS, compose, draw, outline
from nasir.spaces.cells.genotype import Edge, Genotype, operations_of
from nasir.spaces.cells.section import CellsSizes
from nasir.spaces.cells.space import CellSpace


def make_genotype(nodes: int, layers: int, inputs: int, seed: int, space: str = "irnas", cells: int = 1) -> Genotype:
    """A legal genotype drawn at random."""
    choice = random.Random(seed)
    operations = [name for name in operations_of(space) if name != "none"]
    drawn = tuple(
        tuple(
            tuple(
                Edge(input=source, operation=choice.choice(operations))
                for source in choice.sample(range(node + 2), min(inputs, node + 2))
            )
            for node in range(nodes)
        )
        for _ in range(cells)
    )
    path, level = [], 0
    for _ in range(layers):
        level = min(2, max(0, level + choice.choice([-1, 0, 1])))
        path.append(level)
    return Genotype(
        space=space,
        cells=drawn,
        path=tuple(path),
        width_factors=(1, 2, 4),
        residual=choice.random() < 0.5,
        activation="relu",
    )


def compose_plain(genotype: Genotype, width: int) -> Figure:
    with plain_style():
        figure = compose(genotype, width)
        FigureCanvasAgg(figure).draw()
    return figure


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.axes[0].texts if text.get_text()]


@pytest.mark.parametrize("space", ["irnas", "hinas"])
@pytest.mark.parametrize(
    ("nodes", "layers", "inputs", "cells"),
    [(1, 1, 1, 1), (2, 2, 2, 1), (3, 3, 1, 3), (5, 4, 2, 1), (5, 4, 3, 4), (8, 6, 2, 1)],
)
def test_no_text_covers_another_or_leaves_the_figure(nodes, layers, inputs, cells, space):
    figure = compose_plain(make_genotype(nodes, layers, inputs, nodes, space, cells), width=10)

    boxes = [text.get_window_extent() for text in texts(figure)]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


def test_every_edge_is_labelled_with_its_operation():
    genotype = make_genotype(nodes=5, layers=4, inputs=2, seed=3)

    shown = sorted(text.get_text() for text in texts(compose_plain(genotype, width=10)) if text.get_text() in COLOURS)
    assert shown == sorted(edge.operation for edges in genotype.cells[0] for edge in edges)
    assert len(shown) == 10


def test_every_layer_with_a_cell_of_its_own_is_drawn():
    genotype = make_genotype(nodes=2, layers=3, inputs=2, seed=1, space="hinas", cells=3)
    shown = [text.get_text() for text in texts(compose_plain(genotype, width=10))]

    assert [text for text in shown if text.startswith("Cell")] == [f"Cell of layer {layer}" for layer in (1, 2, 3)]
    edges = [edge.operation for cell in genotype.cells for kept in cell for edge in kept]
    assert sorted(text for text in shown if text in COLOURS) == sorted(edges)
    assert "decoder" in shown and "ASPP" not in shown


def test_boxes_say_width_times_factor_of_every_reachable_cell():
    genotype = Genotype(
        space="irnas",
        cells=(((Edge(input=0, operation="skip"),),),),
        path=(1, 2, 1),
        width_factors=(1, 1.5, 4),
        residual=False,
        activation="relu",
    )

    shown = [text for text in texts(compose_plain(genotype, width=12)) if text.get_text() in ("12", "18", "48")]
    # The stem has level 0, so layer 1 reaches 12 and 18 only; layers 2 and 3 reach all three.
    assert sorted(text.get_text() for text in shown) == ["12"] * 3 + ["18"] * 3 + ["48"] * 2
    assert [text.get_text() for text in shown if text.get_weight() == "bold"] == ["18", "48", "18"]


def test_every_operation_of_every_space_has_a_colour_of_its_own():
    of_cells = [space for space in map(contract.find, contract.names()) if isinstance(space, CellSpace)]
    drawn = {name for space in of_cells for name in space.operations} - {"none"}

    assert drawn <= set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_the_same_genotype_gives_the_same_bytes(tmp_path: Path):
    genotype = make_genotype(nodes=5, layers=4, inputs=2, seed=0)

    draw(genotype, {"width": 10}, tmp_path / "a.svg", tmp_path / "a.png")
    draw(genotype, {"width": 10}, tmp_path / "b.svg", tmp_path / "b.png")

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"dc:date" not in (tmp_path / "a.svg").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.info == {}


def test_a_width_below_one_channel_is_refused(tmp_path: Path):
    genotype = make_genotype(nodes=2, layers=2, inputs=2, seed=0)

    with pytest.raises(ValueError, match="at least 1 channel, got 0"):
        draw(genotype, {"width": 0}, tmp_path / "a.svg", tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_in_words_it_says_the_same_choices():
    cell = (
        (Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="skip")),
        (Edge(input=2, operation="sep_3x3"),),
    )
    genotype = Genotype(
        space="irnas", cells=(cell,), path=(1, 0), width_factors=(1, 1.5), residual=True, activation="relu", downscale=2
    )
    sizes = CellsSizes(width=4, stem_channels=8, aspp_channels=0, aspp_rates=())
    assert outline(genotype, sizes) == {
        "blocks": "2x2 pixels as channels", "activation": "relu", "normalisation": "batch", "global residual": "yes",
        "output reads stem": "no", "width path": "6 -> 4 channels",
        "node 1": "conv_3x3(h_{l-2}) + skip(h_{l-1})", "node 2": "sep_3x3(node 1)", "h_l": "concat(node 1, node 2)",
    }  # fmt: skip
    own = dataclasses.replace(genotype, cells=(cell, cell))
    assert outline(own, sizes)["layer 2, node 2"] == "sep_3x3(node 1)"


@pytest.mark.parametrize(
    ("path", "reads_stem", "read"),
    [((0, 1), False, "layer 1"), ((1, 1), False, "the stem"), ((0, 0), False, "the stem"), ((0, 1), True, "the stem")],
)
def test_of_hinas_it_says_what_the_decoder_reads(path, reads_stem, read):
    cell = ((Edge(input=0, operation="conv_3x3"),),)
    genotype = Genotype(
        space="hinas",
        cells=(cell,),
        path=path,
        width_factors=(1, 2),
        residual=False,
        activation="relu",
        reads_stem=reads_stem,
    )
    sizes = CellsSizes(width=4, stem_channels=8, aspp_channels=0, aspp_rates=())
    assert outline(genotype, sizes)["decoder reads"] == f"{read} and the last cell"
    network = contract.find("hinas").build(genotype, sizes, 1)
    assert (network.endpoint is None) == (read == "the stem")
