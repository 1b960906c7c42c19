"""Scores of two folders: flat images by hand, scikit-image for the rest, and what is refused."""

import math

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nasir.evaluation import folders

TEN_LEVELS = 20 * math.log10(255 / 10)
"""PSNR of a difference of 10 grey levels: 28.13 dB."""

TO_Y = 20 * math.log10(255 / 219)
"""What PSNR of Y has above that of R, G and B where all three differ by the same: Y differs by 219/255 of it."""


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(image, dtype=np.uint8)).save(path)


def flat(level, *, channels=0, height=12, width=15):
    return np.full((height, width, channels) if channels else (height, width), level)


def draw(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def compare(tmp_path, noisy=False):
    return folders.compare(tmp_path / "restored", tmp_path / "clean", tmp_path / "noisy" if noisy else None)


def test_ten_grey_levels_are_28_13_db(tmp_path):
    # and the SSIM of two flat images is its first factor: (2 x y + C1) / (x^2 + y^2 + C1)
    save(tmp_path / "clean" / "a.png", flat(100))
    save(tmp_path / "restored" / "a.png", flat(110))
    x, y, c1 = 110 / 255, 100 / 255, 0.0001

    [score] = compare(tmp_path)

    assert (score.name, score.kind) == ("a", "grey")
    assert score.values.keys() == {"psnr_grey_db", "ssim_grey_zero_padded", "ssim_grey_valid"}
    assert score.values["psnr_grey_db"] == pytest.approx(TEN_LEVELS, abs=1e-9)
    assert score.values["ssim_grey_valid"] == pytest.approx((2 * x * y + c1) / (x * x + y * y + c1), abs=1e-9)


def test_ten_levels_in_all_channels_are_the_same_in_rgb_and_grey_and_less_in_y(tmp_path):
    save(tmp_path / "clean" / "a.png", flat(100, channels=3))
    save(tmp_path / "restored" / "a.png", flat(110, channels=3))

    [score] = compare(tmp_path)

    assert score.kind == "colour"
    assert list(score.values) == [name for space in folders.SPACES for name in folders.MEASURES if f"_{space}_" in name]
    assert score.values["psnr_rgb_db"] == pytest.approx(TEN_LEVELS, abs=1e-9)
    assert score.values["psnr_grey_db"] == pytest.approx(TEN_LEVELS, abs=1e-9)
    assert score.values["psnr_y_db"] == pytest.approx(TEN_LEVELS + TO_Y, abs=1e-9)


def test_an_error_in_blue_alone_weighs_differently_in_each_space(tmp_path):
    # 50 levels in blue: the mean square of RGB is a third of it; grey moves by 0.114 * 50 = 5.7, rounded from 100 to 106;
    # Y by 24.966 / 255 * 50 levels
    save(tmp_path / "clean" / "a.png", flat(100, channels=3))
    blue = flat(100, channels=3)
    blue[..., 2] = 150
    save(tmp_path / "restored" / "a.png", blue)

    [score] = compare(tmp_path)

    assert score.values["psnr_rgb_db"] == pytest.approx(20 * math.log10(255 / 50) + 10 * math.log10(3), abs=1e-9)
    assert score.values["psnr_grey_db"] == pytest.approx(20 * math.log10(255 / 6), abs=1e-9)
    assert score.values["psnr_y_db"] == pytest.approx(20 * math.log10(255**2 / (24.966 * 50)), abs=1e-9)


def test_scores_of_colours_equal_scikit_image(tmp_path):
    clean, restored = draw((20, 31, 3), 0), draw((20, 31, 3), 1)
    save(tmp_path / "clean" / "a.png", clean)
    save(tmp_path / "restored" / "a.png", restored)
    exact = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    y = [rgb2ycbcr(image)[..., 0] for image in (clean, restored)]
    grey = [np.array(Image.fromarray(image).convert("L")) for image in (clean, restored)]

    [score] = compare(tmp_path)

    assert score.values["psnr_rgb_db"] == pytest.approx(peak_signal_noise_ratio(clean, restored), abs=1e-9)
    assert score.values["psnr_y_db"] == pytest.approx(peak_signal_noise_ratio(*y, data_range=255), abs=1e-9)
    assert score.values["psnr_grey_db"] == pytest.approx(peak_signal_noise_ratio(*grey), abs=1e-9)
    expected = structural_similarity(clean, restored, channel_axis=2, data_range=255, **exact)
    assert score.values["ssim_rgb_valid"] == pytest.approx(expected, abs=1e-9)
    expected = structural_similarity(*y, data_range=255, **exact)
    assert score.values["ssim_y_valid"] == pytest.approx(expected, abs=1e-9)
    assert score.values["ssim_rgb_zero_padded"] != pytest.approx(score.values["ssim_rgb_valid"], abs=1e-4)


def test_the_gain_is_the_difference_to_the_noisy_image(tmp_path):
    # 20 levels against 10: half the error, 20 log10(2) = 6.02 dB, in every space
    for role, level in (("clean", 100), ("restored", 110), ("noisy", 120)):
        save(tmp_path / role / "a.png", flat(level, channels=3))
        save(tmp_path / role / "b.png", flat(level))

    scores = compare(tmp_path, noisy=True)

    assert folders.columns(scores) == [*folders.MEASURES, *folders.NOISY, *folders.GAINS]
    assert [scores[0].values[gain] for gain in folders.GAINS] == pytest.approx([20 * math.log10(2)] * 3)
    assert scores[1].values["noisy_psnr_grey_db"] == pytest.approx(TEN_LEVELS - 20 * math.log10(2))
    assert "gain_rgb_db" not in scores[1].values


def test_the_mean_of_a_column_is_over_the_images_that_have_it(tmp_path):
    # grey: 28.13 dB for b, 6.02 dB less for a; rgb: a alone
    save(tmp_path / "clean" / "a.png", flat(100, channels=3))
    save(tmp_path / "restored" / "a.png", flat(120, channels=3))
    save(tmp_path / "clean" / "b.png", flat(100))
    save(tmp_path / "restored" / "b.png", flat(110))

    scores = compare(tmp_path)

    assert folders.headline(scores) == "psnr_grey_db"
    assert folders.headline(scores[:1]) == "psnr_rgb_db"
    assert folders.mean(scores)["psnr_grey_db"] == pytest.approx(TEN_LEVELS - 10 * math.log10(2))
    assert folders.mean(scores)["psnr_rgb_db"] == pytest.approx(TEN_LEVELS - 20 * math.log10(2))
    rows = folders.to_rows(scores)
    assert [(row["name"], row["kind"]) for row in rows] == [("a", "colour"), ("b", "grey"), ("mean", "mean")]
    assert rows[1]["psnr_rgb_db"] == "" and rows[2]["psnr_rgb_db"] == rows[0]["psnr_rgb_db"]


def test_equal_images_are_infinite_and_make_their_mean_so(tmp_path):
    for role, levels in (("clean", (100, 100)), ("restored", (100, 110)), ("noisy", (100, 100))):
        for name, level in zip("ab", levels, strict=True):
            save(tmp_path / role / f"{name}.png", flat(level))

    scores = compare(tmp_path, noisy=True)

    rows = folders.to_rows(scores)
    assert [row["psnr_grey_db"] for row in rows] == [math.inf, pytest.approx(TEN_LEVELS), math.inf]
    assert math.isnan(rows[0]["gain_grey_db"]) and rows[1]["gain_grey_db"] == -math.inf
    value = folders.to_json(scores)
    assert value["images"][0]["psnr_grey_db"] is None and value["images"][0]["psnr_rgb_db"] is None
    assert value["images"][0]["not_finite"] == {
        "psnr_grey_db": "inf",
        "noisy_psnr_grey_db": "inf",
        "gain_grey_db": "nan",
    }
    assert value["images"][1]["not_finite"] == {"noisy_psnr_grey_db": "inf", "gain_grey_db": "-inf"}
    assert value["mean"]["psnr_grey_db"] is None and value["mean"]["not_finite"]["gain_grey_db"] == "nan"
    assert (value["mean"]["grey"], value["mean"]["colour"]) == (2, 0)
    assert value["mean"]["ssim_grey_valid"] == pytest.approx((1 + scores[1].values["ssim_grey_valid"]) / 2)


def test_files_are_matched_by_path_without_suffix(tmp_path):
    save(tmp_path / "clean" / "val" / "a.b.bmp", flat(100))
    save(tmp_path / "restored" / "val" / "a.b.PNG", flat(110))
    save(tmp_path / "clean" / ".hidden" / "c.png", flat(0))
    save(tmp_path / "clean" / "._a.png", flat(0))
    (tmp_path / "clean" / "manifest.csv").write_text("no image")

    assert [score.name for score in compare(tmp_path)] == ["val/a.b"]


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_palette_alpha_and_cmyk_are_scored_as_rgb(tmp_path, mode):
    # all three hold greys exactly; an alpha of 40 would darken them if it were applied
    grey = Image.fromarray(np.repeat(np.arange(0, 250, 50, dtype=np.uint8), 45).reshape(15, 15))
    image = grey.convert("RGB")
    other = grey.convert("P") if mode == "P" else image.convert(mode)
    if mode == "RGBA":
        other.putalpha(40)
    for role, saved in (("clean", image), ("restored", other)):
        (tmp_path / role).mkdir()
        saved.save(tmp_path / role / "a.tif")

    [score] = compare(tmp_path)

    assert score.kind == "colour"
    assert score.values["psnr_rgb_db"] == math.inf


def test_sixteen_bits_are_refused_by_name(tmp_path):
    save(tmp_path / "clean" / "a.png", flat(100))
    (tmp_path / "restored").mkdir()
    Image.fromarray(np.full((12, 15), 40000, dtype=np.uint16)).save(tmp_path / "restored" / "a.png")

    with pytest.raises(ValueError, match=r"restored/a\.png must have 8 bits a channel .* got mode I;16"):
        compare(tmp_path)


def test_grey_against_colour_is_refused_with_both_modes(tmp_path):
    save(tmp_path / "clean" / "a.png", flat(100))
    (tmp_path / "restored").mkdir()
    Image.fromarray(flat(100).astype(np.uint8)).convert("P").save(tmp_path / "restored" / "a.png")

    with pytest.raises(ValueError, match=r"restored/a\.png must be .* got colour \(mode P\) against grey \(mode L\)"):
        compare(tmp_path)


def test_sizes_that_differ_are_refused_by_name(tmp_path):
    save(tmp_path / "clean" / "a.png", flat(100))
    save(tmp_path / "restored" / "a.png", flat(100, height=15, width=12))

    with pytest.raises(ValueError, match=r"restored/a\.png must have the size of .*clean/a\.png, 15x12 .* got 12x15"):
        compare(tmp_path)


def test_images_below_the_window_are_refused_by_name(tmp_path):
    save(tmp_path / "clean" / "a.png", flat(100, height=10))
    save(tmp_path / "restored" / "a.png", flat(110, height=10))

    with pytest.raises(ValueError, match=r"restored/a\.png cannot be scored: .* at least 11x11 pixels, got 10x15"):
        compare(tmp_path)


def test_all_images_without_a_partner_are_named_up_to_ten(tmp_path):
    for number in range(13):
        save(tmp_path / "clean" / f"{number:02}.png", flat(100))
    save(tmp_path / "restored" / "00.png", flat(110))
    save(tmp_path / "restored" / "x.png", flat(110))
    listed = r"01\.png, 02\.png, .*, 10\.png and 2 more of .*clean \(none in .*restored\)"

    with pytest.raises(ValueError, match=rf"got none for x\.png of .*restored \(none in .*clean\); {listed}"):
        compare(tmp_path)


def test_a_noisy_image_needs_a_partner_too(tmp_path):
    for role in ("clean", "restored"):
        save(tmp_path / role / "a.png", flat(100))
    save(tmp_path / "noisy" / "b.png", flat(100))

    with pytest.raises(
        ValueError, match=r"b\.png of .*noisy \(none in .*clean\); a\.png of .*clean \(none in .*noisy\)"
    ):
        compare(tmp_path, noisy=True)


def test_two_images_of_one_name_are_refused(tmp_path):
    for role, name in (("clean", "a.jpg"), ("clean", "a.png"), ("restored", "a.png")):
        save(tmp_path / role / name, flat(100))

    with pytest.raises(ValueError, match=r"clean/a\.jpg and .*clean/a\.png have one name, 'a'"):
        compare(tmp_path)


def test_missing_empty_and_equal_folders_are_named(tmp_path):
    save(tmp_path / "clean" / "a.png", flat(100))
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / "notes.txt").write_text("no image")

    with pytest.raises(ValueError, match=r"restored must hold at least one image, got none in .*restored; images end"):
        compare(tmp_path)
    with pytest.raises(ValueError, match=r"noisy must be a folder of images, got nothing at .*noisy"):
        save(tmp_path / "restored" / "a.png", flat(110))
        compare(tmp_path, noisy=True)
    with pytest.raises(ValueError, match=r"restored must be a folder of images, got a file at .*a\.png"):
        folders.compare(tmp_path / "restored" / "a.png", tmp_path / "clean")
    with pytest.raises(ValueError, match="restored and clean must be two folders, neither inside of the other"):
        folders.compare(tmp_path / "clean", tmp_path / "restored" / ".." / "clean")
    with pytest.raises(ValueError, match="restored and clean must be two folders"):
        folders.compare(tmp_path / "clean" / "sub", tmp_path / "clean")
