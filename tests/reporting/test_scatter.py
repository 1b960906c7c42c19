"""The picture of two sets of scores."""

import io

from PIL import Image

from nasir.evaluation.paired import Paired
from nasir.evaluation.statistics import compare
from nasir.reporting.scatter import scatter


def paired(measure: str) -> Paired:
    a, b = {"a": 30.0, "b": 28.0, "c": 25.0}, {"a": 29.0, "b": 28.0, "c": 25.5}
    scores = {name: (a[name], b[name]) for name in a}
    return Paired(measure=measure, protocol=None, methods=(None, None), scores=scores, comparison=compare(a, b))


def test_the_same_scores_give_the_same_bytes_of_a_coloured_png():
    once, twice = (scatter(paired("psnr_db"), "one", "other") for _ in range(2))
    assert once == twice
    assert Image.open(io.BytesIO(once)).mode == "RGB"
    assert scatter(paired("ssim_valid"), "one", "other") != once


def test_a_long_name_does_not_change_the_size():
    pictures = [scatter(paired("psnr_db"), name, "other") for name in ("one", "/a/long/path" * 30)]
    assert len({Image.open(io.BytesIO(picture)).size for picture in pictures}) == 1
