"""Synthetic motion blur: a function of its key, a trace of a given length, a convolution by closed forms."""

import hashlib

import numpy as np
import pytest
from skimage.data import astronaut, chelsea, coffee

from nasir.data.pairs import motion
from nasir.data.pairs.motion import blur, blurred, draw, spread, trace

BOX = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]]) / 3
NAMES = [f"train/{number}" for number in range(60)]


def generator_of(text: bytes) -> np.random.Generator:
    key = hashlib.sha256(text).digest()[:16]
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))


def test_key_is_the_first_half_of_the_sha256_of_a_json_list():
    generator = generator_of(b'["motion", "train/1", 0]')
    length, unrest = 12 + 20 * generator.random(), 0.1 + 0.7 * generator.random()  # drawn in this order

    assert np.array_equal(draw("train/1", 0), spread(trace(length, unrest, generator)))


def test_a_kernel_is_that_of_its_name_and_seed_in_any_order():
    there = {(name, seed): draw(name, seed) for seed in (0, 1) for name in NAMES[:5]}
    back = {(name, seed): draw(name, seed) for name in reversed(NAMES[:5]) for seed in (1, 0)}

    assert all(np.array_equal(there[key], back[key]) for key in there)
    assert len({kernel.tobytes() for kernel in there.values()}) == 10


def test_kernels_sum_to_one_and_are_centred_with_an_odd_side():
    for name in NAMES:
        kernel = draw(name, 0)
        side = len(kernel)
        along = np.arange(side) - side // 2

        assert kernel.shape == (side, side) and side % 2 == 1 and side <= 33
        assert kernel.min() >= 0 and kernel.sum() == pytest.approx(1, abs=1e-12)
        # centre of gravity
        assert (kernel.sum(axis=1) @ along, kernel.sum(axis=0) @ along) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("unrest", [0.0, 0.3, 1.0])
def test_a_trace_has_its_length_and_its_mean_is_the_middle(unrest):
    points = trace(20.0, unrest, np.random.default_rng(0))

    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps == pytest.approx(np.full(motion.STEPS, 20 / motion.STEPS))
    assert points.mean(axis=0) == pytest.approx((0, 0), abs=1e-12)


def test_without_unrest_a_trace_is_straight():
    points = trace(20.0, 0.0, np.random.default_rng(0))

    assert np.linalg.norm(points[-1] - points[0]) == pytest.approx(20)


def test_the_next_heading_is_that_of_the_equation():
    # with nothing but unrest 1 and no jerk in these draws: u = h + 0.25 z - 0.1 p / length
    length, unrest = 16.0, 1.0
    generator = np.random.default_rng(3)
    drawn = generator.standard_normal((motion.STEPS + 1, 2))
    assert (generator.random(motion.STEPS)[:2] > 3 / motion.STEPS).all()
    heading, place = drawn[0] / np.linalg.norm(drawn[0]), np.zeros(2)
    expected = [place]
    for z in drawn[1:3]:
        u = heading + 0.25 * z - 0.1 * place / length
        heading = u / np.linalg.norm(u)
        place = place + length / motion.STEPS * heading
        expected.append(place)

    points = trace(length, unrest, np.random.default_rng(3))

    assert points[1:3] - points[0] == pytest.approx(np.array(expected[1:]))


def test_a_jerk_turns_the_point_round(monkeypatch):
    monkeypatch.setattr(motion, "JERKS", motion.STEPS)  # one in each step at unrest 1
    monkeypatch.setattr(motion, "TURN", 0.0)

    points = trace(25.6, 1.0, np.random.default_rng(0))

    # to and fro by 0.1 px
    assert points[::2] == pytest.approx(np.broadcast_to(points[0], points[::2].shape))
    assert np.linalg.norm(points[1] - points[0]) == pytest.approx(0.1)


def test_light_is_spread_bilinearly():
    # a quarter of the way down and half of it right, and one place in the middle
    points = np.array([[0.25, 0.5], [0.0, 0.0]])

    expected = np.zeros((3, 3))
    expected[1, 1], expected[1, 2] = 0.75 * 0.5 / 2 + 0.5, 0.75 * 0.5 / 2
    expected[2, 1], expected[2, 2] = 0.25 * 0.5 / 2, 0.25 * 0.5 / 2
    assert spread(points) == pytest.approx(expected)


def test_three_places_in_a_row_are_a_box():
    assert spread(np.array([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]])) == pytest.approx(BOX)
    assert spread(np.zeros((5, 2))).tolist() == [[1.0]]


def test_a_kernel_of_one_pixel_changes_nothing():
    clean = np.random.default_rng(0).random((3, 7, 9))
    wide = np.zeros((5, 5))
    wide[2, 2] = 1

    assert np.array_equal(blur(clean, np.ones((1, 1))), clean)
    assert np.array_equal(blur(clean, wide), clean)


def test_a_box_is_the_mean_of_three_with_the_border_mirrored():
    clean = np.array([[[0.0, 0.3, 0.9, 0.6]]])

    # (0 + 0 + 0.3) / 3, (0 + 0.3 + 0.9) / 3, (0.3 + 0.9 + 0.6) / 3, (0.9 + 0.6 + 0.6) / 3
    assert blur(clean, BOX) == pytest.approx(np.array([[[0.1, 0.4, 0.6, 0.7]]]))
    assert blur(clean, BOX.T) == pytest.approx(clean)  # of one row, which is its own mirror image


