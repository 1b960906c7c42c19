import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from nasir.canvas import DPI, plain_style, to_png, to_svg


def draw_line(colour: str) -> Figure:
    figure = Figure(figsize=(2, 1))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=colour)
    axes.set_title("a title")
    return figure


def test_a_figure_without_colour_becomes_a_one_channel_png():
    with plain_style():
        with Image.open(io.BytesIO(to_png(draw_line("black")))) as grey:
            assert grey.mode == "L" and grey.size == (2 * DPI, DPI)
        with Image.open(io.BytesIO(to_png(draw_line("red")))) as coloured:
            assert coloured.mode == "RGB" and coloured.size == (2 * DPI, DPI)
            assert (np.asarray(coloured) == [255, 0, 0]).all(axis=2).any()


def test_settings_of_the_reader_change_nothing():
    with plain_style():
        expected = to_png(draw_line("red")), to_svg(draw_line("red"))
    with matplotlib.rc_context({"font.size": 20.0, "axes.facecolor": "black", "svg.hashsalt": "other"}):
        with plain_style():
            found = to_png(draw_line("red")), to_svg(draw_line("red"))
        assert matplotlib.rcParams["font.size"] == 20.0  # and are put back
    assert found == expected
