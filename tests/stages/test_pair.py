"""pair: images as they are, the pairs of a data set, simulated rain, motion and cameras; and what cannot be paired."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nasir.config.pair import PairConfig
from nasir.config.split import SplitConfig
from nasir.config.synthesize import SynthesizeConfig
from nasir.data import manifest
from nasir.data.datasets import catalogue as datasets
from nasir.data.pairs.motion import blurred
from nasir.data.pairs.rain import rainy
from nasir.data.pictures import listing
from nasir.data.pictures.collection import load, read_image
from nasir.data.pictures.images import load_rgb, save_png
from nasir.files import read_csv, read_json, write_text
from nasir.task import TASKS
from stages import pair, split, synthesize
from stages.around import checks

CAMERA = PairConfig(train_candidates=40, train_kept=6, test_candidates=30, test_kept=3, factor=2, side=32)


def ignore(step, news):
    pass


def scene(number: int, height: int = 120, width: int = 140) -> np.ndarray:
    """A picture with detail at all scales, in colour."""
    rng = np.random.default_rng(number)
    layers = sum(gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) * s for s in (1, 2, 4, 8))
    return np.rint(np.interp(layers, (layers.min(), layers.max()), (20, 200))).astype(np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Five scenes; the first training image's clean half is also that of a test image."""
    for number, name in enumerate(("train/0", "train/1", "train/2", "train/3", "test/4")):
        clean = scene(0 if name == "test/4" else number)
        rain = rainy(clean, name, seed=1)
        save_png(tmp_path / f"clean/{name}.png", clean)
        save_png(tmp_path / f"side/{name}.png", np.concatenate([clean, rain], axis=1))
        part, _, own = name.partition("/")
        save_png(tmp_path / f"two/{part}/clean/{own}.png", clean)
        save_png(tmp_path / f"two/{part}/degraded/{own}.png", rain)
    write_text(tmp_path / "known.csv", "dataset,name,also_in\nfolder,train/3,bsd500: test/7\n")
    return tmp_path


def run(place: Path, folder: str, layout: str, task: str) -> Path:
    """Index a folder as download does, and make its pictures."""
    source = place / folder
    manifest.write(source / "manifest.csv", datasets.of_folder(source, layout).entries)
    pair.run(
        dataset="folder",
        layout=layout,
        source=source,
        known=place / "known.csv",
        out=place / "out",
        task=task,
        seed=3,
        config=CAMERA,
        log=ignore,
    )
    return place / "out"


def test_a_task_of_noise_takes_the_images_as_they_are(place):
    out = run(place, "clean", "clean", "denoise")
    listed = listing.read(out)
    assert [(one.name, one.split, one.degraded) for one in listed if one.split == "test"] == [("test/4", "test", "")]
    assert {one.group for one in listed} == {one.name for one in listed}
    assert (out / listed[0].clean).read_bytes() == (place / "clean" / f"{listed[0].name}.png").read_bytes()
    assert not (out / "pairs.csv").exists()


@pytest.mark.parametrize(("folder", "layout"), [("side", "clean_left"), ("two", "two_folders")])
def test_pairs_of_a_data_set_are_found_grouped_and_described(place, folder, layout):
    out = run(place, folder, layout, "derain")
    listed = {one.name: one for one in listing.read(out)}
    assert sorted(listed) == ["test/4", "train/0", "train/1", "train/2", "train/3"]
    assert listed["train/0"].group == listed["test/4"].group
    assert len({one.group for one in listed.values()}) == 4
    assert listed["train/3"].also_in == "bsd500: test/7"
    stacked = load(out, ["train/1"], TASKS["derain"])["train/1"]
    assert np.array_equal(stacked[..., :3], scene(1))
    assert np.array_equal(stacked[..., 3:], rainy(scene(1), "train/1", seed=1))
    described = read_csv(out / "pairs.csv")
    assert {(row["shift_y"], row["shift_x"], row["rainier"]) for row in described} == {("0", "0", "right")}
    checks.check_pair(out, "derain", place / "check.json")


def test_leaks_are_left_out_of_training_or_declared(place):
    out = run(place, "side", "clean_left", "derain")
    for is_excluded in (True, False):
        shares = SplitConfig(w=0.34, a=0.33, v=0.33, exclude_leaks=is_excluded, exclude_elsewhere=True)
        if is_excluded:  # two different pictures are left for three parts
            with pytest.raises(ValueError, match="at least 3 different training images"):
                split.run(pictures=out, out=place / "split", seed=0, config=shares, log=ignore)
            continue
        split.run(pictures=out, out=place / "split", seed=0, config=shares, log=ignore)
        lists = read_json(place / "split/split.json")
        assert lists["leaks"] == [
            "train/0",
            "train/3",
        ]  # shown by test/4, and by an image of another data set's test part
        assert sorted(lists["w"] + lists["a"] + lists["v"]) == [f"train/{i}" for i in range(4)]
        checks.check_split(place / "split/split.json", out, place / "check.json")


def test_it_rains_where_a_data_set_has_no_pairs(place):
    out = run(place, "clean", "clean", "derain")
    listed = listing.read(out)
    assert all(one.is_paired for one in listed)
    for one in listed:
        assert np.array_equal(
            read_image(out, one, is_clean=False, channels=3), rainy(load_rgb(out / one.clean), one.name, 3)
        )
    checks.check_pair(out, "derain", place / "check.json")
    before = {path.name: path.read_bytes() for path in (out / "rainy").rglob("*.png")}
    run(place, "clean", "clean", "derain")
    assert {path.name: path.read_bytes() for path in (out / "rainy").rglob("*.png")} == before