def test_a_bright_point_becomes_the_kernel_and_not_its_mirror_image():
    kernel = draw("train/1", 0)
    reach = len(kernel) // 2
    clean = np.zeros((3, 51, 61))
    clean[:, 20, 30] = 1

    found = blur(clean, kernel)

    assert not np.array_equal(kernel, kernel[::-1, ::-1])
    around = found[:, 20 - reach : 21 + reach, 30 - reach : 31 + reach]
    assert np.allclose(around, kernel, atol=1e-12)
    assert found.sum() == pytest.approx(3)


def test_a_constant_image_stays_but_for_the_sensors_noise():
    clean = np.full((200, 180, 3), 100, np.uint8)
    still = blur(clean.transpose(2, 0, 1) / 255, draw("flat", 0))
    assert np.array_equal(np.rint(255 * still), clean.transpose(2, 0, 1))

    levels = blurred(clean, "flat", 0).astype(float) - 100

    # of n = 108,000 values; rounding adds 1 / 12 to the variance of 1
    assert levels.mean() == pytest.approx(0, abs=5 * 1.04 / 328)
    assert levels.var() == pytest.approx(1 + 1 / 12, abs=5 * 1.083 * (2 / 108000) ** 0.5)
    assert np.corrcoef(levels[..., 0].ravel(), levels[..., 1].ravel())[0, 1] == pytest.approx(0, abs=5 / 190)


def test_blurred_is_blur_and_noise_of_the_name_rounded():
    clean = chelsea()[:60, :70]
    noise = generator_of(b'["sensor", "train/1", 4]').standard_normal((3, 60, 70))
    sharp = clean.transpose(2, 0, 1) / 255

    expected = np.rint(255 * np.clip(blur(sharp, draw("train/1", 4)) + noise / 255, 0, 1))

    assert np.array_equal(blurred(clean, "train/1", 4), expected.transpose(1, 2, 0))
    assert np.array_equal(blurred(clean, "train/1", 4), blurred(clean, "train/1", 4))


def test_pairs_of_photographs_have_22_to_28_db_in_the_mean():
    values = []
    for number, clean in enumerate((astronaut(), chelsea(), coffee()) * 4):
        error = np.square(blurred(clean, f"train/{number}", 0).astype(float) - clean).mean()
        values.append(10 * np.log10(255**2 / error))

    assert 22 < np.mean(values) < 28
    assert min(values) > 16 and max(values) < 36


@pytest.mark.parametrize(
    ("length", "unrest", "got"), [(0.0, 0.5, "0 and 0.5"), (np.inf, 0.5, "inf and 0.5"), (9.0, 1.2, "9 and 1.2")]
)
def test_a_trace_that_cannot_be_is_refused(length, unrest, got):
    with pytest.raises(ValueError, match=rf"length above 0 px, finite, and an unrest in \[0, 1\], got {got}; correct"):
        trace(length, unrest, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("points", "got"),
    [
        (np.zeros((0, 2)), r"shape \(0, 2\), 0 of 0"),
        (np.zeros((3, 3)), r"shape \(3, 3\), 9 of 9"),
        (np.array([[0.0, np.nan]]), r"shape \(1, 2\), 1 of 2"),
    ],
)
def test_points_that_are_no_trace_are_refused(points, got):
    with pytest.raises(
        ValueError, match=rf"must be places \(y, x\), finite, of shape \(n, 2\), got {got} numbers finite"
    ):
        spread(points)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((2, 2)) / 4, r"square with an odd side, got shape \(2, 2\); pad it with zeros"),
        (np.ones((1, 3)) / 3, r"square with an odd side, got shape \(1, 3\)"),
        (np.ones((3, 3)), r"sum to 1, got a least of 1 and a sum of 9; divide them by their sum"),
        (np.diag([1.0, 1.0, -1.0]), r"must be 0 or more and sum to 1, got a least of -1 and a sum of 1"),
        (np.full((3, 3), np.nan), r"must be 0 or more and sum to 1, got a least of nan"),
    ],
)
def test_what_is_no_kernel_is_refused(kernel, message):
    with pytest.raises(ValueError, match=message):
        blur(np.zeros((3, 8, 8)), kernel)


def test_images_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"floats of shape \(C, H, W\), got uint8 of shape \(3, 8, 8\); convert 8-bit"):
        blur(np.zeros((3, 8, 8), np.uint8), BOX)
    with pytest.raises(ValueError, match=r"floats of shape \(C, H, W\), got float64 of shape \(8, 8\)"):
        blur(np.zeros((8, 8)), BOX)
    with pytest.raises(ValueError, match=r"clean must lie in \[0, 1\], got 0 to 2; divide 8-bit images by 255"):
        blur(np.array([[[0.0, 2.0]]]), BOX)
    with pytest.raises(ValueError, match=r"train/1 must be uint8 of shape \(H, W, 3\), got uint8 of shape \(4, 5\)"):
        blurred(np.zeros((4, 5), np.uint8), "train/1", 0)
