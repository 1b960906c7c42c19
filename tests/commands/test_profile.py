"""`nasir profile`: what a network takes to restore one image."""

import json

import pytest

from nasir.commands.profile import parse
from nasir.inference import zoo


def test_a_shipped_network_has_its_parameters_and_operations(nasir):
    card = zoo.card("irnas-bsd500-50")
    status, out, _ = nasir("profile", "irnas-bsd500-50", "--size", "32x48", "--rounds", "2", "--json")
    told = json.loads(out)
    assert status == 0
    assert told["parameters"] == card["parameters"] and told["flops"] == card["flops_per_pixel"] * 32 * 48
    assert (told["height"], told["width"], told["rounds"]) == (32, 48, 2)
    assert [kind["name"] for kind in told["kinds"]] == ["convolution", "pointwise", "other"]
    assert sum(kind["flops"] for kind in told["kinds"]) == told["flops"]
    assert sum(kind["seconds"] for kind in told["kinds"]) == pytest.approx(told["seconds"])
    assert max(kind["tensors_mib"] for kind in told["kinds"]) == told["tensors_mib"]
    assert 0 < told["tensors_mib"] < told["process_mib"]


def test_a_person_reads_a_table_of_kinds(nasir):
    status, out, _ = nasir("profile", "irnas-bsd500-50", "--size", "32x48", "--device", "cpu", "--rounds", "1")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0 and lines[0] == ["irnas-bsd500-50"]
    assert ["operations", "0.222", "billion,", "144,288", "per", "pixel"] in lines
    assert [line[0] for line in lines[-4:]] == ["layers", "convolution", "pointwise", "other"]
    assert lines[-4] == ["layers", "number", "parameters", "billion", "operations", "seconds", "share", "MiB"]
    assert len(lines) < 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosuch", "--size", "8x8"), "got no model.json there"),
        (("irnas-bsd500-50", "--size", "8"), "--size must be HEIGHTxWIDTH in pixels, as in 321x481, got '8'"),
        (("irnas-bsd500-50", "--size", "0x8"), "got '0x8'"),
        (("irnas-bsd500-50", "--size", f"{'9' * 20}x1"), "--size may have sides of at most 1,000,000 pixels, got 9999"),
        (("irnas-bsd500-50", "--size", f"1x{'9' * 5000}"), "--size may have sides of at most 1,000,000 pixels, got 1x99"),
        (("irnas-bsd500-50", "--size", "1x1000001"), "got 1x1000001; choose smaller ones"),
        (("irnas-bsd500-50", "--size", "8x8", "--device", "gpu"), "--device must be one of ['auto', 'cpu', 'cuda'], got 'gpu'"),
    ],
)  # fmt: skip
def test_a_wrong_argument_gets_one_line(nasir, words, message):
    status, out, told = nasir("profile", *words, "--json")
    assert (status, out) == (2, "") and message in told and told.count("\n") == 1


def test_a_size_is_height_and_width():
    assert parse("321x481") == (321, 481)
