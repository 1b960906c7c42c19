"""Laying one picture on another, and whether they are the same exposure.

Two pictures are the same when they correlate pixel by pixel once laid on each other. What decides is their detail, not
their brightness: two skies correlate at 0.96 by chance. So both are band-passed and their slopes are correlated window by
window, where there is structure. Any horizon correlates with any other across, so a window counts along its weaker
direction. The median of the windows is the answer: at least half of what can be seen must agree. Two shots of one scene
agree in what stood still alone, a common logo or frame in a small part of the picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasir.data.duplicates.keypoints import Array, blur

TOLERANCE = 2.5  # px, between where a match should lie and where it lies
OCTAVES = 0.6  # between the ratio of two keypoints' scales and that of the pictures
BASELINE = 16.0  # px, least distance of the two matches that a hypothesis stands on
SCALES = (0.3, 3.4)  # copies are at most so much smaller or larger
FINE, COARSE = 1.5, 6.0  # px, the Gaussians whose difference is the band
WINDOW = 12  # px, side of a window
# grey levels a pixel: a window counts if both pictures slope by the first, or one by the second
FAINT, CLEAR = 0.7, 1.4
NARROWEST = 24  # px, shortest side of an overlap
STEPS = 5  # of the refinement
SETTLED = 0.03  # px; a smaller step ends it


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the first picture lies in the second: (x, y) at scale_x x + shift_x, scale_y y + shift_y, in pixels."""

    scale_x: float
    scale_y: float
    shift_x: float
    shift_y: float

    def inverse(self) -> "Placement":
        """Where the second picture lies in the first."""
        return Placement(
            scale_x=1 / self.scale_x,
            scale_y=1 / self.scale_y,
            shift_x=-self.shift_x / self.scale_x,
            shift_y=-self.shift_y / self.scale_y,
        )

    def then(self, other: "Placement") -> "Placement":
        """This placement, and what it gives placed by the other."""
        return Placement(
            scale_x=self.scale_x * other.scale_x,
            scale_y=self.scale_y * other.scale_y,
            shift_x=self.shift_x * other.scale_x + other.shift_x,
            shift_y=self.shift_y * other.scale_y + other.shift_y,
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How well two pictures agree where one lies on the other."""

    correlation: float  # median over the windows with structure, in [-1, 1]; 0 without any
    windows: int  # with structure
    overlap: float  # share of the picture that shows less of the scene, in [0, 1]
    placement: Placement


def fit(first: Array, second: Array, ratio: Array) -> tuple[Placement, NDArray[np.bool_]] | None:
    """The scale and shift that most matches agree on; every two matches are a hypothesis.

    Args:
        first, second: x and y of the matched keypoints in either picture, shape (2, N).
        ratio: scale of the second keypoint over that of the first, shape (N,).

    Returns:
        The placement by least squares and which matches agree, shape (N,); None where no two matches make one.
    """
    i, j = np.triu_indices(first.shape[1], 1)
    from_i, to_j = first[:, j] - first[:, i], second[:, j] - second[:, i]
    length = (from_i**2).sum(axis=0)
    scale = (from_i * to_j).sum(axis=0) / np.maximum(length, 1)
    is_possible = (length > BASELINE**2) & (scale > SCALES[0]) & (scale < SCALES[1])
    i, j, scale = i[is_possible], j[is_possible], scale[is_possible]
    is_possible = np.abs(np.log2(scale / ratio[i])) < OCTAVES
    i, j, scale = i[is_possible], j[is_possible], scale[is_possible]
    if len(scale) == 0:
        return None
    shift = (second[:, i] + second[:, j] - scale * (first[:, i] + first[:, j])) / 2
    missed = np.abs(scale[:, None] * first[:, None] + shift[:, :, None] - second[:, None]).max(axis=0)
    is_near = missed < TOLERANCE * np.maximum(1, scale)[:, None]
    agrees = is_near & (np.abs(np.log2(scale[:, None] / ratio)) < OCTAVES)
    best = agrees[np.argmax(agrees.sum(axis=1))]
    if best.sum() < 2:
        return None

    centre_first, centre_second = (xy[:, best].mean(axis=1, keepdims=True) for xy in (first, second))
    around_first, around_second = first[:, best] - centre_first, second[:, best] - centre_second
    length = (around_first**2).sum()
    if length < BASELINE**2 / 2:  # what two matches at that distance have
        return None
    s = float((around_first * around_second).sum() / length)
    shift_x, shift_y = (float(value) for value in (centre_second - s * centre_first).ravel())
    return Placement(scale_x=s, scale_y=s, shift_x=shift_x, shift_y=shift_y), best


def compare(first: Array, second: Array, placement: Placement) -> Comparison | None:
    """Lay the finer picture on the coarser, refine the placement and correlate the detail.

    Args:
        first, second: grey levels in [0, 255], float32, shapes (H, W).
        placement: where the first lies in the second, right to a few pixels.

    Returns:
        None where the overlap is narrower than 24 pixels of the coarser picture.
    """
    if placement.scale_x > 1:
        turned = compare(second, first, placement.inverse())
        return turned and Comparison(
            correlation=turned.correlation,
            windows=turned.windows,
            overlap=turned.overlap,
            placement=turned.placement.inverse(),
        )
    area = _area(first.shape, second.shape, placement)
    if area is None:
        return None
    left, top, right, bottom = area
    scale = min(placement.scale_x, 1.0)
    smooth = blur(first, 0.5 * np.sqrt(1 / scale**2 - 1)) if scale < 0.95 else first  # no aliases of finer detail
    back = placement.inverse()
    a = _sample(
        smooth,
        Placement(
            scale_x=back.scale_x,
            scale_y=back.scale_y,
            shift_x=back.shift_x + left * back.scale_x,
            shift_y=back.shift_y + top * back.scale_y,
        ),
        (bottom - top, right - left),
    )
    b = second[top:bottom, left:right]
    a, b = _band(a), _band(b)
    residual = _refine(a, b)
    correlation, windows = _correlate(_sample(a, residual, a.shape), b)
    smaller = min(second.size, first.size * placement.scale_x * placement.scale_y)
    corner = Placement(scale_x=1.0, scale_y=1.0, shift_x=-left, shift_y=-top)
    refined = placement.then(corner).then(residual.inverse()).then(corner.inverse())
    return Comparison(correlation=correlation, windows=windows, overlap=min(1.0, a.size / smaller), placement=refined)


def _area(first: tuple[int, ...], second: tuple[int, ...], placement: Placement) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what the first covers of the second."""
    far_x = placement.scale_x * (first[1] - 1) + placement.shift_x
    far_y = placement.scale_y * (first[0] - 1) + placement.shift_y
    left, right = max(0, int(np.ceil(placement.shift_x))), min(second[1], int(np.floor(far_x)) + 1)
    top, bottom = max(0, int(np.ceil(placement.shift_y))), min(second[0], int(np.floor(far_y)) + 1)
    return (left, top, right, bottom) if min(right - left, bottom - top) >= NARROWEST else None


def _sample(image: Array, placement: Placement, shape: tuple[int, ...]) -> Array:
    """The picture at scale x + shift for all x of a grid, between pixels by their distance, first by rows."""
    rows, lower = _between(placement.scale_y * np.arange(shape[0]) + placement.shift_y, image.shape[0])
    columns, right = _between(placement.scale_x * np.arange(shape[1]) + placement.shift_x, image.shape[1])
    lines = image[rows] + lower[:, None] * (image[rows + 1] - image[rows])
    return np.asarray(lines[:, columns] + right * (lines[:, columns + 1] - lines[:, columns]), dtype=np.float32)


def _between(places: NDArray[np.floating], length: int) -> tuple[NDArray[np.intp], Array]:
    """The pixel before each place and how far beyond it the place is, in [0, 1]; outside counts as at the border."""
    inside = np.clip(places, 0, length - 1)
    before = np.minimum(inside.astype(np.intp), length - 2)
    return before, (inside - before).astype(np.float32)


def _band(image: Array) -> Array:
    return blur(image, FINE) - blur(image, COARSE)


def _refine(a: Array, b: Array) -> Placement:
    """The small placement p that minimises the sum of (gain a(p(x)) - b(x))^2, by Gauss-Newton.

    Lucas and Kanade, IJCAI 1981, with a scale and a shift for each axis and a gain.
    """
    x, y = (np.arange(length) - (length - 1) / 2 for length in (a.shape[1], a.shape[0]))
    found = Placement(scale_x=1.0, scale_y=1.0, shift_x=0.0, shift_y=0.0)
    for _ in range(STEPS):
        moved = _sample(a, found, a.shape)
        along_y, along_x = _slopes(moved)
        slopes = np.stack([along_x * x / 100, along_x, along_y * y[:, None] / 100, along_y, moved]).reshape(5, -1)
        step = np.linalg.solve(slopes @ slopes.T + 1e-3 * np.eye(5), slopes @ b.ravel())
        if step[4] < 0.05:  # no gain: they do not agree at all
            break
        grow_x, move_x, grow_y, move_y = np.clip(step[:4] / step[4], -2, 2)
        small = Placement(
            scale_x=1 + grow_x / 100,
            scale_y=1 + grow_y / 100,
            shift_x=move_x - grow_x / 100 * (a.shape[1] - 1) / 2,
            shift_y=move_y - grow_y / 100 * (a.shape[0] - 1) / 2,
        )
        found = small.then(found)
        if max(abs(grow_x), abs(move_x), abs(grow_y), abs(move_y)) < SETTLED:
            break
    return found


def _correlate(a: Array, b: Array) -> tuple[float, int]:
    """The median over the windows with structure of the correlation along their weaker direction, and how many those are.

    Slopes g of either picture have the tensors A = sum g_a g_a^T and B, and C = sum g_a g_b^T between them. Along e, the
    eigenvector of A + B with the smaller eigenvalue, they correlate at e^T C e / sqrt(e^T A e . e^T B e).
    """
    (a_y, a_x), (b_y, b_x) = _slopes(a), _slopes(b)
    first = [_per_window(product) for product in (a_x * a_x, a_y * a_y, a_x * a_y)]
    second = [_per_window(product) for product in (b_x * b_x, b_y * b_y, b_x * b_y)]
    both = [_per_window(product) for product in (a_x * b_x, a_y * b_y, (a_x * b_y + a_y * b_x) / 2)]
    xx, yy, xy = (one + other for one, other in zip(first, second, strict=True))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    x, y = np.cos(angle), np.sin(angle)
    power_a, power_b, common = (t[0] * x * x + t[1] * y * y + 2 * t[2] * x * y for t in (first, second, both))
    has_structure = (np.minimum(power_a, power_b) > FAINT**2) | (np.maximum(power_a, power_b) > CLEAR**2)
    count = int(has_structure.sum())
    if count == 0:
        return 0.0, 0
    found = common[has_structure] / np.sqrt(np.maximum(power_a * power_b, 1e-9)[has_structure])
    return float(np.clip(np.median(found), -1, 1)), count


def _slopes(image: Array) -> tuple[Array, Array]:
    """Central differences by rows and by columns, grey levels a pixel."""
    by_rows, by_columns = np.gradient(image)
    return np.asarray(by_rows, dtype=np.float32), np.asarray(by_columns, dtype=np.float32)


def _per_window(product: NDArray[np.floating]) -> NDArray[np.float64]:
    """Means over windows side by side, in double precision; what is left over at the right and below is dropped."""
    rows, columns = product.shape[0] // WINDOW, product.shape[1] // WINDOW
    whole = product[: rows * WINDOW, : columns * WINDOW].reshape(rows, WINDOW, columns, WINDOW)
    return np.asarray(whole.mean(axis=(1, 3), dtype=np.float64))
