"""The leak audit: the same picture is found however it was changed, and alike pictures are left alone."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from nasir.data.duplicates import audit, leaks, registration
from nasir.data.pictures.images import load_grey, save_png

ROOT = Path(__file__).parents[3]
DATASETS = Path(os.environ.get("NASIR_TEST_DATASETS", ROOT.parent / "shared" / "datasets"))


def picture(seed: int, height: int = 160, width: int = 200) -> audit.Grey:
    """Texture at several scales, with edges: rectangles of random brightness over smoothed noise."""
    rng = np.random.default_rng(seed)
    field = sum(s * gaussian_filter(rng.standard_normal((height, width)), s) for s in (2, 5, 12))
    canvas = 128 + 40 * field / field.std()
    for _ in range(40):
        top, left = rng.integers(0, height - 10), rng.integers(0, width - 10)
        canvas[top : top + rng.integers(5, 50), left : left + rng.integers(5, 50)] += rng.normal(0, 30)
    return np.clip(canvas, 0, 255).astype(np.uint8)


PICTURES = {f"p{seed}": picture(seed) for seed in range(6)}


def test_every_planted_kind_of_leak_is_found_and_nothing_else():
    planted = leaks.plant(PICTURES, count=6, seed=0)

    parts = dict.fromkeys(PICTURES, "train") | {leak.name: "planted" for leak in planted}
    matches = audit.find(PICTURES | {leak.name: leak.image for leak in planted}, parts)

    quality = leaks.assess(planted, [(match.first, match.second) for match in matches])
    assert quality.planted == dict.fromkeys(leaks.KINDS, 6)
    assert quality.found == dict.fromkeys(leaks.KINDS, 6)
    assert quality.false == () and (quality.recall, quality.precision) == (1.0, 1.0)


def test_a_match_says_where_the_second_lies_in_the_first():
    whole = picture(7)
    crop = np.ascontiguousarray(whole[30:130, ::-1][:, 20:150])
    half = np.array(Image.fromarray(whole).resize((100, 80), Image.Resampling.BICUBIC))

    cropped, halved = (audit.find({"whole": whole, "other": other})[0] for other in (crop, half))

    assert cropped.is_mirrored and cropped.scale == pytest.approx(1, abs=0.01)
    assert cropped.shift == pytest.approx((-20, -30), abs=0.5)
    assert (halved.is_mirrored, halved.overlap) == (False, pytest.approx(1, abs=0.03))
    assert halved.scale == pytest.approx(0.5, abs=0.01)


def test_smooth_pictures_that_correlate_by_chance_are_not_the_same():
    rows, columns = np.mgrid[0:160, 0:200]
    rng = np.random.default_rng(0)
    skies = {
        name: np.clip(60 + 0.8 * rows + bend * columns + rng.normal(0, 1.5, rows.shape), 0, 255).astype(np.uint8)
        for name, bend in (("dawn", 0.05), ("dusk", 0.08))
    }
    correlation = np.corrcoef(skies["dawn"].ravel(), skies["dusk"].ravel())[0, 1]

    assert correlation > 0.95
    assert audit.find(skies) == []


def test_two_horizons_that_correlate_across_are_not_the_same():
    edge = np.zeros((160, 200), np.float32)
    edge[100:] = 120  # the one clear edge of both; the ground below is each picture's own
    first, second = (
        np.clip(
            60 + edge + 4 * gaussian_filter(np.random.default_rng(seed).standard_normal(edge.shape), 1.5) / 0.19, 0, 255
        )
        for seed in (0, 1)
    )
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    stay = registration.Placement(scale_x=1.0, scale_y=1.0, shift_x=0.0, shift_y=0.0)

    comparison = registration.compare(first.astype(np.float32), second.astype(np.float32), stay)

    assert correlation > 0.98
    assert comparison is not None and comparison.windows >= audit.LEAST_WINDOWS and comparison.correlation < 0.5
    assert audit.find({"first": first.astype(np.uint8), "second": second.astype(np.uint8)}) == []


def test_a_resized_copy_is_placed_to_a_tenth_of_a_pixel_whichever_is_finer():
    # Of 160x200 reduced to 120x150 the factor is 3/4; pixel middles: x' + 1/2 = 3/4 (x + 1/2), so x' = 3/4 x - 1/8.
    whole = picture(9)
    small = np.array(Image.fromarray(whole).resize((150, 120), Image.Resampling.BICUBIC))

    [down], [up] = audit.find({"a": whole, "b": small}), audit.find({"a": small, "b": whole})

    assert (down.scale, *down.shift) == pytest.approx((0.75, -0.125, -0.125), abs=0.1)
    assert (up.scale, *up.shift) == pytest.approx((4 / 3, 1 / 6, 1 / 6), abs=0.1)  # x = 4/3 x' + 1/6


def test_two_skies_over_one_strip_of_frame_are_not_the_same():
    first, second = picture(20), picture(21)
    first[:12] = second[:12] = np.tile([0, 255], 100).astype(np.uint8)

    assert audit.find({"first": first, "second": second}) == []


def test_pictures_of_one_part_are_not_compared():
    images = {"a": PICTURES["p0"], "b": PICTURES["p0"].copy(), "c": PICTURES["p0"].copy()}

    matches = audit.find(images, {"a": "train", "b": "train", "c": "test"})

    assert [(match.first, match.second) for match in matches] == [("a", "c"), ("b", "c")]


def test_equal_flat_pictures_are_a_copy_though_they_have_no_structure():
    flat = np.full((40, 50), 90, np.uint8)

    assert [match.correlation for match in audit.find({"a": flat, "b": flat.copy(), "c": flat[:-1]})] == [1.0]


def test_the_same_call_gives_the_same_matches():
    images = PICTURES | {"copy": PICTURES["p3"][:, ::-1].copy()}

    assert audit.find(images) == audit.find(images)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), r"odd must be grey levels, uint8 of shape \(H, W\), got float64"),
        (np.zeros((4, 4, 3), np.uint8), r"odd must be .* got uint8 of shape \(4, 4, 3\)"),
    ],
)
def test_what_is_no_grey_image_is_named(image, message):
    with pytest.raises(ValueError, match=message):
        audit.find({"odd": image})


def test_an_image_without_a_part_is_named():
    with pytest.raises(ValueError, match="parts must name every image, got none for p1"):
        audit.find({"p0": PICTURES["p0"], "p1": PICTURES["p1"]}, {"p0": "train"})


def test_folders_are_compared_with_each_other_and_one_alone_within_itself(tmp_path):
    save_png(tmp_path / "a/x.png", PICTURES["p0"])
    save_png(tmp_path / "a/deep/y.png", PICTURES["p1"])
    (tmp_path / "b").mkdir()
    Image.fromarray(PICTURES["p1"][:, ::-1]).save(tmp_path / "b/z.jpg", quality=60)

    [match] = audit.folders([tmp_path / "a", tmp_path / "b"])

    assert (match.first, match.second) == (str(tmp_path / "a/deep/y.png"), str(tmp_path / "b/z.jpg"))
    assert match.is_mirrored and audit.folders([tmp_path / "a"]) == []


def test_pictures_of_other_formats_and_behind_links_are_compared_too(tmp_path):
    image = Image.fromarray(PICTURES["p0"])
    for name in ("a/one.png", "b/two.webp", "c/three.pgm"):
        (tmp_path / name).parent.mkdir()
        image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/linked").symlink_to(tmp_path / "c")

    found = audit.folders([tmp_path / "a", tmp_path / "b", tmp_path / "d"])

    assert [(match.first[-7:], match.second[-9:]) for match in found] == [
        ("one.png", "/two.webp"),
        ("one.png", "three.pgm"),
        ("wo.webp", "three.pgm"),
    ]


@pytest.mark.parametrize("spelling", ["a", "a/../a", "link"])
def test_a_folder_that_is_given_twice_is_refused_however_it_is_written(tmp_path, spelling):
    save_png(tmp_path / "a/x.png", PICTURES["p0"])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match=r"folders must not lie in each other, got .*x\.png twice; give each once"):
        audit.folders([tmp_path / "a", tmp_path / spelling])


def test_a_picture_that_is_not_read_is_no_reason_to_report_none(tmp_path):
    Image.fromarray(PICTURES["p0"]).save(tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(b"a picture in a format that is not read")

    with pytest.raises(
        ValueError, match=r"may be passed over: .*b\.heic must end in one of \.bmp, .*; convert it to PNG"
    ):
        audit.folders([tmp_path])


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"empty must be a folder with images .* got none; check the path"):
        audit.folders([tmp_path / "empty"])


def test_a_false_pair_lowers_precision_and_a_known_twin_does_not():
    [leak] = [one for one in leaks.plant({"a": PICTURES["p0"]}, 1, 0) if one.kind == "copy"]
    pairs = [("a", leak.name), ("b", leak.name), ("c", leak.name)]

    quality = leaks.assess([leak], pairs, alike=[("a", "b")])

    assert quality.false == ((leak.name, "c"),)
    assert (quality.recall, quality.precision) == (1.0, 0.5)


def test_planted_leaks_are_what_their_kind_says():
    planted = {leak.kind: leak.image for leak in leaks.plant({"a": PICTURES["p0"]}, 3, seed=1)}
    whole = PICTURES["p0"]

    assert set(planted) == set(leaks.KINDS)
    assert np.array_equal(planted["copy"], whole) and np.array_equal(planted["mirrored"], whole[:, ::-1])
    assert planted["half"].shape == planted["quarter"].shape == planted["combined"].shape == (80, 100)
    assert not np.array_equal(planted["jpeg"], whole)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (80, 100))
    assert (windows == planted["quarter"]).all(axis=(2, 3)).any()


def test_planting_needs_an_image():
    with pytest.raises(ValueError, match="planting leaks needs at least one image, got none"):
        leaks.plant({}, 3, 0)


@pytest.mark.skipif(not DATASETS.is_dir(), reason="needs the real data sets: set NASIR_TEST_DATASETS")
def test_bsd68_is_found_inside_the_validation_images_of_bsds500():
    val = sorted((DATASETS / "bsds500/images/val").glob("*.jpg"))[:20]
    small = sorted((DATASETS / "bsd68").glob("*.png"))[:5]
    images = {f"val/{path.stem}": load_grey(path) for path in val}
    images |= {f"bsd68/{path.stem}": load_grey(path) for path in small}

    matches = audit.find(images, {name: name.split("/")[0] for name in images})

    assert {match.second for match in matches} == {f"bsd68/{path.stem}" for path in small}


@pytest.mark.skipif(not DATASETS.is_dir(), reason="needs the real data sets: set NASIR_TEST_DATASETS")
def test_the_starfish_of_set12_is_found_as_a_crop_of_a_training_image():
    images = {"train/12003": load_grey(DATASETS / "bsds500/images/train/12003.jpg")}
    images |= {path.stem: load_grey(path) for path in sorted((DATASETS / "set12").glob("*.png"))[:7]}

    [match] = audit.find(images)

    assert (match.first, match.second) == ("train/12003", "04")
    assert match.scale == pytest.approx(1, abs=0.01) and match.shift == pytest.approx((-109, -7), abs=0.5)


@pytest.mark.skipif(not DATASETS.is_dir(), reason="needs the real data sets: set NASIR_TEST_DATASETS")
def test_kodak_and_mcmaster_share_no_picture():
    paths = [*sorted((DATASETS / "kodak24").glob("*.png"))[:6], *sorted((DATASETS / "mcmaster").glob("*.tif"))[:6]]

    assert audit.find({str(path): load_grey(path) for path in paths}) == []


def test_jpeg_copies_under_another_name_are_found_at_low_quality():
    encoded = io.BytesIO()
    Image.fromarray(PICTURES["p2"]).save(encoded, format="JPEG", quality=20)

    matches = audit.find(PICTURES | {"leak": np.array(Image.open(encoded))})

    assert [(match.first, match.second) for match in matches] == [("p2", "leak")]
