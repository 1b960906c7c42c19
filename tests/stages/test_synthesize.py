"""The synthesize stage: a row for each image that anyone can recompute."""

from pathlib import Path

import numpy as np
import pytest
from picture_folder import list_pictures

from nasir.config.synthesize import SynthesizeConfig
from nasir.data.pictures.images import load_grey, save_png
from nasir.files import read_csv
from stages import synthesize

NAMES = {"train/one": (70, 90), "test/two": (64, 80), "test/three": (100, 66)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A small data set: ramps between 60 and 190, so that little is clipped."""
    folder = tmp_path / "images"
    for name, (height, width) in NAMES.items():
        ramp = np.linspace(60, 190, height * width).reshape(height, width)
        save_png(folder / f"{name}.png", ramp.astype(np.uint8))
    list_pictures(folder, NAMES)
    return folder


def run(images: Path, out: Path, sigma: float = 50, previews: int = 1) -> list[tuple[int, dict[str, float]]]:
    news: list[tuple[int, dict[str, float]]] = []
    synthesize.run(
        pictures=images,
        out=out,
        task="denoise",
        sigma=sigma,
        seed=3,
        config=SynthesizeConfig(previews=previews),
        log=lambda step, values: news.append((step, values)),
    )
    return news


def test_every_image_gets_a_row_with_its_measured_noise(images, tmp_path):
    run(images, tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "manifest.csv")

    assert [row["name"] for row in rows] == list(NAMES)
    assert [row["split"] for row in rows] == ["train", "test", "test"]
    for row in rows:
        pixels = int(row["height"]) * int(row["width"])
        assert (int(row["height"]), int(row["width"])) == NAMES[row["name"]]
        assert (float(row["sigma"]), int(row["seed"])) == (50, 3)
        assert float(row["measured_sigma"]) == pytest.approx(50, abs=4 * 50 / np.sqrt(2 * pixels))
        assert float(row["mean_noise"]) == pytest.approx(0, abs=4 * 50 / np.sqrt(pixels))


def test_noisy_psnr_is_of_the_clipped_image(images, tmp_path):
    # At sigma 10 nothing reaches 0 or 255: PSNR = -20 log10(measured sigma / 255), up to the square of the mean noise.
    run(images, tmp_path / "out", sigma=10)

    for row in read_csv(tmp_path / "out" / "manifest.csv"):
        power = float(row["measured_sigma"]) ** 2 + float(row["mean_noise"]) ** 2
        assert float(row["noisy_psnr_db"]) == pytest.approx(-10 * np.log10(power / 255**2), abs=1e-4)

    # At sigma 70 clipping takes away the largest errors.
    run(images, tmp_path / "out", sigma=70)

    for row in read_csv(tmp_path / "out" / "manifest.csv"):
        assert float(row["noisy_psnr_db"]) > -20 * np.log10(float(row["measured_sigma"]) / 255) + 0.2


def test_two_runs_write_the_same_bytes_and_sigma_changes_the_hashes(images, tmp_path):
    for name, sigma in (("first", 50), ("again", 50), ("other", 30)):
        run(images, tmp_path / name, sigma)
    first, again, other = (tmp_path / name / "manifest.csv" for name in ("first", "again", "other"))

    assert first.read_bytes() == again.read_bytes()
    for row, changed in zip(read_csv(first), read_csv(other), strict=True):
        assert row["sha256"] != changed["sha256"]


def test_previews_show_clean_beside_noisy_for_the_first_test_images(images, tmp_path):
    run(images, tmp_path / "out", previews=1)

    previews = sorted((tmp_path / "out" / "previews").iterdir())
    assert [path.name for path in previews] == ["test_two.png"]
    picture, clean = load_grey(previews[0]), load_grey(images / "test/two.png")
    assert picture.shape == (64, 160)
    assert np.array_equal(picture[:, :80], clean)
    assert np.std(picture[:, 80:] - clean.astype(float)) == pytest.approx(50, rel=0.1)


def test_news_come_once_for_each_image(images, tmp_path):
    news = run(images, tmp_path / "out")

    assert [step for step, _ in news] == [1, 2, 3]
    assert set(news[0][1]) == {"measured_sigma", "noisy_psnr_db"}


def test_missing_images_are_named_and_nothing_is_written(images, tmp_path):
    (images / "test/two.png").unlink()

    with pytest.raises(ValueError, match=r"test/two.png must be an image file, got nothing"):
        run(images, tmp_path / "out")
    assert not (tmp_path / "out").exists()