def test_the_camera_shakes_where_a_data_set_has_no_pairs(place):
    out = run(place, "clean", "clean", "deblur")
    listed = listing.read(out)
    assert all(one.is_simulated and one.degraded == f"blurred/{one.name}.png" for one in listed)
    for one in listed:
        assert np.array_equal(
            read_image(out, one, is_clean=False, channels=3), blurred(load_rgb(out / one.clean), one.name, 3)
        )
    described = read_csv(out / "pairs.csv")
    assert {(row["shift_y"], row["shift_x"], row["blurrier"]) for row in described} == {("0", "0", "right")}
    checks.check_pair(out, "deblur", place / "check.json")


def test_pairs_of_blur_are_taken_from_a_data_set_that_has_them(place):
    for number, name in enumerate(("train/0", "train/1", "train/2", "train/3", "test/4")):
        both = [scene(number), blurred(scene(number), name, seed=1)]
        save_png(place / f"moved/{name}.png", np.concatenate(both, axis=1))
    out = run(place, "moved", "clean_left", "deblur")
    assert not any(one.is_simulated for one in listing.read(out))
    checks.check_pair(out, "deblur", place / "check.json")

    out = run(place, "moved", "clean_right", "deblur")
    with pytest.raises(ValueError, match=r"on share fails for degraded images that look blurrier \(0.0\)"):
        checks.check_pair(out, "deblur", place / "check.json")

    both[1] = np.roll(both[1], 2, axis=1)
    save_png(place / "moved/test/4.png", np.concatenate(both, axis=1))
    out = run(place, "moved", "clean_left", "deblur")
    with pytest.raises(ValueError, match=r"on shift_x fails for test/4 \(2\)"):
        checks.check_pair(out, "deblur", place / "check.json")


def test_a_camera_photographs_patches_and_an_image_gives_to_one_part_alone(place):
    out = run(place, "clean", "clean", "camera")
    listed = listing.read(out)
    assert [sum(one.split == part for one in listed) for part in ("train", "test")] == [6, 3]
    assert {(one.width, one.height) for one in listed} == {(32, 32)}
    assert all(one.group.startswith(one.split) and one.name.startswith(f"{one.group}/") for one in listed)
    selection = read_json(out / "selection.json")
    assert selection["train"]["counts"]["candidates"] == 40
    assert [row["name"] for row in selection["test"]["kept"]] == [one.name for one in listed if one.split == "test"]
    sources = listing.read(out / listing.SOURCES)
    assert {one.name for one in sources} == {one.group for one in listed}
    checks.check_pair(out, "camera", place / "check.json")


def test_the_previews_and_rows_of_pairs_are_those_of_their_images(place):
    out = run(place, "side", "clean_left", "derain")
    synthesize.run(
        pictures=out,
        out=place / "synthesize",
        task="derain",
        sigma=0,
        seed=0,
        config=SynthesizeConfig(previews=1),
        log=ignore,
    )
    rows = {row["name"]: row for row in read_csv(place / "synthesize/manifest.csv")}
    difference = rainy(scene(1), "train/1", 1).astype(float) - scene(1)
    assert float(rows["train/1"]["mean_noise"]) == pytest.approx(difference.mean(), abs=1e-3)
    assert float(rows["train/1"]["measured_sigma"]) == pytest.approx(difference.std(), abs=1e-3)
    [preview] = (place / "synthesize/previews").iterdir()
    assert np.array_equal(load_rgb(preview), load_rgb(place / "side/test/4.png"))
    checks.check_synthesize(place / "synthesize/manifest.csv", out, "derain", 0.0, place / "check.json")


def test_exchanged_halves_are_found_out(place):
    out = run(place, "side", "clean_right", "derain")
    with pytest.raises(ValueError, match=r"on share fails for degraded images that look rainier \(0.0\)"):
        checks.check_pair(out, "derain", place / "check.json")


def test_a_shifted_pair_is_named(place):
    rain = rainy(scene(2), "train/2", seed=1)
    save_png(place / "side/train/2.png", np.concatenate([scene(2), np.roll(rain, 2, axis=0)], axis=1))
    out = run(place, "side", "clean_left", "derain")
    with pytest.raises(ValueError, match=r"on shift_y fails for train/2 \(2\)"):
        checks.check_pair(out, "derain", place / "check.json")


def test_a_broken_file_in_the_middle_stops_before_there_are_pictures(place):
    run(place, "side", "clean_left", "derain")
    path = place / "side/train/2.png"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"train/2.png must be a whole image, got a broken one"):
        pair.run(
            dataset="folder",
            layout="clean_left",
            source=place / "side",
            known=place / "known.csv",
            out=place / "out",
            task="derain",
            seed=3,
            config=CAMERA,
            log=ignore,
        )
    assert not (place / "out/pictures.csv").exists()


def test_what_only_another_set_tests_with_is_no_leak_where_that_is_asked_for(place):
    out = run(place, "side", "clean_left", "derain")
    shares = SplitConfig(w=0.34, a=0.33, v=0.33, exclude_leaks=True, exclude_elsewhere=False)
    split.run(pictures=out, out=place / "split", seed=0, config=shares, log=ignore)
    lists = read_json(place / "split/split.json")
    assert lists["leaks"] == ["train/0"]
    assert sorted(lists["w"] + lists["a"] + lists["v"]) == ["train/1", "train/2", "train/3"]
