"""Images below a folder are found, or what is in the way is named."""

import os

import pytest

from nasir.data.pictures import finding
from nasir.data.pictures.images import READABLE, SUFFIXES


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_images_of_all_sub_folders_are_found_and_hidden_files_are_not(tmp_path):
    expected = [touch(tmp_path / name) for name in ("a.png", "b/c.WEBP", "b/d/e.ppm", "f.v1/g.jpeg")]
    for name in (".h.png", ".i/j.png", "notes.txt", "k"):
        touch(tmp_path / name)

    assert finding.require(tmp_path, READABLE) == expected


def test_a_folder_that_is_a_link_is_followed_once(tmp_path):
    touch(tmp_path / "elsewhere/a.png")
    touch(tmp_path / "own/b.png")
    (tmp_path / "own/linked").symlink_to(tmp_path / "elsewhere")
    assert finding.require(tmp_path / "own", SUFFIXES) == [tmp_path / "own/b.png", tmp_path / "own/linked/a.png"]

    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "own")
    with pytest.raises(
        ValueError, match=r"linked/again must not be a link to a folder that is here already; remove the"
    ):
        finding.require(tmp_path / "own", SUFFIXES)


def test_a_link_to_nothing_and_images_of_other_kinds_are_named_together(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("a.heic", "b.webp", "c.png"):
        touch(tmp_path / name)

    with pytest.raises(ValueError, match=f"no image below {tmp_path} may be passed over: ") as refused:
        finding.require(tmp_path, SUFFIXES)
    for part in ("gone must not be a link to nothing", "a.heic must end in one of", "b.webp must end in one of"):
        assert part in str(refused.value)
    assert "c.png" not in str(refused.value)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path / "locked/a.png")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match="locked must be readable, got Permission denied; change its permissions"):
        finding.require(tmp_path, SUFFIXES)


def test_of_many_problems_ten_are_named(tmp_path):
    for number in range(13):
        touch(tmp_path / f"{number}.heic")

    with pytest.raises(ValueError, match=r"; and 3 more\.$"):
        finding.require(tmp_path, SUFFIXES)
