"""`nasir show`: what a network is made of."""

import json

import pytest
import torch
from PIL import Image

from nasir.commands import subjects
from nasir.config import reading
from nasir.files import read_json, write_json
from nasir.inference import model, zoo
from nasir.networks import catalogue
from nasir.settings import resolve
from nasir.spaces import contract


@pytest.fixture(scope="module")
def genotypes(tmp_path_factory):
    """A file with a random genotype of each space, by its name."""
    folder = tmp_path_factory.mktemp("genotypes")
    for name in contract.names():
        space = contract.find(name)
        params = reading.read(subjects.PLACES[0] / "params.yaml") | {"space": name, "profile": "demo"}
        section = reading.build(resolve(params, subjects.PLACES[0] / "profiles")["space"], space.Section, name)
        drawn = contract.part(space.searching).random_genotype(name, section, torch.Generator().manual_seed(3))
        write_json(folder / f"{name}.json", space.to_json(drawn))
    return folder


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline") / "model"
    model.save_baseline(folder, "ddn", 3, "derain", 0.0, {"best": catalogue.build("ddn", 3).state_dict()})
    return folder


def test_a_shipped_network_has_the_size_and_the_operations_of_its_card(nasir):
    card = zoo.card("irnas-bsd500-50")
    status, out, _ = nasir("show", "irnas-bsd500-50", "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["parameters"], told["flops_per_pixel"]) == (card["parameters"], card["flops_per_pixel"])
    assert sum(part["parameters"] for part in told["parts"]) == card["parameters"]
    assert sum(part["flops_per_pixel"] for part in told["parts"]) == card["flops_per_pixel"]
    # blocks of 2x2 grey pixels are 4 channels; the stem: 4 -> 32, then twice 32 -> 3 nodes of 16, all 3x3 with a bias
    stem = 9 * 4 * 32 + 32 + 2 * (9 * 32 * 48 + 48)
    multiply_adds = 9 * 4 * 32 + 2 * 9 * 32 * 48  # for each block of 4 pixels
    assert told["parts"][0] == {"part": "stem", "parameters": stem, "flops_per_pixel": 2 * multiply_adds / 4}
    # nodes of 16, 32, 64 and 32 channels; of the edges dil_3x3, conv_3x3, dil_3x3 and conv_3x3 have a 3x3 with a bias each
    cells = [part for part in told["parts"] if part["part"].startswith("cell ")]
    assert [part["part"] for part in cells] == ["cell 1", "cell 2", "cell 3", "cell 4"]
    assert [part["parameters"] for part in cells] == [4 * (9 * n * n + n) for n in (16, 32, 64, 32)]
    assert [part["flops_per_pixel"] for part in cells] == [2 * 4 * 9 * n * n / 4 for n in (16, 32, 64, 32)]
    assert told["outline"]["width path"] == "16 -> 32 -> 64 -> 32 channels"
    assert told["outline"]["node 3"] == "dil_3x3(h_{l-1}) + conv_3x3(h_{l-2})"
    assert told["facts"]["sigma"] == 50.0 and told["drawing"] is None


def test_a_person_reads_the_same(nasir):
    status, out, _ = nasir("show", "irnas-bsd500-50")
    assert status == 0
    assert out.startswith("irnas-bsd500-50: 4 cells of 3 nodes, at 1 / 2 of the resolution, a global residual.")
    lines = [line.split() for line in out.splitlines()]
    assert ["node", "2", "conv_3x3(h_{l-1})", "+", "skip(h_{l-2})"] in lines
    assert ["aspp_rates", "none"] in lines
    assert lines[-1] == ["all", "289,620", "144,288"]


@pytest.mark.parametrize("name", contract.names())
def test_a_genotype_of_each_space_is_told_counted_and_drawn(nasir, genotypes, tmp_path, name):
    out = tmp_path / "drawing.png"
    status, told, _ = nasir("show", genotypes / f"{name}.json", "--sizes", "demo", "--out", out, "--json")
    told = json.loads(told)
    assert status == 0 and told["facts"]["space"] == name and told["facts"]["sizes of"] == "profile demo"
    assert told["parameters"] == sum(part["parameters"] for part in told["parts"]) > 0
    assert told["drawing"] == str(out)
    with Image.open(out) as drawing:
        assert drawing.width > 300
    genotype = contract.find(name).from_json(read_json(genotypes / f"{name}.json"))
    for operation in contract.find(name).operations_of(genotype):
        assert any(operation in line for line in told["outline"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["drawing.png"]


def test_a_drawing_may_be_svg(nasir, genotypes, tmp_path):
    status, out, _ = nasir("show", genotypes / "irnas.json", "--out", tmp_path / "drawing.svg")
    assert status == 0 and out.endswith("drawing.svg: the drawing, at the sizes of this network\n")
    assert "<svg" in (tmp_path / "drawing.svg").read_text()


def test_a_space_whose_drawing_says_nothing_shows_its_genotype(nasir, genotypes, monkeypatch):
    monkeypatch.delattr(contract.part(contract.find("clearer").drawing), "outline")
    outline = json.loads(nasir("show", genotypes / "clearer.json", "--json")[1])["outline"]
    assert outline["transition"] == '"before"' and outline["space"] == '"clearer"'


def test_a_hand_designed_network_says_what_its_file_says(nasir, baseline):
    status, out, _ = nasir("show", baseline, "--json")
    told = json.loads(out)
    # 26 layers of 3x3 with batch normalisation: 6, 24 times 16 and 3 channels
    assert status == 0 and told["parameters"] == 57_369 and told["outline"] == {}
    assert told["description"].startswith("DDN (DetailsNet): a residual network")
    assert told["facts"] == {"network": "ddn", "task": "derain", "sigma": 0.0, "channels": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosuch",), "expected a trained network in nosuch, got no model.json there"),
        (("nosuch.json",), "nosuch.json must be a genotype as derive writes it: expected a file at nosuch.json"),
        (("other.json",), "other.json must be a genotype as derive writes it: space must be one of"),
        (("baseline", "--out", "drawing.png"), "--out draws what a search found, got the hand-designed network ddn"),
        (("irnas-bsd500-50", "--out", "drawing.jpg"), "--out must name a file that ends in .svg or .png, got drawing.jpg"),
        (("irnas-bsd500-50", "--out", "other.json/a.png"), "other.json/a.png cannot be written"),
        (("irnas-bsd500-50", "--sizes", "demo"), "--sizes says how wide a genotype's network is, got it for the trained"),
        (("irnas.json", "--sizes", "nosuch"), "expected a configuration file at"),
    ],
)  # fmt: skip
def test_a_wrong_argument_gets_one_line_and_no_file(nasir, genotypes, baseline, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "other.json", {"space": "other"})
    (tmp_path / "baseline").symlink_to(baseline)
    (tmp_path / "irnas.json").symlink_to(genotypes / "irnas.json")
    status, out, told = nasir("show", *words, "--json")
    assert (status, out) == (2, "")
    assert told.startswith("error: ") and message in told and told.count("\n") == 1
    assert not list(tmp_path.glob("drawing*"))


def test_weights_that_do_not_fit_are_told_in_one_line(nasir, baseline, tmp_path):
    write_json(tmp_path / "model.json", read_json(baseline / "model.json") | {"network": "scan"})
    (tmp_path / "best.safetensors").write_bytes((baseline / "best.safetensors").read_bytes())
    status, _, told = nasir("show", tmp_path)
    assert status == 2 and "must hold the weights that model.json describes" in told and told.count("\n") == 1
