"""`pictures.csv` is read as it was written, or refused with what is wrong in it."""

import dataclasses

import pytest

from nasir.data.pictures import listing
from nasir.data.pictures.listing import Picture
from nasir.files import write_csv

PICTURE = Picture(
    name="train/1",
    split="train",
    group="train/1",
    also_in="",
    clean="files/train/1.jpg",
    degraded="files/train/1.jpg",
    layout="clean_left",
    width=40,
    height=30,
)


def test_pictures_come_back_as_they_were_written(tmp_path):
    listed = [PICTURE, dataclasses.replace(PICTURE, name="test/2", split="test", also_in="bsd500: test/7", degraded="")]
    listing.write(tmp_path, listed)
    assert listing.read(tmp_path) == listed
    assert [one.is_paired for one in listed] == [True, False]
    assert listing.names(listed, "test") == ["test/2"]


def test_a_folder_without_pictures_names_the_step_that_writes_them(tmp_path):
    with pytest.raises(ValueError, match=r"must hold pictures.csv, got no such file; .* \(pair\)"):
        listing.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, r"split of train/1 must be one of \['train', 'test'\], got 'val'"),
        ({"layout": "above"}, "layout of train/1 must be one of .*, got 'above'"),
        ({"width": "wide"}, "width and height in line 2 .* must be whole"),
    ],
)
def test_an_illegal_value_is_named(tmp_path, change, message):
    row = dataclasses.asdict(PICTURE) | change
    write_csv(tmp_path / "pictures.csv", [row], listing.COLUMNS)
    with pytest.raises(ValueError, match=message):
        listing.read(tmp_path)


def test_a_name_that_stands_twice_and_a_missing_column_are_refused(tmp_path):
    listing.write(tmp_path, [PICTURE, PICTURE])
    with pytest.raises(ValueError, match="got 'train/1' twice"):
        listing.read(tmp_path)
    write_csv(tmp_path / "pictures.csv", [{"name": "a", "split": "train"}], ("name", "split"))
    with pytest.raises(ValueError, match=r"line 2 .* must have the columns"):
        listing.read(tmp_path)


def test_the_digest_is_of_the_list_and_of_every_file(tmp_path):
    listed = [PICTURE, dataclasses.replace(PICTURE, name="test/2", split="test", clean="files/2.png", degraded="")]
    for name in ("files/train/1.jpg", "files/2.png", "files/unlisted.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    listing.write(tmp_path, listed)
    before = listing.digest(tmp_path)
    (tmp_path / "files/unlisted.png").write_text("other")
    assert listing.digest(tmp_path) == before
    (tmp_path / "files/2.png").write_text("other, of the same size")
    after = listing.digest(tmp_path)
    assert after != before
    listing.write(tmp_path, [dataclasses.replace(listed[0], group="test/2"), listed[1]])
    assert listing.digest(tmp_path) not in (before, after)
