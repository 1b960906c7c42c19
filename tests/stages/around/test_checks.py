"""Checks pass on good files; on bad ones they name the row and leave the JSON result."""

import hashlib
import math
from pathlib import Path

import pytest
from picture_folder import list_pictures
from PIL import Image

from nasir.files import read_csv, read_json, write_csv, write_json
from stages.around import checks

pytest.importorskip("great_expectations")

MANIFEST = ("path", "split", "bytes", "sha256", "width", "height", "mode")
NOISE = ("name", "split", "sigma", "seed", "height", "width", "measured_sigma", "mean_noise", "noisy_psnr_db", "sha256")
SCORES = ("method", "protocol", "name", "psnr_db", "ssim_zero_padded", "ssim_valid")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three training images and one test image, 48 x 40, with their manifest."""
    folder = tmp_path / "images"
    rows = []
    for number, split in enumerate(("train", "train", "train", "test")):
        path = folder / split / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 40), (number, 0, 0)).save(path)
        rows.append(
            {
                "path": f"{split}/{number}.png",
                "split": split,
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "width": 48,
                "height": 40,
                "mode": "RGB",
            }
        )
    write_csv(folder / "manifest.csv", rows, MANIFEST)
    list_pictures(folder, [row["path"].removesuffix(".png") for row in rows])
    return folder


def edit(path: Path, number: int, **values: object) -> None:
    """Change some values of a row of a CSV file."""
    rows = read_csv(path)
    rows[number] |= {key: str(value) for key, value in values.items()}
    write_csv(path, rows, list(rows[0]))


def failures(out: Path) -> dict[str, list[str]]:
    """Rows that fail, by column, from a JSON result."""
    result = read_json(out)
    assert result["success"] == all(one["success"] for one in result["expectations"])
    return {one["column"]: one["unexpected"] for one in result["expectations"] if not one["success"]}


def test_a_downloaded_image_that_pillow_takes_for_an_attack_is_named(images, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 40 // 2 - 1)

    with pytest.raises(ValueError, match=r"test/3\.png"):
        checks.check_download(images, tmp_path / "out.json")


def test_downloaded_images_that_match_their_manifest_pass(images, tmp_path):
    checks.check_download(images, tmp_path / "out.json", {"train": 3, "test": 1})

    result = read_json(tmp_path / "out.json")
    assert result["check"] == "download"
    assert result["success"] is True
    assert len(result["expectations"]) == 12


def test_a_changed_image_is_named_with_its_hash(images, tmp_path):
    with (images / "train/1.png").open("ab") as file:
        file.write(b"x")

    with pytest.raises(ValueError, match=r"pair_values_to_be_equal on sha256, found_sha256 fails for train/1.png"):
        checks.check_download(images, tmp_path / "out.json")

    assert failures(tmp_path / "out.json") == {
        "bytes, found_bytes": ["train/1.png"],
        "sha256, found_sha256": ["train/1.png"],
    }


def test_a_missing_image_and_a_further_image_are_named(images, tmp_path):
    (images / "test/3.png").rename(images / "test/4.png")

    with pytest.raises(ValueError, match=r"not_be_null on found_bytes fails for test/3.png"):
        checks.check_download(images, tmp_path / "out.json")

    found = failures(tmp_path / "out.json")
    assert found["found_bytes"] == ["test/3.png"]
    assert found["mode, found_mode"] == ["test/3.png"]
    assert found["is_listed"] == ["test/4.png"]


def test_a_file_that_is_no_image_is_named(images, tmp_path):
    (images / "train/0.png").write_bytes(b"no image")

    with pytest.raises(ValueError, match=r"found_mode fails for train/0.png \(\['RGB', None\]\)"):
        checks.check_download(images, tmp_path / "out.json")


def test_a_count_that_differs_from_the_data_set_names_the_split(images, tmp_path):
    with pytest.raises(ValueError, match=r"images, expected fails for train \(\[3, 300\]\)"):
        checks.check_download(images, tmp_path / "out.json", {"train": 300, "test": 1})


def test_a_data_set_without_test_images_is_refused(images, tmp_path):
    edit(images / "manifest.csv", 3, split="train")

    with pytest.raises(ValueError, match=r"to_be_between on images fails for test \(0\)"):
        checks.check_download(images, tmp_path / "out.json")


@pytest.fixture
def noise(images: Path, tmp_path: Path) -> Path:
    """A description of exact noise at sigma 50 for the four images."""
    names = ["train/0", "train/1", "train/2", "test/3"]
    fixed = {"sigma": 50.0, "seed": 0, "height": 40, "width": 48, "noisy_psnr_db": 14.9}
    rows = [
        {"name": name, "split": name.partition("/")[0], "measured_sigma": 50.0, "mean_noise": 0.0}
        | fixed
        | {"sha256": hashlib.sha256(name.encode()).hexdigest()}
        for name in names
    ]
    write_csv(tmp_path / "noise.csv", rows, NOISE)
    return tmp_path / "noise.csv"


def test_noise_within_five_standard_errors_passes_and_beyond_them_names_the_image(images, noise, tmp_path):
    # n = 48 * 40 = 1920: the standard error of s is 50 / sqrt(3840) = 0.8069, that of m is 50 / sqrt(1920) = 1.1411.
    edit(noise, 0, measured_sigma=50 + 4.9 * 0.8069, mean_noise=-4.9 * 1.1411)
    checks.check_synthesize(noise, images, "denoise", 50.0, tmp_path / "out.json")

    edit(noise, 0, measured_sigma=50 + 5.1 * 0.8069)
    edit(noise, 1, mean_noise=-5.1 * 1.1411)
    with pytest.raises(ValueError, match=r"z_sigma fails for train/0 \(5.1"):
        checks.check_synthesize(noise, images, "denoise", 50.0, tmp_path / "out.json")

    assert failures(tmp_path / "out.json") == {"z_sigma": ["train/0"], "z_mean": ["train/1"]}


def test_noise_of_another_sigma_shape_or_hash_is_named(images, noise, tmp_path):
    edit(noise, 0, height=48, width=40)
    edit(noise, 1, sha256="abc")
    edit(noise, 2, sigma=30.0)
    edit(noise, 3, measured_sigma="nan")

    with pytest.raises(ValueError, match="run the synthesize step again"):
        checks.check_synthesize(noise, images, "denoise", 50.0, tmp_path / "out.json")

    assert failures(tmp_path / "out.json") == {
        "sigma": ["train/2"],
        "z_sigma": ["test/3"],
        "height, image_height": ["train/0"],
        "width, image_width": ["train/0"],
        "sha256": ["train/1"],
    }


def test_an_image_without_noise_and_noise_without_an_image_are_named(images, noise, tmp_path):
    edit(noise, 3, name="test/9")

    with pytest.raises(ValueError, match=r"rows fails for test/3 \(0\)"):
        checks.check_synthesize(noise, images, "denoise", 50.0, tmp_path / "out.json")

    assert failures(tmp_path / "out.json")["height, image_height"] == ["test/9"]


def test_at_sigma_zero_only_noise_of_zero_passes(images, noise, tmp_path):
    for number in range(4):
        edit(noise, number, sigma=0.0, measured_sigma=0.0)
    checks.check_synthesize(noise, images, "denoise", 0.0, tmp_path / "out.json")

    edit(noise, 2, mean_noise=1e-6)
    with pytest.raises(ValueError, match=r"z_mean fails for train/2 \(inf\)"):
        checks.check_synthesize(noise, images, "denoise", 0.0, tmp_path / "out.json")


def test_one_noise_for_two_images_is_refused_and_of_pairs_only_that_of_two_groups(images, noise, tmp_path):
    same = read_csv(noise)[0]["sha256"]
    edit(noise, 1, sha256=same)
    with pytest.raises(ValueError, match="to_be_unique on sha256 fails for train/0"):
        checks.check_synthesize(noise, images, "denoise", 50.0, tmp_path / "out.json")

    with pytest.raises(ValueError, match=r"groups fails for train/0 \(2\)"):
        checks.check_synthesize(noise, images, "derain", 50.0, tmp_path / "out.json")
    edit(images / "pictures.csv", 1, group=read_csv(images / "pictures.csv")[0]["group"])
    checks.check_synthesize(noise, images, "derain", 50.0, tmp_path / "out.json")


GOOD_SPLIT = {"seed": 0, "exclude_leaks": True, "leaks": []}
GOOD_SPLIT |= {"w": ["train/0"], "a": ["train/1"], "v": ["train/2"], "test": ["test/3"]}


def test_a_complete_and_disjoint_split_passes(images, tmp_path):
    write_json(tmp_path / "split.json", GOOD_SPLIT)

    checks.check_split(tmp_path / "split.json", images, tmp_path / "out.json")

    assert failures(tmp_path / "out.json") == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"a": ["train/1", "train/0"]}, {"places": ["train/0"], "parts": ["train/0"]}),
        ({"a": ["train/1", "train/1"]}, {"places": ["train/1"]}),
        ({"w": []}, {"places": ["train/0"], "side, listed_side": ["train/0"], "images": ["w"]}),
        ({"v": []}, {"places": ["train/2"], "side, listed_side": ["train/2"], "images": ["v"]}),
        ({"w": ["test/3"], "test": ["train/0"]}, {"side, listed_side": ["test/3", "train/0"]}),
        ({"v": ["train/2", "train/7"]}, {"side, listed_side": ["train/7"]}),
    ],
)
def test_a_split_that_overlaps_leaves_out_or_mixes_names_the_images(images, tmp_path, change, expected):
    write_json(tmp_path / "split.json", GOOD_SPLIT | change)

    with pytest.raises(ValueError, match="the split check expected"):
        checks.check_split(tmp_path / "split.json", images, tmp_path / "out.json")

    assert failures(tmp_path / "out.json") == expected


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Scores of two methods under two protocols, and the means made of them."""
    measures = {"psnr_db": 25.0, "ssim_zero_padded": 0.7, "ssim_valid": 0.6}
    pairs = [(method, protocol) for method in ("noisy", "nasir") for protocol in ("whole", "overlap")]
    rows = [{"method": m, "protocol": p, "name": "test/3", **measures} for m, p in pairs]
    write_csv(tmp_path / "scores.csv", rows, SCORES)
    means = {method: {"whole": measures, "overlap": measures} for method in ("noisy", "nasir")}
    write_json(tmp_path / "metrics.json", {"sigma": 50, "methods": means})
    return tmp_path / "scores.csv"


