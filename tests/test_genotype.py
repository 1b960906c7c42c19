"""The genotype is a plain, checked, versioned value."""

import pytest

from nasir import genotype as genotypes
from nasir.genotype import Edge, Genotype

GENOTYPE = Genotype(
    space="irnas",
    cell=(
        (Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="skip")),
        (Edge(input=2, operation="def_3x3"), Edge(input=0, operation="sep_3x3")),
    ),
    path=(0, 1, 2),
    width_factors=(1.0, 2.0, 4.0),
    residual=False,
)


def test_a_genotype_survives_its_file(tmp_path):
    genotypes.save(GENOTYPE, tmp_path / "genotype.json")
    assert genotypes.load(tmp_path / "genotype.json") == GENOTYPE


def test_another_version_is_refused(tmp_path):
    value = genotypes.to_json(GENOTYPE) | {"version": 2}
    with pytest.raises(ValueError, match="reads genotype version 1, got 2"):
        genotypes.from_json(value)


def test_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="must have exactly the keys"):
        genotypes.from_json(genotypes.to_json(GENOTYPE) | {"extra": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": (0, 2)}, "goes from width level 0 to 2"),
        ({"path": (2,)}, "goes from width level 0 to 2"),
        ({"path": (0, 1, 2, 3)}, "outside 0 to 2"),
        ({"cell": ((Edge(input=2, operation="skip"),),)}, "node 0 can read inputs 0 to 1, got 2"),
        ({"cell": ((Edge(input=0, operation="none"),),)}, "an edge's operation must be one of"),
        ({"cell": ((),)}, "node 0 must keep at least one edge"),
        ({"path": ()}, "at least one node and one layer"),
        ({"width_factors": (2.0, 1.0, 4.0)}, "positive and ascending"),
        ({"space": "other"}, "space must be one of"),
    ],
)
def test_what_no_search_can_find_is_refused(change, message):
    fields = {name: getattr(GENOTYPE, name) for name in ("space", "cell", "path", "width_factors", "residual")}
    with pytest.raises(ValueError, match=message):
        Genotype(**fields | change)
