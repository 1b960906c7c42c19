"""How commands answer: what they suggest for a name that is nearly right."""

import pytest

from nasir.commands.terminal import suggest
from nasir.config import reading
from nasir.evaluation import protocols
from nasir.inference import model, zoo
from nasir.networks import catalogue
from nasir.search import contract as search
from nasir.settings import resolve
from nasir.spaces import contract as spaces
from nasir.spaces.cells.operations import Style, operation
from stages import __main__ as stages

ROOT = zoo.SHELF.parent
STYLE = Style(activation="relu", separable=1)
PARAMS = reading.read(ROOT / "params.yaml")

WRONG = {
    "model": (lambda: model.load("irnas-bsd500-5"), "irnas-bsd500-50"),
    "model in capitals": (lambda: model.load("IRNAS-Rain800"), "irnas-rain800"),
    "task": (lambda: zoo.choose("denoize", 50.0), "denoise"),
    "protocol": (lambda: protocols.find("overlap-share"), "overlap-shared"),
    "operation": (lambda: operation("conv3x3", 4, True, STYLE), "conv_3x3"),
    "space": (lambda: spaces.find("clearr"), "clearer"),
    "strategy": (lambda: search.find("oneshot"), "one_shot"),
    "baseline": (lambda: catalogue.find("rescan-lsmt"), "rescan-lstm"),
    "profile": (lambda: resolve(PARAMS | {"profile": "smal"}, ROOT / "profiles"), "small"),
    "key of params.yaml": (lambda: resolve(PARAMS | {"sgima": 50}, ROOT / "profiles"), "sigma"),
}
"""What a person mistypes, and what they meant."""


@pytest.mark.parametrize(("call", "meant"), WRONG.values(), ids=WRONG)
def test_a_mistyped_name_is_answered_with_the_right_one(call, meant):
    with pytest.raises(ValueError, match=r"must|expected") as refused:
        call()
    assert suggest(str(refused.value)) == f"{refused.value} Did you mean {meant!r}?"


def test_a_mistyped_picture_is_answered_with_one_that_lies_in_its_folder(nasir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("photo.png", "other.png"):
        (tmp_path / "in" / name).touch()
    status, _, told = nasir("restore", "in/phot.png", "--out", "out.png")
    assert (status, told.count("\n")) == (2, 1)
    assert told.endswith("got nothing under that name; check the path. Did you mean 'in/photo.png'?\n")
    assert nasir("restore", "in/holiday.png", "--out", "out.png")[2].endswith("check the path.\n")
    assert nasir("restore", "nowhere/photo.png", "--out", "out.png")[2].endswith("check the path.\n")


def test_nothing_is_suggested_for_a_name_that_is_like_none():
    with pytest.raises(ValueError, match=r"must be one of") as refused:
        protocols.find("quarter")
    assert suggest(str(refused.value)) == str(refused.value)
    assert suggest("a tile must have a side of 1 pixel or more") == "a tile must have a side of 1 pixel or more"


def test_both_command_lines_suggest(nasir):
    assert nasir("show", "irnas-bsd500-5")[2].endswith("Did you mean 'irnas-bsd500-50'?\n")
    wrong = ValueError("a search space must be one of ['clearer', 'irnas'], got 'clearr'; correct it, or add the file.")
    assert stages._told(wrong).endswith("add the file. Did you mean 'clearer'?")
    status, _, told = nasir("restor", "photo.png")
    assert status == 2 and "Did you mean 'restore'?" in told
