"""The genotype is a plain, checked, versioned value."""

import dataclasses
from pathlib import Path

import pytest

from nasir.spaces.cells import genotype as genotypes
from nasir.spaces.cells.genotype import Edge, Genotype

GENOTYPE = Genotype(
    space="irnas",
    cells=(
        (
            (Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="skip")),
            (Edge(input=2, operation="def_3x3"), Edge(input=0, operation="sep_3x3")),
        ),
    ),
    path=(0, 1, 2),
    width_factors=(1.0, 2.0, 4.0),
    residual=False,
    activation="relu",
)
ONE_EACH = dataclasses.replace(
    GENOTYPE,
    space="hinas",
    cells=tuple(((Edge(input=layer % 2, operation="dil_5x5"),),) for layer in range(3)),
    activation="leaky_relu",
)


OF_BLOCKS = dataclasses.replace(GENOTYPE, downscale=2, norm="none", reads_stem=True)


@pytest.mark.parametrize("genotype", [GENOTYPE, ONE_EACH, OF_BLOCKS], ids=["shared", "one each", "of blocks"])
def test_a_genotype_survives_its_file(tmp_path, genotype):
    genotypes.save(genotype, tmp_path / "genotype.json")
    assert genotypes.load(tmp_path / "genotype.json") == genotype


def test_layers_share_the_one_cell_or_have_their_own():
    assert [GENOTYPE.cell_of(layer) for layer in range(3)] == [GENOTYPE.cells[0]] * 3
    assert [ONE_EACH.cell_of(layer) for layer in range(3)] == list(ONE_EACH.cells)
    assert [ONE_EACH.cell_of(layer)[0][0].input for layer in range(3)] == [0, 1, 0]
    assert (GENOTYPE.nodes, ONE_EACH.nodes) == (2, 1)


@pytest.mark.parametrize(
    ("path", "endpoint"), [((0, 1, 2), 0), ((0, 0, 1), 1), ((1, 2, 2), None), ((0, 1, 0), None), ((0,), None)]
)
def test_the_endpoint_is_the_last_narrow_layer_unless_it_ends_the_network(path, endpoint):
    assert dataclasses.replace(GENOTYPE, path=path).endpoint == endpoint


def test_a_file_of_version_1_is_read():
    found = genotypes.load(Path(__file__).parents[3] / "benchmarks/tables-small/genotype.json")
    assert (len(found.cells), found.layers, found.activation) == (1, 3, "relu")
    value = genotypes.to_json(GENOTYPE)
    old = {key: value[key] for key in ("space", "path", "width_factors", "residual")}
    assert genotypes.from_json(old | {"version": 1, "cell": value["cells"][0]}) == GENOTYPE


def test_a_genotype_of_version_2_is_read_with_what_every_one_had_then():
    value = genotypes.to_json(GENOTYPE)
    assert [value.pop(key) for key in ("version", "downscale", "norm", "reads_stem")] == [3, 1, "batch", False]
    assert genotypes.from_json(value | {"version": 2}) == GENOTYPE


def test_version_3_says_all_that_it_brought_and_version_2_nothing():
    value = genotypes.to_json(OF_BLOCKS)
    assert [value[key] for key in ("version", "downscale", "norm", "reads_stem")] == [3, 2, "none", True]
    with pytest.raises(ValueError, match="reads genotype versions 1 to 3, got 2"):
        genotypes.from_json(value | {"version": 2})
    del value["norm"]
    for version in (2, 3):
        with pytest.raises(ValueError, match=r"must have exactly the keys .*'norm'.*, got \["):
            genotypes.from_json(value | {"version": version})


def test_another_version_is_refused():
    value = genotypes.to_json(GENOTYPE) | {"version": 4}
    with pytest.raises(ValueError, match="reads genotype versions 1 to 3, got 4"):
        genotypes.from_json(value)


