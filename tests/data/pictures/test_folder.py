"""A person's own folder is read whole, or refused with every problem named."""

import hashlib
import os
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from nasir.data import manifest
from nasir.data.datasets import catalogue as datasets
from nasir.data.pictures.folder import choose_split, index


def save(path, width=12, height=8, mode="RGB", seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(colours).convert(mode).save(path)


def problems_of(folder, layout):
    """The lines of the refusal, less the first."""
    with pytest.raises(ValueError, match="nothing was written:") as caught:
        index(folder, layout)
    return str(caught.value).split("\n  - ")[1:]


def test_train_and_test_are_taken_from_folders_of_these_names(tmp_path):
    for name in ("train/b10.png", "train/b9.JPG", "train/deep/a.tif", "test/b10.bmp"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "train/._b9.jpg").write_bytes(b"what a Mac leaves beside a file")

    entries = index(tmp_path, "clean")

    assert [(entry.path, entry.split) for entry in entries] == [
        ("train/b9.JPG", "train"),
        ("train/b10.png", "train"),
        ("train/deep/a.tif", "train"),
        ("test/b10.bmp", "test"),
    ]
    assert entries[1] == manifest.describe(tmp_path, "train/b10.png", "train")


def test_a_name_is_in_test_where_its_hash_is_below_a_fifth():
    names = [f"rain/{number}" for number in range(1000)]

    chosen = choose_split(names)

    for name in names:
        digest = hashlib.sha256(f'["split", "{name}"]'.encode()).hexdigest()
        assert chosen[name] == ("test" if int(digest[:16], 16) / 16**16 < 0.2 else "train")
    # binomial: 1000 of 0.2 has the mean 200 and the deviation 12.6
    assert 160 < sum(split == "test" for split in chosen.values()) < 240


def test_files_that_come_later_move_no_others():
    names = [f"{number}" for number in range(60)]
    before = choose_split(names[:30])
    random.Random(0).shuffle(names)

    after = choose_split(names)

    assert {name: after[name] for name in before} == before


def test_two_names_are_always_on_two_sides():
    for number in range(50):
        assert sorted(choose_split([f"{number}", f"{number + 1}"]).values()) == ["test", "train"]


def test_side_by_side_files_are_described_whole(tmp_path):
    for number in range(10):
        save(tmp_path / f"{number}.png", width=24, seed=number)

    for layout in ("clean_left", "clean_right"):
        entries = index(tmp_path, layout)
        assert [entry.name for entry in sorted(entries, key=lambda entry: entry.name)] == [str(n) for n in range(10)]
        assert {(entry.width, entry.height, entry.mode) for entry in entries} == {(24, 8, "RGB")}
        assert {entry.split for entry in entries} == {"train", "test"}


def test_both_sides_of_a_pair_are_in_one_split_and_stand_together(tmp_path):
    for number in range(12):
        save(tmp_path / f"clean/{number}.png")
        save(tmp_path / f"degraded/{number}.jpg")

    entries = index(tmp_path, "two_folders")

    assert len(entries) == 24
    for clean, degraded in zip(entries[::2], entries[1::2], strict=True):
        assert clean.path.removeprefix("clean/").removesuffix(".png") == degraded.path[len("degraded/") : -len(".jpg")]
        assert clean.split == degraded.split
    assert [entry.split for entry in entries] == sorted((entry.split for entry in entries), reverse=True)  # train, test


def test_two_folders_lie_below_train_and_test_where_there_are_such(tmp_path):
    for path in ("train/clean/a.png", "train/degraded/a.png", "test/clean/a.png", "test/degraded/a.tiff"):
        save(tmp_path / path)

    paths = [entry.path for entry in index(tmp_path, "two_folders")]

    assert paths == ["train/clean/a.png", "train/degraded/a.png", "test/clean/a.png", "test/degraded/a.tiff"]


def test_an_odd_width_is_named(tmp_path):
    save(tmp_path / "good.png", width=10)
    save(tmp_path / "odd.png", width=11)

    [problem] = problems_of(tmp_path, "clean_left")

    assert problem.startswith(f"{tmp_path / 'odd.png'} must hold two images of one width, got 11 px for both; cut it")
    assert len(index(tmp_path, "clean")) == 2  # as clean images they may have any width


def test_missing_partners_and_unequal_sizes_are_named_together(tmp_path):
    for path, width in {"clean/a.png": 12, "degraded/a.jpg": 13, "clean/b.png": 12, "degraded/c.png": 12}.items():
        save(tmp_path / path, width=width)

    assert problems_of(tmp_path, "two_folders") == [
        "clean/b.png must have a partner degraded/b (any suffix); add that or take this away",
        "degraded/c.png must have a partner clean/c (any suffix); add that or take this away",
        "clean/a.png and degraded/a.jpg must have one size, got 12x8 and 13x8 px; make the pair anew from its original",
    ]


def test_a_broken_image_in_the_middle_is_found_by_decoding(tmp_path):
    for number in range(5):
        save(tmp_path / f"{number}.png", width=60, height=40, seed=number)
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])  # its header is fine
    (tmp_path / "3.png").write_bytes(b"no image at all")

    broken, other = problems_of(tmp_path, "clean")

    assert broken.startswith(f"{tmp_path / '2.png'} must be a whole image, got a broken one")
    assert other.startswith(f"{tmp_path / '3.png'} must be an image that Pillow reads, got other bytes")


