"""CLEARER's networks: sizes as printed, images of any size, tiles, what small budgets add."""

import dataclasses

import pytest
import torch
from torch import nn

from nasir.inference.reach import radius
from nasir.inference.tiling import Tiled
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.layers.downscaling import fill
from nasir.spaces.clearer import SPACE, Supernet
from nasir.spaces.resolutions.section import ColumnsSection
from tests.spaces.resolutions.little import AUTHORS, LITTLE


def build(letters: str, section: ColumnsSection = LITTLE, channels: int = 1) -> nn.Module:
    """A network of the section's sizes, weights from the seed 0."""
    torch.manual_seed(0)
    return SPACE.build(SPACE.genotype(section, letters), SPACE.candidate_sizes(section), channels)


@pytest.mark.parametrize(
    ("letters", "count", "operations"),
    [("P" * 12, 8_723_264, 1_519_744), ("F" * 12, 4_361_536, 588_416), ("FPFFFPFFPFPF", 6_236_096, None)],
)
def test_networks_of_the_authors_size_have_their_parameters_and_operations(letters, count, operations):
    network = build(letters, AUTHORS)
    assert parameters(network) == count
    assert parameters(build(letters, AUTHORS, channels=3)) == count + 384
    assert operations is None or flops_per_pixel(network, 1) == operations


def test_the_supernet_of_the_authors_size_has_their_parameters_and_operations():
    network = Supernet(1, AUTHORS, torch.Generator())
    assert sum(parameter.numel() for parameter in network.weights()) == 12_558_144
    assert flops_per_pixel(network, 1) == 1_915_520


def test_convolutions_start_at_the_given_deviation_and_normalisations_as_they_are():
    network = build("PFPF", dataclasses.replace(LITTLE, widths=(16, 16, 16, 16), initial_std=0.001))
    weights = torch.cat([module.weight.flatten() for module in network.modules() if isinstance(module, nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.001, rel=0.02)
    assert all((module.weight == 1).all() for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert all(module.bias is None for module in network.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize("section", [LITTLE, dataclasses.replace(LITTLE, downscale=2, norm="none", residual=True)])
@pytest.mark.parametrize("size", [(37, 21), (8, 16), (5, 3), (1, 1)])
def test_an_image_of_any_size_is_that_filled_up_and_cut(section, size):
    network = build("PFPF", section).eval()
    nn.init.normal_(network.head["output"].weight)  # a residual starts at zero
    x = torch.rand(2, 1, *size)
    whole = network(fill(x, 8 * section.downscale))
    assert torch.equal(network(x), whole[..., : size[0], : size[1]])


def test_filling_up_mirrors_and_repeats_what_is_too_short_for_it():
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert fill(x, 4)[0, 0].tolist() == [[0, 1, 2, 1], [3, 4, 5, 4], [3, 4, 5, 4], [3, 4, 5, 4]]
    assert fill(x, 1) is x


@pytest.mark.parametrize("letters", ["PPPP", "FFFF", "PFFP"])
def test_tiles_give_what_the_whole_image_gives(letters):
    network = build(letters).double().eval()
    x = torch.rand(1, 1, 203, 331, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(Tiled(network, 1, 64)(x), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("letters", "theirs"), [("P" * 12, 128), ("FPFFFPFFPFPF", 67), ("F" * 12, 44)])
def test_the_reach_is_the_one_measured_with_the_authors_network_and_what_is_left_of_a_block(letters, theirs):
    section = dataclasses.replace(AUTHORS, widths=(2, 2, 2, 2))
    assert theirs <= radius(build(letters, section), 1) <= theirs + 7


def test_a_residual_network_starts_at_its_input():
    x = torch.rand(1, 3, 16, 16)
    section = dataclasses.replace(LITTLE, norm="none", residual=True, downscale=2)
    assert torch.equal(build("PFPF", section, channels=3)(x), x)


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_cells_work_on_all_branches_where_there_are_fewer(branches):
    section = dataclasses.replace(LITTLE, widths=LITTLE.widths[:branches])
    network = build("FPFP", section)
    assert [len(column.ways) for cell in network.cells for column in cell if hasattr(column, "ways")] == (
        [min(2, branches), min(3, branches)]
    )
    assert network(torch.rand(1, 1, 12, 12)).shape == (1, 1, 12, 12)


@pytest.mark.parametrize(("widths", "expected"), [(4, [1, 2, 3]), (3, [1, 2, 3]), (2, [1, 2, 2])])
def test_a_transition_may_stand_after_its_cell(widths, expected):
    section = dataclasses.replace(LITTLE, columns=(1, 1, 1), widths=LITTLE.widths[:widths], transition="after")
    network = build("FFF", section)
    assert [len(column.ways) for cell in network.cells for column in cell] == expected
    assert len(network.head["fusion"].ways[0]) == widths
    assert network(torch.rand(1, 1, 12, 12)).shape == (1, 1, 12, 12)
    supernet = Supernet(1, section, torch.Generator().manual_seed(0))
    assert supernet(torch.rand(2, 1, 16, 16)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": ()}, r"space.widths must be 1 or more and at most 16384, one at least and 10 at most, got \(\)"),
        ({"widths": (4, 0)}, r"space.widths must be 1 or more"),
        ({"widths": (4, 4, 4, 4, 4)}, r"space.widths must be at most 4 with 3 cells"),
        ({"columns": (2, 0)}, r"space.columns must be 1 or more in each cell .*, got \(2, 0\)"),
        ({"columns": (2, 299)}, r"space.columns must be .* at most 300 in all, got \(2, 299\)"),
        ({"stem_blocks": 0}, r"space.stem_blocks must be 1 or more and at most 1000, got 0"),
        ({"initial_std": -1.0}, r"space.initial_std must be 0 or more, got -1.0"),
        ({"aliasing": "yes"}, r"space.aliasing must be one of \['fixed', 'released'\], got 'yes'"),
        ({"costs": "none"}, r"space.costs must be one of"),
        ({"transition": "within"}, r"space.transition must be one of"),
        ({"downscale": 0}, r"space.downscale must be 1 or more and at most 64, got 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LITTLE, **changes)


def test_more_branches_than_the_genotypes_cells_give_are_refused():
    sizes = dataclasses.replace(SPACE.candidate_sizes(LITTLE), widths=(4, 4, 4, 4, 4))
    with pytest.raises(ValueError, match=r"network.widths must be at most 4 with a genotype of 3 cells"):
        SPACE.build(SPACE.genotype(LITTLE, "PFPF"), sizes, 1)
