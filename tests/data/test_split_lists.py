"""Lists of pictures are read by their parts, or refused."""

import pytest

from nasir.data import split_lists
from nasir.files import write_json


@pytest.mark.parametrize("value", [None, "train/1", [1], ["train/1", "train/1"], {"train/1": 1}])
def test_a_list_of_pictures_that_is_none_is_refused_by_its_part(tmp_path, value):
    write_json(tmp_path / "split.json", {"w": ["train/0"], "v": value})

    assert split_lists.read(tmp_path / "split.json", "w") == {"w": ["train/0"]}
    with pytest.raises(
        ValueError, match=r"split.json must hold a list of different pictures under 'v', got .*; run the"
    ):
        split_lists.read(tmp_path / "split.json", "wv")