@pytest.mark.parametrize("layout", ["clean", "clean_left"])
def test_sixteen_bits_are_refused(tmp_path, layout):
    save(tmp_path / "good.png")
    Image.fromarray(np.full((4, 6), 40000, dtype=np.uint16)).save(tmp_path / "deep.tif")

    [problem] = problems_of(tmp_path, layout)

    assert "deep.tif must have 8 bits a channel" in problem
    assert problem.endswith("convert it to an 8-bit PNG first")


def test_palettes_are_refused_for_pairs_and_converted_for_clean_images(tmp_path):
    save(tmp_path / "good.png")
    save(tmp_path / "few.png", mode="P")
    colours = Image.open(tmp_path / "few.png")
    colours.save(tmp_path / "hole.png", transparency=0)

    assert len(index(tmp_path, "clean")) == 3
    for problem, name in zip(problems_of(tmp_path, "clean_right"), ("few", "hole"), strict=True):
        assert f"{name}.png must hold the colours of a pair as they are, got a palette (mode P)" in problem
        assert problem.endswith("save it as 8-bit RGB or grey from its original")


def test_two_files_with_one_name_are_named(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        save(tmp_path / name)

    assert problems_of(tmp_path, "clean") == [
        "a.jpg and a.png must differ by more than their suffix; rename one of them"
    ]


def test_an_empty_folder_one_image_and_an_empty_split_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert problems_of(tmp_path, "clean") == [
        "there is no image (.bmp, .jpeg, .jpg, .png, .tif, .tiff); check the path"
    ]

    save(tmp_path / "a.png")
    assert "there must be two or more" in problems_of(tmp_path, "clean")[0]

    save(tmp_path / "train/b.png")
    assert problems_of(tmp_path, "clean") == [
        f"{tmp_path / 'a.png'} must lie in train/ or test/, as there are such folders; move it",
        f"{tmp_path / 'test'} must hold images, as the other split does; add some, or have neither",
    ]


def test_files_outside_the_two_folders_are_named(tmp_path):
    for path in ("clean/a.png", "degraded/a.png", "clean/b.png", "degraded/b.png", "noisy/a.png"):
        save(tmp_path / path)

    assert problems_of(tmp_path, "two_folders") == [
        f"{tmp_path / 'noisy/a.png'} must lie in clean/ or degraded/; move it"
    ]


def test_images_in_formats_that_are_not_read_are_not_passed_over(tmp_path):
    for name in ("a.png", "b.png", "c.webp"):
        save(tmp_path / name)

    [problem] = problems_of(tmp_path, "clean")

    assert problem.startswith(f"{tmp_path / 'c.webp'} must end in one of .bmp, .jpeg")


def test_links_are_followed_once_and_a_broken_one_is_unreadable(tmp_path):
    save(tmp_path / "elsewhere/a.png")
    save(tmp_path / "own/test/b.png")
    (tmp_path / "own/train").symlink_to(tmp_path / "elsewhere")
    assert [entry.path for entry in index(tmp_path / "own", "clean")] == ["train/a.png", "test/b.png"]

    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "own")
    (tmp_path / "own/test/gone.png").symlink_to(tmp_path / "nowhere.png")
    again, gone = problems_of(tmp_path / "own", "clean")
    assert again.endswith("train/again must not be a link to a folder that is here already; remove the link")
    assert "gone.png must be readable, got No such file or directory" in gone


def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")

    [problem] = problems_of(tmp_path, "clean")

    assert problem.endswith("b.png must be a file, got a pipe, a socket or a device; take it away")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    (tmp_path / "a.png").chmod(0)

    [problem] = problems_of(tmp_path, "clean")

    assert "a.png must be readable, got Permission denied" in problem


def test_of_many_problems_ten_are_named_and_the_rest_counted(tmp_path):
    for number in range(13):
        save(tmp_path / f"{number:02}.png", width=7)

    lines = problems_of(tmp_path, "clean_left")

    assert [line[len(str(tmp_path)) + 1 :][:6] for line in lines[:10]] == [f"{number:02}.png" for number in range(10)]
    assert lines[10:] == ["and 3 more"]
    with pytest.raises(ValueError, match=r"in layout clean_left, got 13 problem\(s\)"):
        index(tmp_path, "clean_left")


def test_other_words_for_a_layout_and_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"layout must be one of \['clean', .*, got 'left'"):
        index(tmp_path, "left")
    with pytest.raises(ValueError, match="must be a folder with images, got no such folder; check the path"):
        index(tmp_path / "none", "clean")


def test_a_copy_of_a_folder_is_split_as_the_folder_is(tmp_path):
    for number in range(9):
        save(tmp_path / f"one/{number}.png", seed=number)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    save(tmp_path / "two/0.png", seed=99)  # other content, same name

    one, two = (index(tmp_path / name, "clean") for name in ("one", "two"))

    assert [(entry.path, entry.split) for entry in one] == [(entry.path, entry.split) for entry in two]


def test_a_folder_is_a_data_set_with_its_layout(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png")

    chosen = datasets.of_folder(tmp_path, "clean_right")

    assert chosen.layout == datasets.layout("folder", "clean_right") == "clean_right"
    assert chosen.entries == tuple(index(tmp_path, "clean_right"))
    assert datasets.layout("rain800", "clean") == "clean_left"
    assert datasets.layout("bsd500", "clean_right") == "clean"
