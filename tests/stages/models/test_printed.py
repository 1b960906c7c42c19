"""The papers' tables with the shipped networks."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nasir.files import read_csv, read_json, sha256_file, write_csv, write_json
from nasir.inference import zoo
from nasir.inference.model import save_baseline
from nasir.networks import catalogue
from stages import __main__ as commands
from stages.models import printed

ROOT = Path(__file__).parents[3]
NETWORKS = ("irnas-bsd500-30", "irnas-bsd500-50", "irnas-rain800", "clearer-rain800")


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """Some of the shipped networks."""
    for name in NETWORKS:
        shutil.copytree(ROOT / "models" / name, tmp_path / "models" / name)
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    return tmp_path / "models"


def cells(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """Rows of PSNR of the CSV file by table, row and noise level."""
    printed.run(
        published=ROOT / "tables/published.csv",
        rows=ROOT / "tables/rows.csv",
        plan=ROOT / "tables/params.yaml",
        others=ROOT / "benchmarks/tables-small/scores",
        out=out,
    )
    rows = [row for row in read_csv(out / "tables/cells.csv") if row["measure"] == "psnr"]
    return {(row["table"], row["row"], row["sigma"]): row for row in rows}


def is_there(found: dict[tuple[str, str, str], dict[str, str]], table: str, row: str) -> bool:
    """Whether a row of a table has a value of ours at any noise level."""
    return any(value["ours_whole"] for (of, name, _), value in found.items() if (of, name) == (table, row))


def test_every_value_is_the_mean_of_the_scores_beside_the_network(shelf, tmp_path):
    found = cells(tmp_path / "out")
    card = zoo.card("irnas-bsd500-30")
    ours = found["1", "IR-NAS", "30.0"]
    assert float(ours["ours_inferred"]) == pytest.approx(card["scores"]["overlap"]["psnr_db"])
    assert float(ours["ours_whole"]) == pytest.approx(card["scores"]["whole"]["psnr_db"])
    assert (float(ours["printed"]), ours["images"]) == (29.14, "200")
    [rain] = [value for (table, row, _), value in found.items() if (table, row) == ("3", "CLEARER")]
    assert float(rain["ours_whole"]) == pytest.approx(zoo.card("clearer-rain800")["scores"]["whole"]["psnr_db"])
    bm3d = read_csv(ROOT / "benchmarks/tables-small/scores/bm3d-50-0.csv")
    half = [float(row["psnr_db"]) for row in bm3d if row["protocol"] == "half"]
    assert float(found["1", "BM3D", "50.0"]["ours_inferred"]) == pytest.approx(sum(half) / len(half))
    assert not found["1", "IR-NAS", "70.0"]["ours_whole"]
    assert found["1", "IR-NAS", "70.0"]["reason"] == "no such network is shipped"
    page = (tmp_path / "out/tables.md").read_text()
    assert "The networks of models/" in page and "Table C" not in page
    last = read_csv(shelf / "clearer-rain800/validation.csv", ("step", "metric", "value"))[-1]
    assert (
        f"| clearer-rain800 | {int(last['step']):,} |" in page
        and "![PSNR on V against hours of training](hours.png)" in page
    )
    assert (tmp_path / "out/hours.png").stat().st_size > 1000


def test_where_both_losses_have_a_row_a_network_stands_in_that_of_its_own(shelf, tmp_path):
    weights = {name: zoo.card(name)["made_with"]["retrain"]["ssim_weight"] for name in NETWORKS}
    assert weights["irnas-bsd500-30"] == 0 and weights["irnas-rain800"] > 0
    found = cells(tmp_path / "out")
    with_mse, with_ssim = "IR-NAS* (MSE)", "IR-NAS** (MSE + log SSIM)"
    assert is_there(found, "5", with_mse) and not is_there(found, "5", with_ssim)
    assert is_there(found, "6", with_ssim) and not is_there(found, "6", with_mse)
    assert is_there(found, "1", "IR-NAS") and is_there(found, "3", "IR-NAS")


def test_of_two_networks_the_better_one_stands_in_the_row_and_one_of_other_pictures_in_none(shelf, tmp_path):
    better = shutil.copytree(shelf / "irnas-bsd500-50", shelf / "better")
    card = read_json(better / "card.json") | {"name": "better", "sigma": 30.0}
    card["scores"]["whole"]["psnr_db"] += 10
    write_json(better / "card.json", card)
    other = read_json(shelf / "irnas-bsd500-50" / "card.json")
    other["data"]["dataset"] = "sample"
    write_json(shelf / "irnas-bsd500-50" / "card.json", other)

    found = cells(tmp_path / "out")
    assert float(found["1", "IR-NAS", "30.0"]["ours_whole"]) == pytest.approx(other["scores"]["whole"]["psnr_db"])
    assert not found["1", "IR-NAS", "50.0"]["ours_whole"]


def test_networks_for_noise_of_8_bits_stand_where_scores_have_it_once_all_levels_are_shipped(shelf, tmp_path):
    for sigma in (30, 50):
        shutil.copytree(ROOT / f"models/clearer-bsd500-{sigma}", shelf / f"clearer-bsd500-{sigma}")
    shutil.copytree(shelf / "clearer-bsd500-30", shelf / "bits")  # with scores of its own
    rows = read_csv(shelf / "bits/scores.csv")
    changed = [row | {"psnr_db": str(float(row["psnr_db"]) + 1)} for row in rows]
    write_csv(shelf / "bits/scores.csv", changed, list(rows[0]))
    card = read_json(shelf / "bits/card.json") | {"name": "bits"}
    card["made_with"]["retrain"]["noise"] = "truncated8"
    card["sha256"]["scores.csv"] = sha256_file(shelf / "bits/scores.csv")
    write_json(shelf / "bits/card.json", card)
    usual = zoo.card("clearer-bsd500-30")["scores"]
    for has_all in (False, True):
        if has_all:
            shutil.rmtree(shelf / "clearer-bsd500-50")
        found = cells(tmp_path / f"out-{has_all}")
        for row, protocol in (("CLEARER", "clearer"), ("CLEARER-P", "clearer-patches")):
            ours = float(found["clearer-1", row, "30.0"]["ours_inferred"])
            assert ours == pytest.approx(usual[protocol]["psnr_db"] + has_all)
        other = "CLEARER, trained for noise that is not clipped"
        assert is_there(found, "clearer-1", other) == has_all
        assert float(found["1", "CLEARER", "30.0"]["ours_whole"]) == pytest.approx(usual["whole"]["psnr_db"])


def test_a_network_found_on_another_task_stands_where_that_task_s_search_is_asked_for(shelf, tmp_path):
    camera = shutil.copytree(shelf / "irnas-rain800", shelf / "camera")
    card = read_json(camera / "card.json") | {"name": "camera", "task": "camera"}
    card["data"]["dataset"] = "sim1800"
    for source, has_row in (("denoise", True), ("camera", False)):
        card["made_with"]["architecture_of"] = {"name": "elsewhere", "task": source}
        write_json(camera / "card.json", card)
        found = cells(tmp_path / source)
        assert is_there(found, "2", "IR-NAS") == has_row
    [ours] = [value for (table, row, _), value in cells(tmp_path / "out").items() if (table, row) == ("3", "IR-NAS")]
    assert float(ours["ours_whole"]) == pytest.approx(zoo.card("irnas-rain800")["scores"]["whole"]["psnr_db"])


def test_a_better_network_of_other_pictures_displaces_none(shelf, tmp_path):
    other = shutil.copytree(shelf / "irnas-bsd500-50", shelf / "other")  # whose scores are other ones
    card = read_json(other / "card.json") | {"name": "other", "sigma": 30.0}
    own = zoo.card("irnas-bsd500-30")["scores"]["whole"]["psnr_db"]
    card["scores"]["whole"]["psnr_db"], card["data"]["dataset"] = own + 10, "sample"
    write_json(other / "card.json", card)
    assert float(cells(tmp_path / "out")["1", "IR-NAS", "30.0"]["ours_whole"]) == pytest.approx(own)


def test_a_network_designed_by_hand_stands_in_its_own_row(shelf, tmp_path):
    network = "dncnn-bsd500-50"
    shutil.copytree(shelf / "irnas-bsd500-50", shelf / network)
    save_baseline(shelf / network, "dncnn", 1, "denoise", 50.0, {"best": catalogue.build("dncnn", 1).state_dict()})
    card = read_json(shelf / network / "card.json") | {"name": network, "parameters": 555_137}
    card["sha256"] = {name: sha256_file(shelf / network / name) for name in card["sha256"]}
    write_json(shelf / network / "card.json", card)
    found = cells(tmp_path / "out")
    assert float(found["1", "DnCNN", "50.0"]["ours_whole"]) == pytest.approx(card["scores"]["whole"]["psnr_db"])
    assert found["1", "DnCNN", "50.0"]["genotypes"] == ""
    assert not is_there(found, "1", "RED")


def test_rows_without_training_are_of_their_own_task(shelf, tmp_path):
    found = cells(tmp_path / "out")
    rainy = read_csv(ROOT / "benchmarks/tables-small/scores/derain/noisy-0-0.csv")
    whole = [float(row["psnr_db"]) for row in rainy if row["protocol"] == "whole"]
    [ours] = [value for (table, row, _), value in found.items() if (table, row) == ("3", "rainy input")]
    assert len(whole) == 100 and float(ours["ours_whole"]) == pytest.approx(sum(whole) / len(whole))
    [camera] = [value for (table, row, _), value in found.items() if (table, row) == ("2", "noisy input")]
    assert camera["images"] == "212" and camera["ours_whole"] != ours["ours_whole"]


def test_networks_of_one_architecture_have_one_hash(shelf, tmp_path):
    found = cells(tmp_path / "out")
    assert found["1", "IR-NAS", "30.0"]["genotypes"] == found["1", "IR-NAS", "50.0"]["genotypes"] != ""


def test_a_training_that_was_carried_on_stands_against_no_hours(shelf, tmp_path):
    for name, change in (("clearer-rain800", {"is_resumed": True}), ("irnas-rain800", {})):
        card = read_json(shelf / name / "card.json")
        card["runs"]["retrain"] = card["runs"]["retrain"] | change if change else {}
        write_json(shelf / name / "card.json", card)
    cells(tmp_path / "out")
    assert "What hours brought" not in (tmp_path / "out/tables.md").read_text()


def test_the_command_writes_into_the_folder_that_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(commands.build("printed"), ["printed", "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "page/tables").iterdir()) == [
        "cells.csv",
        "patches.csv",
        "protocols.csv",
    ]