def test_complete_and_sane_scores_pass(images, scores, tmp_path):
    checks.check_evaluate(scores, images, tmp_path / "metrics.json", tmp_path / "out.json")

    assert failures(tmp_path / "out.json") == {}


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"psnr_db": math.inf}, "psnr_db"),
        ({"psnr_db": math.nan}, "psnr_db"),
        ({"psnr_db": -1.0}, "psnr_db"),
        ({"psnr_db": "much"}, "psnr_db"),
        ({"ssim_zero_padded": 1.01}, "ssim_zero_padded"),
        ({"ssim_valid": -1.01}, "ssim_valid"),
    ],
)
def test_a_score_that_is_not_finite_or_out_of_range_names_its_row(images, scores, tmp_path, values, column):
    edit(scores, 2, **values)

    with pytest.raises(ValueError, match=rf"on {column} fails for nasir/whole/test/3"):
        checks.check_evaluate(scores, images, tmp_path / "metrics.json", tmp_path / "out.json")

    assert "nasir/whole/test/3" in (tmp_path / "out.json").read_text()


def test_scores_that_are_not_those_of_the_means_are_named(images, scores, tmp_path):
    edit(scores, 1, ssim_valid=0.61)

    with pytest.raises(ValueError, match=r"ssim_valid fails for noisy/overlap"):
        checks.check_evaluate(scores, images, tmp_path / "metrics.json", tmp_path / "out.json")


def test_missing_doubled_and_further_rows_are_named(images, scores, tmp_path):
    rows = read_csv(scores)
    write_csv(scores, [rows[0], rows[0], rows[1], rows[2], rows[3] | {"name": "test/5"}], SCORES)

    with pytest.raises(ValueError, match="the evaluate check expected"):
        checks.check_evaluate(scores, images, tmp_path / "metrics.json", tmp_path / "out.json")

    found = failures(tmp_path / "out.json")
    assert found["rows"] == ["nasir/overlap/test/3", "noisy/whole/test/3"]
    assert found["is_wanted"] == ["nasir/overlap/test/5"]


def test_scores_without_the_network_are_refused(images, scores, tmp_path):
    write_csv(scores, read_csv(scores)[:2], SCORES)
    metrics = read_json(tmp_path / "metrics.json")
    del metrics["methods"]["nasir"]
    write_json(tmp_path / "metrics.json", metrics)

    with pytest.raises(ValueError, match=r"rows fails for nasir/overlap/test/3 \(0\), nasir/whole/test/3 \(0\)"):
        checks.check_evaluate(scores, images, tmp_path / "metrics.json", tmp_path / "out.json")
