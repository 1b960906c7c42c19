"""The evaluate stage, with a network that smooths in place of a trained one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from picture_folder import list_pictures
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from nasir.config.evaluate import EvaluateConfig
from nasir.config.synthesize import SynthesizeConfig
from nasir.data.pictures.collection import detail
from nasir.data.pictures.images import load_grey, load_rgb, save_png
from nasir.files import read_csv, read_json, sha256_file, write_csv, write_json, write_text
from nasir.inference import model
from nasir.inference.tiling import Tiling
from stages import evaluate, synthesize

PARTS = {"w": ["train/w"], "a": ["train/a"], "v": ["train/v"], "test": ["test/1", "test/2", "test/3", "test/4"]}
METHODS = ["noisy", "tv", "nlm", "nasir"]
SILENT = SynthesizeConfig(previews=0)
CONFIG = EvaluateConfig(
    protocols=("whole", "overlap"), batch=3, tv_factors=(0.01, 0.8), nlm_factors=(0.01, 0.8), device="cpu"
)


class Smoother:
    """Stands in for a trained network: a 5x5 mean of each channel."""

    def __init__(self, channels: int = 1, sigma: float = 50.0) -> None:
        self.network = nn.Conv2d(channels, channels, 5, padding=2, padding_mode="reflect", bias=False, groups=channels)
        self.network.weight.data.fill_(1 / 25)
        self.sigma = sigma
        self.channels = channels
        self.parameters = 25 * channels
        self.tiling: Tiling | None = None
        self.calls = 0

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        self.calls += 1
        return self.network(noisy)


def ignore(step: int, values: dict[str, float]) -> None:
    """Take news and drop it."""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """What the steps before leave: seven smooth images, their noise described, a split and a network."""
    images = tmp_path / "pictures"
    names = [name for part in PARTS.values() for name in part]
    for number, name in enumerate(names):
        texture = gaussian_filter(np.random.default_rng(number).random((70 + number, 90)), 1 + number)
        stretched = (texture - texture.min()) / (texture.max() - texture.min())
        save_png(images / f"{name}.png", np.rint(255 * stretched).astype(np.uint8))
    list_pictures(images, names)
    synthesize.run(
        pictures=images, out=tmp_path / "synthesize", task="denoise", sigma=50, seed=0, config=SILENT, log=ignore
    )
    write_json(tmp_path / "split" / "split.json", {"seed": 0, **PARTS})
    write_text(tmp_path / "model/best.safetensors", "weights")
    monkeypatch.setattr(model, "load", lambda folder, device: Smoother())
    return {name: tmp_path / name for name in ("pictures", "synthesize", "split", "model")}


def run(folders: dict[str, Path], out: Path, sigma: float = 50, seed: int = 0) -> list[tuple[int, dict[str, float]]]:
    news: list[tuple[int, dict[str, float]]] = []
    evaluate.run(
        **folders,
        out=out,
        task="denoise",
        sigma=sigma,
        seed=seed,
        config=CONFIG,
        log=lambda step, values: news.append((step, values)),
    )
    return news


def test_every_method_protocol_and_test_image_has_a_row(folders, tmp_path):
    run(folders, tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "scores.csv")

    assert [(row["method"], row["protocol"], row["name"]) for row in rows] == [
        (method, protocol, name) for method in METHODS for protocol in ("whole", "overlap") for name in PARTS["test"]
    ]


def test_noisy_rows_under_whole_are_those_of_the_synthesize_step(folders, tmp_path):
    run(folders, tmp_path / "out")

    described = {row["name"]: float(row["noisy_psnr_db"]) for row in read_csv(folders["synthesize"] / "manifest.csv")}
    for row in read_csv(tmp_path / "out" / "scores.csv"):
        if (row["method"], row["protocol"]) == ("noisy", "whole"):
            assert float(row["psnr_db"]) == described[row["name"]]


def test_metrics_are_means_of_the_scores_and_the_costs_of_the_network(folders, tmp_path):
    run(folders, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")
    rows = read_csv(tmp_path / "out" / "scores.csv")

    assert {key: metrics[key] for key in ("sigma", "images", "parameters", "flops_per_pixel")} == {
        "sigma": 50,
        "images": 4,
        "parameters": 25,
        "flops_per_pixel": 50,
    }
    assert metrics["weights_sha256"] == sha256_file(folders["model"] / "best.safetensors")
    for method in METHODS:
        for protocol in ("whole", "overlap"):
            mine = [row for row in rows if (row["method"], row["protocol"]) == (method, protocol)]
            for name, value in metrics["methods"][method][protocol].items():
                assert value == pytest.approx(sum(float(row[name]) for row in mine) / 4)


def test_classical_rows_are_tuned_on_v(folders, tmp_path):
    # 0.01 hardly denoises at all; 0.8 * 50 / 255 = 0.1569 is the better of the two
    run(folders, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")

    assert metrics["classical"]["tv"]["weight"] == pytest.approx(0.8 * 50 / 255)
    assert metrics["classical"]["nlm"]["h"] == pytest.approx(0.8 * 50 / 255)
    for method in ("tv", "nlm", "nasir"):
        gain = metrics["methods"][method]["whole"]["psnr_db"] - metrics["methods"]["noisy"]["whole"]["psnr_db"]
        assert gain > 5


def test_two_runs_write_the_same_bytes_outside_of_the_timing(folders, tmp_path):
    for name in ("first", "again"):
        run(folders, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file())

    assert len(files) == 3 + 1 + 4 * 6 + 4 * 3
    for file in files:
        if file.name != "timing.json":
            assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_timing_says_how_images_were_cut(folders, tmp_path, monkeypatch):
    run(folders, tmp_path / "whole")
    assert read_json(tmp_path / "whole" / "timing.json")["tiling"] is None

    cutting = Smoother()
    cutting.tiling = Tiling(tile=512, halo=9, largest_offset=2.5, tiles=24, repeated=1)
    monkeypatch.setattr(model, "load", lambda folder, device: cutting)
    run(folders, tmp_path / "cut")
    assert read_json(tmp_path / "cut" / "timing.json")["tiling"] == {
        "tile": 512,
        "halo": 9,
        "largest_offset": 2.5,
        "tiles": 24,
        "repeated": 1,
    }


def test_timing_has_seconds_for_every_method_and_protocol(folders, tmp_path):
    run(folders, tmp_path / "out")
    seconds = read_json(tmp_path / "out" / "timing.json")["seconds_per_image"]

    assert {method: sorted(of) for method, of in seconds.items()} == {m: ["overlap", "whole"] for m in METHODS}
    assert all(0 < value < 10 for of in seconds.values() for value in of.values())


def test_pictures_show_the_worst_the_median_and_the_best_image(folders, tmp_path):
    run(folders, tmp_path / "out")
    pictures = read_json(tmp_path / "out" / "pictures" / "pictures.json")
    rows = [row for row in read_csv(tmp_path / "out" / "scores.csv") if row["protocol"] == "whole"]
    ours = {row["name"]: float(row["psnr_db"]) for row in rows if row["method"] == "nasir"}
    noisy = {row["name"]: float(row["psnr_db"]) for row in rows if row["method"] == "noisy"}
    ordered = sorted(ours, key=lambda name: ours[name])

    assert [(p["rank"], p["place"], p["name"]) for p in pictures] == [
        ("worst", 1, ordered[0]),
        ("median", 2, ordered[1]),  # the lower of the middle two
        ("best", 4, ordered[3]),
        ("3", 3, ordered[2]),
    ]
    for method in ("tv", "nlm"):
        scored = {row["name"]: float(row["psnr_db"]) for row in rows if row["method"] == method}
        assert [p["classical_psnr_db"][method] for p in pictures] == [scored[p["name"]] for p in pictures]
    for picture in pictures:
        folder = tmp_path / "out" / "pictures" / picture["rank"]
        shown = {name: load_grey(folder / f"{name}.png") for name in ("clean", "noisy", "restored", "error")}
        assert np.array_equal(shown["clean"], load_grey(folders["pictures"] / f"{picture['name']}.png"))
        assert picture["psnr_db"] == ours[picture["name"]]
        assert picture["noisy_psnr_db"] == noisy[picture["name"]]
        for name, expected in (("restored", picture["psnr_db"]), ("noisy", picture["noisy_psnr_db"])):
            error = np.mean((shown[name] / 255 - shown["clean"] / 255) ** 2)
            assert -10 * np.log10(error) == pytest.approx(expected, abs=0.02)  # up to the rounding to 8 bits
        difference = 4 * np.abs(shown["restored"].astype(float) - shown["clean"])
        assert np.abs(shown["error"] - np.minimum(difference, 255)).max() <= 4 * 0.5 + 0.5
        assert picture["error_gain"] == 4


def test_of_other_images_a_detail_is_kept_in_the_same_place_of_all_pictures_and_of_so_many_alone(
    folders, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluate, "SIDE", 16)
    run(folders, tmp_path / "out")
    [*_, other] = read_json(tmp_path / "out/pictures/pictures.json")
    folder = tmp_path / "out/pictures/3"
    whole = load_grey(folders["pictures"] / f"{other['name']}.png")
    top, left = detail(whole.astype(float), 16)
    assert np.array_equal(load_grey(folder / "clean.png"), whole[top : top + 16, left : left + 16])
    kinds = ("clean", "error", "nlm", "noisy", "restored", "tv")
    assert {path.stem: load_grey(path).shape for path in folder.iterdir()} == dict.fromkeys(kinds, (16, 16))

    monkeypatch.setattr(evaluate, "MOST_SHOWN", 3)
    run(folders, tmp_path / "few")
    ranks = [row["rank"] for row in read_json(tmp_path / "few/pictures/pictures.json")]
    assert ranks == ["worst", "median", "best"]


def test_crops_are_the_middle_of_the_same_images_whatever_their_scores(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "CROPS", 3)
    monkeypatch.setattr(evaluate, "CROP", 16)
    run(folders, tmp_path / "out")

    crops = {path.stem: load_grey(path) for path in (tmp_path / "out" / evaluate.PICTURES).iterdir()}
    kinds = ("clean", "noisy", "restored")
    assert sorted(crops) == [f"{one} {kind}" for one in ("1 1", "2 3", "3 4") for kind in kinds]  # 1.5 rounds to even
    clean = load_grey(folders["pictures"] / "test/1.png")  # 73 by 90: above are (73 - 16) // 2, left (90 - 16) // 2
    assert np.array_equal(crops["1 1 clean"], clean[28:44, 37:53])
    assert not np.array_equal(crops["1 1 noisy"], crops["1 1 restored"])


def test_news_come_once_for_each_score(folders, tmp_path):
    news = run(folders, tmp_path / "out")

    *news, (last, means) = news
    assert [step for step, _ in news] == list(range(1, 4 * 2 * 4 + 1))
    metrics = read_json(tmp_path / "out/metrics.json")
    assert (last, means["parameters"]) == (4 * 2 * 4, metrics["parameters"])
    assert means["mean_nasir_overlap_psnr_db"] == metrics["methods"]["nasir"]["overlap"]["psnr_db"]
    assert len(means) == 4 * 2 * 3 + 1
    assert [key for _, values in news for key in values] == [
        f"{method}_{protocol}_psnr_db" for method in METHODS for _ in PARTS["test"] for protocol in ("whole", "overlap")
    ]


def test_noisy_images_that_differ_from_the_described_ones_are_refused(folders, tmp_path):
    path = folders["synthesize"] / "manifest.csv"
    rows = read_csv(path)
    for row in rows:
        if row["name"] == "test/3":
            row["sha256"] = "0" * 64
    write_csv(path, rows, synthesize.COLUMNS)

    with pytest.raises(
        ValueError, match=r"'test/3' must have the SHA-256 000000000000\.\.\. .* run the synthesize step"
    ):
        run(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("sigma", "seed"), [(30, 0), (50, 1)])
def test_another_sigma_or_seed_than_synthesized_is_refused(folders, tmp_path, sigma, seed):
    with pytest.raises(ValueError, match=rf"must be for sigma {sigma} and seed {seed}, got sigma 50 and seed 0"):
        run(folders, tmp_path / "out", sigma=sigma, seed=seed)


def test_images_without_a_described_noise_are_named(folders, tmp_path):
    path = folders["synthesize"] / "manifest.csv"
    write_csv(path, [row for row in read_csv(path) if row["name"] != "train/v"], synthesize.COLUMNS)

    with pytest.raises(ValueError, match="must describe every image, got no row for 'train/v'"):
        run(folders, tmp_path / "out")


def test_a_split_without_test_images_is_refused(folders, tmp_path):
    path = folders["split"] / "split.json"
    path.write_text(json.dumps({**read_json(path), "test": []}))

    with pytest.raises(ValueError, match=r"split.json: test must name at least one image, got none"):
        run(folders, tmp_path / "out")


def test_pairs_are_scored_as_they_are_without_denoisers_of_gaussian_noise(folders, tmp_path, monkeypatch):
    names = [name for part in PARTS.values() for name in part]
    for number, name in enumerate(names):
        clean = load_rgb(folders["pictures"] / f"{name}.png")
        noise = np.random.default_rng(number).normal(0, 30, clean.shape)
        save_png(folders["pictures"] / f"{name}.png", clean)
        save_png(folders["pictures"] / f"noisy/{name}.png", np.clip(clean + noise, 0, 255).astype(np.uint8))
    list_pictures(folders["pictures"], names, degraded="noisy")
    common = {"task": "camera", "sigma": 0.0, "seed": 0, "log": ignore}
    synthesize.run(pictures=folders["pictures"], out=folders["synthesize"], config=SILENT, **common)
    network = Smoother(channels=3, sigma=0.0)
    monkeypatch.setattr(model, "load", lambda folder, device: network)
    settings = replace(CONFIG, protocols=("whole", "whole+y"))

    evaluate.run(**folders, out=tmp_path / "out", config=settings, **common)

    metrics = read_json(tmp_path / "out/metrics.json")
    assert list(metrics["methods"]) == ["noisy", "nasir"]
    assert metrics["classical"] == {}
    described = {row["name"]: float(row["noisy_psnr_db"]) for row in read_csv(folders["synthesize"] / "manifest.csv")}
    scores = read_csv(tmp_path / "out/scores.csv")
    for row in scores:
        if (row["method"], row["protocol"]) == ("noisy", "whole"):
            assert float(row["psnr_db"]) == pytest.approx(described[row["name"]], abs=1e-6)
    for protocol in settings.protocols:
        assert metrics["methods"]["nasir"][protocol]["psnr_db"] > metrics["methods"]["noisy"][protocol]["psnr_db"] + 3
    assert len(scores) == evaluate.count(folders["split"], "camera", settings) == 2 * 2 * 4
    assert network.calls == 4 + 4 + 4  # one restoration serves both protocols; pictures and crops of four
    assert load_rgb(tmp_path / "out/pictures/best/noisy.png").shape[2] == 3
