"""`nasir compare`: two networks, or two files of scores."""

import json

import pytest
from PIL import Image

from nasir.files import read_json, write_csv, write_json
from nasir.inference import zoo

A = {"a": 30.0, "b": 28.0, "c": 25.0, "d": 20.0, "e": 21.0, "f": 22.0, "g": 23.0}
B = {"a": 29.0, "b": 28.0, "c": 25.5, "d": 19.5, "e": 20.0, "f": 19.5, "g": 24.0}
# A - B: 1, 0, -0.5, 0.5, 1, 2.5, -1; sum 3.5, mean 0.5


@pytest.fixture
def scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, values in (("a.csv", A), ("b.csv", B), ("less.csv", dict(list(A.items())[:3]))):
        write_csv(tmp_path / name, [{"name": n, "psnr_db": v} for n, v in values.items()], ["name", "psnr_db"])
    return tmp_path


def test_scores_are_compared_by_the_paired_interval_and_counted(nasir, scores):
    status, out, _ = nasir("compare", "a.csv", "b.csv", "--json")
    told = json.loads(out)
    assert status == 0
    assert told["difference"]["mean"] == pytest.approx(0.5)
    assert told["difference"]["low"] < 0.5 < told["difference"]["high"]
    assert (told["a_ahead"], told["b_ahead"], told["equal"], told["images"]) == (4, 2, 1, 7)
    assert [row["name"] for row in told["best_for_a"]] == ["f", "e", "a"]
    assert [row["name"] for row in told["best_for_b"]] == ["g", "c", "b"]
    assert told["best_for_b"][0] == {"name": "g", "a": 23.0, "b": 24.0}


def test_a_person_reads_the_same(nasir, scores):
    status, out, _ = nasir("compare", "a.csv", "b.csv", "--out", "plots/plot.png")
    lines = out.splitlines()
    assert status == 0 and lines[0] == "psnr_db, 7 images"
    assert lines[1:3] == ["A: a.csv: mean 24.14 dB", "B: b.csv: mean 23.64 dB"]
    assert lines[3].startswith("A - B: +0.500 dB, 95 % interval ")
    assert lines[4] == "A is ahead on 4 images, B on 2; equal on 1"
    assert lines[7].split() == ["f", "22.00", "19.50", "+2.500"]
    assert [line.split()[0] for line in lines[7:14]] == ["f", "e", "a", "...", "b", "c", "g"]
    assert lines[-1] == "plots/plot.png: a point for each image"
    with Image.open("plots/plot.png") as plot:
        assert plot.width > 600


def test_shipped_scores_are_read_as_they_are(nasir):
    path = zoo.SHELF / "irnas-bsd500-50" / "scores.csv"
    told = json.loads(nasir("compare", path, path, "--protocol", "overlap", "--json")[1])
    card = zoo.card("irnas-bsd500-50")["scores"]["overlap"]
    assert (told["images"], told["equal"], told["difference"]["mean"], told["wilcoxon_p"]) == (200, 200, 0, 1)
    assert told["mean_a"] == pytest.approx(card["psnr_db"]) and told["protocol"] == "overlap"


def test_of_genotypes_the_lines_that_differ_are_told(nasir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    genotype = read_json(zoo.SHELF / "irnas-bsd500-50" / "model.json")["genotype"]
    write_json(tmp_path / "a.json", genotype)
    genotype["cells"][0][1][1]["operation"] = "conv_3x3"
    write_json(tmp_path / "b.json", genotype)
    told = json.loads(nasir("compare", "a.json", "b.json", "--sizes", "small", "--json")[1])
    lines = {row["line"]: (row["a"], row["b"]) for row in told["differences"]}
    assert set(lines) == {"node 2", "parameters", "operations per pixel"}
    assert lines["node 2"] == ("conv_3x3(h_{l-1}) + skip(h_{l-2})", "conv_3x3(h_{l-1}) + conv_3x3(h_{l-2})")
    # one more 3x3 in cells of 16, 32, 64 and 32 channels, with a bias
    more = sum(9 * width**2 + width for width in (16, 32, 64, 32))
    a, b = (int(text.replace(",", "")) for text in lines["parameters"])
    assert a == zoo.card("irnas-bsd500-50")["parameters"] and b - a == more

    status, out, _ = nasir("compare", "a.json", "b.json", "--sizes", "small")
    assert status == 0 and out.startswith(
        "A: a.json\nB: b.json\n\nnode 2\n  A  conv_3x3(h_{l-1}) + skip(h_{l-2})\n  B  conv"
    )
    assert out.endswith(f"{told['lines'] - 3} of {told['lines']} lines are the same\n")


def test_a_line_that_one_network_lacks_stands_where_the_other_has_it(nasir):
    told = json.loads(nasir("compare", "irnas-bsd500-50", "irnas-rain800", "--json")[1])
    lines = [row["line"] for row in told["differences"]]
    assert lines[lines.index("node 3") + 1] == "node 4"
    assert {"line": "node 4", "a": None, "b": "sep_3x3(node 2) + dil_3x3(h_{l-1})"} in told["differences"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.csv", "less.csv"), "both files must have scores of the same images, but less.csv lacks d, e, f, g; score both"),
        (("a.csv", "nosuch.csv"), "expected a file at nosuch.csv"),
        (("a.csv", "irnas-bsd500-50"), "A and B must be two networks or two CSV files of scores, got a.csv and irnas-bsd500-50"),
        (("a.csv", "b.csv", "--out", "plot.svg"), "--out must name a file that ends in .png, got plot.svg"),
        (("a.csv", "b.csv", "--out", "a.csv/plot.png"), "a.csv/plot.png cannot be written"),
        (("a.csv", "b.csv", "--measure", "ssim"), "the measure must be one of ['psnr_db']"),
        (("a.csv", "b.csv", "--protocol", "half"), "a.csv must have a column 'protocol' to choose 'half' in, got none"),
        (("a.csv", "b.csv", "--sizes", "demo"), "--sizes is for genotypes, got it with scores"),
        (("irnas-bsd500-50", "irnas-bsd500-30", "--out", "plot.png"), "--out is for two CSV files of scores, got the networks"),
        (("irnas-bsd500-50", "nosuch"), "expected a trained network in nosuch"),
    ],
)  # fmt: skip
def test_a_wrong_argument_gets_one_line_and_no_file(nasir, scores, words, message):
    status, out, told = nasir("compare", *words, "--json")
    assert (status, out) == (2, "") and message in told and told.count("\n") == 1
    assert not list(scores.glob("plot*"))