def test_edges_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match=r"cells\[0\] must be a list of lists, got 1"):
        genotypes.from_json(genotypes.to_json(GENOTYPE) | {"cells": [1]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": None}, "space must be a str, got None"),
        ({"residual": "no"}, "residual must be a bool, got 'no'"),
        ({"reads_stem": 1}, "reads_stem must be a bool, got 1"),
        ({"path": 3}, "path must be a list of int, got 3"),
        ({"path": [0, "1", 2]}, r"path\[1\] must be a int, got '1'"),
        ({"path": [0, True, 2]}, r"path\[1\] must be a int, got True"),
        ({"width_factors": [1, None, 4]}, r"width_factors\[1\] must be a float, got None"),
        ({"width_factors": [1, 2, float("inf")]}, r"width_factors\[2\] must be a float, got inf"),
        ({"cells": [[[{"input": 0}]]]}, r"cells\[0\]\[0\]\[0\] must have exactly the keys .*; missing \['operation'\]"),
        ({"cells": [[[{"input": "0", "operation": "skip"}]]]}, r"cells\[0\]\[0\]\[0\]: input must be a int, got '0'"),
        ({"activation": []}, r"activation must be a str, got \[\]"),
    ],
)
def test_a_value_of_another_type_is_named(change, message):
    with pytest.raises(ValueError, match=f"genotype: {message}"):
        genotypes.from_json(genotypes.to_json(GENOTYPE) | change)


def test_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="must have exactly the keys"):
        genotypes.from_json(genotypes.to_json(GENOTYPE) | {"extra": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": (0, 2)}, "goes from width level 0 to 2"),
        ({"path": (2,)}, "goes from width level 0 to 2"),
        ({"path": (0, 1, 2, 3)}, "outside 0 to 2"),
        ({"cells": (((Edge(input=2, operation="skip"),),),)}, "node 0 can read inputs 0 to 1, got 2"),
        ({"cells": (((Edge(input=0, operation="none"),),),)}, "an edge's operation must be one of"),
        ({"cells": (((Edge(input=0, operation="dil_5x5"),),),)}, "must be one of .*, got 'dil_5x5'"),
        ({"cells": (((),),)}, "node 0 must keep at least one edge"),
        ({"cells": GENOTYPE.cells * 2}, "one cell, or one for each of its 3 layers, got 2"),
        ({"cells": (*GENOTYPE.cells * 2, GENOTYPE.cells[0][:1])}, r"as many nodes as the first, got \[2, 2, 1\]"),
        ({"cells": ()}, "at least one node and one layer"),
        ({"cells": ((),)}, "at least one node and one layer"),
        ({"path": ()}, "at least one node and one layer"),
        ({"activation": "gelu"}, "activation must be one of .*, got 'gelu'"),
        ({"norm": "group"}, r"norm must be one of \['batch', 'none'\], got 'group'"),
        ({"downscale": 0}, "downscale must be a whole number, 1 to 64, got 0"),
        ({"downscale": 1.5}, "downscale must be a whole number, 1 to 64, got 1.5"),
        ({"downscale": "2"}, "downscale must be a whole number, 1 to 64, got '2'"),
        ({"downscale": 65}, "downscale must be a whole number, 1 to 64, got 65"),
        (
            {"path": (0,) * 200_000},
            "may have 300 layers and keep 3000 edges in them, got 200000 layers with 800000 edges",
        ),
        (
            {"cells": (((Edge(input=0, operation="skip"),) * 2000,),)},
            "may have 300 layers .*, got 3 layers with 6000 edges",
        ),
        ({"width_factors": (2.0, 1.0, 4.0)}, "positive and ascending"),
        ({"width_factors": ()}, r"positive and ascending, one at least and none above 1000, got \[\]"),
        ({"width_factors": (1.0, 2.0, 1e9)}, "none above 1000, got"),
        ({"space": "other"}, "space must be one of"),
    ],
)
def test_what_no_search_can_find_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GENOTYPE, **change)
