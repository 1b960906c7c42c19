"""A run's network becomes a shipped one, and is scored again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folder import list_pictures
from typer.testing import CliRunner

from nasir.data.pictures.collection import load_samples
from nasir.data.pictures.images import save_png
from nasir.evaluation import scoring
from nasir.files import read_csv, read_json, sha256_file, write_csv, write_json
from nasir.inference import model, zoo
from nasir.layers.cost import parameters
from nasir.networks import catalogue
from nasir.settings import Settings, resolve
from nasir.spaces.contract import find, random_tokens
from nasir.task import find as find_task
from stages import __main__ as commands
from stages.models import cards, scores, shelve
from stages.tables import data as data_stage
from tests.spaces.cells.small import SMALL

ROOT = Path(__file__).parents[3]
TEST = ["test/0", "test/1"]


def settings() -> Settings:
    params = {"dataset": "bsd500", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50}
    return Settings(
        resolve(params | {"space": "irnas", "seed": 0, "profile": "demo"}, ROOT / "profiles"), "settings.yaml"
    )


@pytest.fixture
def runs(tmp_path) -> Path:
    """A finished run of a network that is not trained, on two images."""
    folder = tmp_path / "runs"
    rng = np.random.default_rng(0)
    for name in [*TEST, "train/0"]:
        save_png(folder / f"pair/{name}.png", rng.integers(0, 256, (64, 66), dtype=np.uint8))
    list_pictures(folder / "pair", [*TEST, "train/0"])
    write_json(folder / "split/split.json", {"w": ["train/0"], "a": [], "v": [], "test": TEST})
    space = find("irnas")
    genotype = space.from_tokens(SMALL, random_tokens(space, SMALL, torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    sizes = space.candidate_sizes(SMALL)
    network = space.build(genotype, sizes, 1)
    model.save(
        folder / "retrain/model", space.to_json(genotype), sizes, 1, "denoise", 50.0, {"best": network.state_dict()}
    )
    samples = load_samples(folder / "pair", TEST, find_task("denoise"))
    plan = {"whole": TEST, "overlap": TEST}
    found = scoring.score(
        model.load(folder / "retrain/model"),
        samples,
        plan,
        sigma=50,
        seed=0,
        batch=4,
        tell=lambda protocol, score: None,
    )
    rows = [row for protocol, one in found.items() for row in one.rows(method="nasir", protocol=protocol)]
    others = [row | {"method": "noisy"} for row in rows]
    write_csv(folder / "evaluate/scores.csv", [*rows, *others], ["method", *shelve.COLUMNS])
    weights = sha256_file(folder / "retrain/model/best.safetensors")
    costs = {"parameters": parameters(network), "flops_per_pixel": 1234.0}
    write_json(folder / "evaluate/metrics.json", costs | {"weights_sha256": weights})
    write_json(
        folder / "receipts/retrain.json",
        {"seconds": 3.5, "device": "CPU", "commit": "abc", "precision": "32-true", "versions": {"torch": "2"}}
        | {"processor": "Z80"},
    )
    return folder


def test_the_folder_has_network_scores_and_card(runs, tmp_path, monkeypatch, capsys):
    shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    assert "has no receipt of them: search, evaluate\n" in capsys.readouterr().out
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    card = zoo.card("mine")
    assert zoo.folder("mine") == tmp_path / "models/mine" and zoo.names() == ["mine"]
    rows = read_csv(tmp_path / "models/mine/scores.csv")
    assert [(row["protocol"], row["name"]) for row in rows] == [(p, n) for p in ("whole", "overlap") for n in TEST]
    mean = sum(float(row["psnr_db"]) for row in rows[:2]) / 2
    assert card["scores"]["whole"]["psnr_db"] == pytest.approx(mean) and card["scores"]["whole"]["images"] == 2
    assert card["scores"]["whole"]["psnr_db_low"] <= mean <= card["scores"]["whole"]["psnr_db_high"]
    assert (card["task"], card["sigma"], card["flops_per_pixel"]) == ("denoise", 50, 1234.0)
    assert card["data"]["images"] == {"w": 1, "a": 0, "v": 0, "test": 2} and "non-commercial" in card["data"]["terms"]
    assert card["data"]["split_sha256"] == sha256_file(runs / "split/split.json")
    assert card["runs"]["retrain"]["processor"] == "Z80"
    assert card["runs"]["retrain"]["seconds"] == 3.5 and card["runs"]["search"] == {}
    assert card["made_with"]["retrain"]["optimiser"] == "adamw" and card["made_with"]["profile"] == "demo"
    assert model.load("mine").sigma == 50


def test_the_card_of_a_network_designed_by_hand_has_no_search_and_its_own_rate(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    folder = runs / "retrain/model"
    model.save_baseline(folder, "dncnn", 1, "denoise", 50.0, {"best": catalogue.build("dncnn", 1).state_dict()})
    metrics = runs / "evaluate/metrics.json"
    write_json(metrics, read_json(metrics) | {"weights_sha256": sha256_file(folder / "best.safetensors")})
    trained_at = {"retrain.lr_max": 1e-3, "retrain.steps": settings().values["retrain"]["steps"]}
    write_json(runs / "receipts/retrain.json", {"seconds": 3.5, "settings": trained_at})
    shelve.run(runs=runs, settings=settings(), name="by-hand", out=tmp_path / "models")
    made_with = cards.read("by-hand")["made_with"]
    assert set(made_with) == {"profile", "seed", "retrain", "tone"}
    assert made_with["retrain"]["lr_max"] == catalogue.find("dncnn").lr_max < settings().values["retrain"]["lr_max"]
    assert model.load("by-hand").sigma == 50


def test_the_card_of_a_network_that_was_trained_further_says_from_which(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    start = {"name": "irnas-bsd500-50", "weights_sha256": "0" * 64}
    write_json(runs / "retrain/start.json", start)
    shelve.run(runs=runs, settings=settings(), name="further", out=tmp_path / "models")
    made_with = cards.read("further")["made_with"]
    assert made_with["start"] == start and set(made_with) == {"profile", "seed", "start", "retrain", "tone"}
    assert made_with["retrain"] == settings().values["retrain"]


def test_the_card_of_an_architecture_that_was_found_before_says_where_in_place_of_a_search(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    shelve.run(runs=runs, settings=settings(), name="of-another-search", out=tmp_path / "models")
    write_json(runs / "receipts/search.json", {"seconds": 7.5})
    shelve.run(runs=runs, settings=settings(), name="searched", out=tmp_path / "models")
    (runs / "receipts/search.json").unlink()
    shelve.run(runs=runs, settings=settings(), name="trained", out=tmp_path / "models")
    made_with = cards.read("trained")["made_with"]
    assert made_with["architecture_of"] == {"name": "searched", "task": "denoise"}
    assert set(made_with) == {"profile", "seed", "architecture_of", "space", "network", "retrain", "tone"}
    assert set(cards.read("searched")["made_with"]) == set(cards.read("of-another-search")["made_with"])
    assert "search" in cards.read("searched")["made_with"]


def test_scores_on_v_lie_beside_the_network_where_the_run_has_kept_them(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    recorded = [("1", "train_loss", "0.5"), ("2", "psnr_db", "25.5"), ("2", "ssim", "0.7")]
    columns = ("step", "metric", "value")
    write_csv(runs / "retrain/history.csv", [dict(zip(columns, row, strict=True)) for row in recorded], columns)
    shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    kept = read_csv(tmp_path / "models/mine/validation.csv")
    assert [tuple(row.values()) for row in kept] == recorded[1:]
    assert "validation.csv" in zoo.card("mine")["sha256"] and zoo.folder("mine")

    (runs / "retrain/history.csv").unlink()
    shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    assert not (tmp_path / "models/mine/validation.csv").exists()
    assert "validation.csv" not in zoo.card("mine")["sha256"] and zoo.folder("mine")


def test_a_run_that_is_not_finished_leaves_nothing(runs, tmp_path):
    (runs / "evaluate/scores.csv").unlink()
    with pytest.raises(ValueError, match=r"must have the file .*evaluate/scores\.csv, got none"):
        shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 70}, r"must be the settings of the run in .*, a network for denoise at sigma 50, got denoise at 70"),
        ({"dataset": "folder"}, "dataset"),
    ],
)
def test_another_run_s_settings_and_images_of_one_s_own_are_refused(runs, tmp_path, change, message):
    values = settings().values
    other = Settings(values | {"params": values["params"] | change}, "settings.yaml")
    with pytest.raises(ValueError, match=message):
        shelve.run(runs=runs, settings=other, name="mine", out=tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("receipt", "message"),
    [
        (
            {"seed": 1},
            r"must be the settings of the run in .*, got params\.seed 0 where its retrain had 1; run the pipeline",
        ),
        ({"profile": "small"}, r"got params\.profile 'demo' where its retrain had 'small'"),
        ({"settings": {"retrain.lr_max": 0.5}}, r"got retrain\.lr_max .* where its retrain had 0\.5"),
    ],
)
def test_settings_that_a_stage_did_not_have_are_refused(runs, tmp_path, receipt, message):
    had = read_json(runs / "receipts/retrain.json")
    write_json(runs / "receipts/retrain.json", had | receipt)
    with pytest.raises(ValueError, match=message):
        shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_scores_of_other_weights_are_refused(runs, tmp_path):
    metrics = read_json(runs / "evaluate/metrics.json")
    write_json(runs / "evaluate/metrics.json", metrics | {"weights_sha256": "0" * 64})
    with pytest.raises(ValueError, match=r"must be of the network in .*, got scores of another; run evaluate again"):
        shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_one_image_has_no_interval():
    row = {"protocol": "whole", "psnr_db": "30.5", "ssim_zero_padded": "0.9", "ssim_valid": "0.8"}
    assert shelve.of_protocols([row])["whole"] == {
        "images": 1, "psnr_db": 30.5, "ssim_zero_padded": 0.9, "ssim_valid": 0.8,
    }  # fmt: skip


def test_a_full_disk_is_named_and_no_card_vouches_for_half_a_network(runs, disk):
    (disk / "filler").write_bytes(bytes((1 << 20) - 8192))  # room for the description, and none for the weights
    with pytest.raises(OSError, match="No space left on device") as caught:
        shelve.run(runs=runs, settings=settings(), name="mine", out=disk)
    assert caught.value.filename == str(disk / "mine/best.safetensors")
    assert [path.name for path in (disk / "mine").iterdir()] == ["model.json"]


def test_scores_without_whole_are_refused(runs, tmp_path):
    rows = [row for row in read_csv(runs / "evaluate/scores.csv") if row["protocol"] != "whole"]
    write_csv(runs / "evaluate/scores.csv", rows, ["method", *shelve.COLUMNS])
    with pytest.raises(ValueError, match=r"must have scores under the protocol whole, got \['overlap'\]"):
        shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.fixture
def data(runs, tmp_path, monkeypatch) -> Path:
    """The shipped network `mine`, and its pictures where `scores` looks for them."""
    shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")
    data = tmp_path / "work/demo-denoise-bsd500"
    data.mkdir(parents=True)
    (runs / "pair").rename(data / "pictures")
    (runs / "split").rename(data / "split")
    write_json(data / "made_with.json", data_stage.facts(settings()))
    return data


def again(place: Path, *words: str) -> tuple[int, str]:
    """`scores` on pictures that are there already: its exit status and what it printed."""
    found = CliRunner().invoke(
        commands.build("scores"), ["scores", *words, "--work", str(place), "--profiles", str(ROOT / "profiles")]
    )
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.output


def test_scores_again_are_those_of_the_card_or_the_command_fails(data, tmp_path):

    status, said = again(tmp_path / "work")
    assert status == 0 and "| mine | whole | 2 |" in said and said.count("0.0e+00") == 2
    assert said.count(" dB, as on its card\n") == 2

    write_json(data / "split/split.json", {"w": [], "a": [], "v": [], "test": TEST[:1]})
    found = CliRunner().invoke(
        commands.build("scores"), ["scores", "--work", str(tmp_path / "work"), "--profiles", str(ROOT / "profiles")]
    )
    assert isinstance(found.exception, ValueError) and "must have scores of the 1 test images" in str(found.exception)
    write_json(data / "split/split.json", {"w": [], "a": [], "v": [], "test": TEST})

    path = tmp_path / "models/mine/scores.csv"
    rows = read_csv(path)
    rows[0]["psnr_db"] = str(float(rows[0]["psnr_db"]) + 0.01)
    write_csv(path, rows, shelve.COLUMNS)
    card = read_json(tmp_path / "models/mine/card.json")
    del card["sha256"]["scores.csv"]
    write_json(tmp_path / "models/mine/card.json", card)
    status, said = again(tmp_path / "work", "mine")
    assert status == 1 and "1.0e-02" in said and " dB, up to 0.01 dB from its card\n" in said


def test_further_protocols_are_put_on_the_card(data, tmp_path):
    before = zoo.card("mine")["scores"]

    status, said = again(tmp_path / "work", "--also", "whole", "--also", "clipped8")
    assert status == 0 and "| mine | clipped8 | 2 |" in said and "| whole |" not in said
    scores_now = zoo.card("mine")["scores"]
    assert list(scores_now) == ["whole", "overlap", "clipped8"] and scores_now | before == scores_now
    rows = [row for row in read_csv(zoo.folder("mine") / "scores.csv") if row["protocol"] == "clipped8"]
    assert [row["name"] for row in rows] == TEST
    assert scores_now["clipped8"]["psnr_db"] == pytest.approx(sum(float(row["psnr_db"]) for row in rows) / 2)

    status, said = again(tmp_path / "work", "--also", "clipped8")  # there is nothing left to score
    assert status == 0 and "clipped8" not in said
    status, said = again(tmp_path / "work")
    assert status == 0 and said.count("0.0e+00") == 3
    found = CliRunner().invoke(commands.build("scores"), ["scores", "--also", "halfway"])
    assert isinstance(found.exception, ValueError) and "got 'halfway'" in str(found.exception)


def test_scores_again_under_one_of_the_cards_protocols(data, tmp_path):
    status, said = again(tmp_path / "work", "--under", "overlap", "--under", "clearer")
    assert status == 0 and "| mine | overlap | 2 |" in said and "| whole |" not in said and said.count("0.0e+00") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--under", "clearer"], "one of the networks must have scores under clearer, got mine, which have none"),
        (
            ["--under", "whole", "--also", "clipped8"],
            r"\(--under\) or further ones \(--also\), got \['whole'\] and \['clipped8'\]",
        ),
        (["--under", "halfway"], "got 'halfway'"),
    ],
)
def test_protocols_that_cannot_be_scored_again_are_refused(data, tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        again(tmp_path / "work", *words)


def test_the_pictures_are_made_where_there_are_none(runs, tmp_path, monkeypatch):
    shelve.run(runs=runs, settings=settings(), name="mine", out=tmp_path / "models")
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "models")

    def make(**given: object) -> None:
        raise InterruptedError(str(given["out"]))

    monkeypatch.setattr(scores.import_module(scores.DATA), "run", make)
    with pytest.raises(InterruptedError, match="work/demo-denoise-bsd500"):
        scores.run(
            names=[], profiles=ROOT / "profiles", shipped=tmp_path, known=tmp_path / "k.csv", work=tmp_path / "work"
        )
