"""The best candidates of a search, drawn below each other."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from nasir.reporting import drawings
from nasir.spaces import contract
from tests.spaces.resolutions.little import LITTLE

SPACE = contract.find("clearer")
WIDTHS = {"widths": [2, 3]}


def candidate(reward: float, *tokens: int) -> dict:
    return {"tokens": list(tokens), "reward": reward}


def test_the_best_are_different_networks_that_ended_well():
    failed = candidate(0.0, 1, 1, 1) | {"failure": "the loss must be finite"}
    tried = [
        candidate(-0.2, 0, 0, 0),
        failed,
        candidate(-0.1, 0, 1, 0),
        candidate(-0.3, 0, 1, 0),
        candidate(-0.5, 1, 0, 0),
    ]
    assert [number for number, _ in drawings.best(tried)] == [3, 1, 5]
    assert drawings.best([failed]) == []


def test_a_sheet_has_each_drawing_below_its_line():
    drawn = [
        (text, SPACE.from_line(replace(LITTLE, columns=(2, 1), widths=(2, 3)), line))
        for text, line in (("first", "PP F"), ("second", "FF P"))
    ]
    heights = []
    for count in (1, 2):
        with Image.open(io.BytesIO(drawings.sheet(drawn[:count], SPACE, WIDTHS))) as image:
            pixels = np.asarray(image.convert("L"))
        heights.append(pixels.shape[0])
        assert (pixels[:24] < 128).any()  # the line of the first
    assert heights[1] == 2 * heights[0] - drawings._MARGIN
