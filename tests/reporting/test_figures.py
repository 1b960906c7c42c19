import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasir.data.pictures.collection import detail
from nasir.reporting import figures
from nasir.reporting.history import Curve, History


def make_history(**curves: dict[int, float]) -> History:
    return {
        metric: Curve(steps=np.array(list(curve)), values=np.array(list(curve.values())))
        for metric, curve in curves.items()
    }


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def write_pictures(folder: Path, height: int, width: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    pictures = {name: generator.integers(0, 256, (height, width), dtype=np.uint8) for name in figures.PANELS}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    return pictures


def contains(image: np.ndarray, patch: np.ndarray) -> bool:
    """Whether `patch` occurs in `image`, pixel for pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)
    return bool((windows[..., 0, :] == patch[0]).all(axis=-1).any()) and any(
        (windows[top, left] == patch).all()
        for top, left in zip(*np.nonzero((windows[..., 0, :] == patch[0]).all(axis=-1)), strict=True)
    )


def test_the_detail_is_the_window_with_the_largest_gradients():
    image = np.zeros((40, 60))
    image[22:30, 41:49] = np.indices((8, 8)).sum(axis=0) % 2  # a chessboard; nothing else has an edge

    top, left = detail(image, 10)

    assert 20 <= top <= 22 and 39 <= left <= 41  # the whole board lies inside


def test_the_detail_agrees_with_a_search_over_all_windows():
    image = np.random.default_rng(1).random((12, 15))
    energy = np.zeros_like(image)
    for y, x in np.ndindex(image.shape):
        energy[y, x] = (image[y, x] - image[y, x - 1]) ** 2 if x else 0
        energy[y, x] += (image[y, x] - image[y - 1, x]) ** 2 if y else 0
    sums = {(y, x): energy[y : y + 5, x : x + 5].sum() for y in range(8) for x in range(11)}

    assert detail(image, 5) == max(sums, key=lambda corner: sums[corner])


def test_a_strip_shows_all_four_pictures_pixel_for_pixel(tmp_path: Path):
    pictures = write_pictures(tmp_path, 50, 50)

    strip = pixels(figures.picture_strip(tmp_path, {"noisy": "noisy, 14.90 dB"}))[..., 0]

    for picture in pictures.values():
        assert contains(strip, picture)


def test_a_strip_of_large_pictures_has_one_detail_at_the_same_place(tmp_path: Path):
    pictures = write_pictures(tmp_path, 300, 400)
    top, left = detail(pictures["clean"].astype(float), 208)

    png = figures.picture_strip(tmp_path, {})

    strip = pixels(png)[..., 0]
    assert len(png) < 300_000
    assert strip.shape[1] < 900
    for picture in pictures.values():
        assert contains(strip, picture[top : top + 208, left : left + 208])


def test_pictures_of_different_sizes_are_refused(tmp_path: Path):
    write_pictures(tmp_path, 50, 60)
    Image.fromarray(np.zeros((50, 61), np.uint8)).save(tmp_path / "restored.png")

    with pytest.raises(ValueError, match=r"must have one size, got .*'restored': '61x50'"):
        figures.picture_strip(tmp_path, {})


def test_curves_are_drawn_and_repeat_to_the_byte():
    history = make_history(
        train_loss={step: 1 / step for step in range(1, 200)},
        val_loss={step: 2 / step for step in range(100, 200)},
        psnr_db={100: 20.0, 200: 21.0},
    )

    first = figures.search_curves(history, best_step=200)

    assert first == figures.search_curves(history, best_step=200)
    drawn = pixels(first)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (drawn == colour).all(axis=2).any()


def test_a_metric_that_was_not_recorded_changes_the_picture_but_stops_nothing():
    history = make_history(train_loss={1: 0.5, 2: 0.4}, psnr_db={2: 20.0})
    with_ssim = history | make_history(ssim={2: 0.5})

    assert figures.training_curves(history) != figures.training_curves(with_ssim)


@pytest.mark.parametrize("loss", [{1: 0.5}, {1: 0.0, 2: 0.0}, {1: -0.1, 2: 0.4}, {1: 0.3, 2: 0.3}])
def test_short_flat_and_negative_losses_can_be_drawn(loss):
    assert figures.training_curves(make_history(train_loss=loss, psnr_db={1: 20.0}, ssim={1: 0.5}))


def test_the_best_so_far_is_drawn_for_one_strategy_or_both():
    darts = make_history(best_score={50: 0.8, 100: 0.9}, spent_flops={50: 1e12, 100: 3e12})
    sampled = make_history(best_score={1: 0.7, 2: 0.7}, spent_flops={1: 1.4e12, 2: 2.9e12})

    both = figures.best_so_far_curves({"darts": darts, "random": sampled})
    one = figures.best_so_far_curves({"darts": darts})

    blue, orange = ((pixels(both) == colour).all(axis=2) for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)))
    assert blue.any() and orange.any()
    assert blue.nonzero()[0].min() < orange.nonzero()[0].min()  # 0.9 stands above 0.7
    assert not (pixels(one) == (0xD5, 0x5E, 0x00)).all(axis=2).any()
    assert one == figures.best_so_far_curves({"darts": darts})


def test_a_fourth_curve_has_the_colour_of_the_first_and_dashes():
    found = make_history(best_score={1: 0.7, 100: 0.7}, spent_flops={1: 1e12, 100: 3e12})
    others = {name: make_history(best_score={1: 0.1}, spent_flops={1: 1e12}) for name in ("one_shot", "random")}

    def blue(curves):
        return (pixels(figures.best_so_far_curves(curves)) == (0x00, 0x72, 0xB2)).all(axis=2).sum()

    first = {"darts": found, **others, "darts in clearer": others["random"]}
    fourth = {"darts": others["random"], **others, "darts in clearer": found}
    assert 0 < blue(fourth) < blue(first)  # a long line, whole and in dashes; a point


def test_a_history_without_the_best_so_far_is_refused():
    with pytest.raises(ValueError, match=r"got none of \['best_score'\] for random; run search again"):
        figures.best_so_far_curves(
            {
                "darts": make_history(best_score={1: 0.8}, spent_flops={1: 1e12}),
                "random": make_history(spent_flops={1: 1e12}),
            }
        )


def test_choices_are_drawn_from_zero():
    history = make_history(
        alpha_entropy={1: 1.79, 2: 1.5},
        beta_entropy={1: 1.1, 2: 1.0},
        skip_share={1: 0.17, 2: 0.2},
        none_share={1: 0.17, 2: 0.1},
    )

    assert figures.choice_curves(history) == figures.choice_curves(dict(reversed(history.items())))
