"""Which pairs of pictures may be one: keypoints that look alike and agree on a placement."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nasir.data.duplicates.keypoints import MIRROR, Array, Keypoints
from nasir.data.duplicates.registration import Placement, fit

Indices = NDArray[np.intp]

DISTANCE = 0.45  # of two descriptors that may show the same; one in 100,000 of unlike ones lies as near
CENTRES = 1024  # at most; a descriptor is looked for among those that share one of its centres
SHARE = 64  # descriptors for each centre, where they are few
NEAREST = 2  # centres that a descriptor is looked for at
BLOCK = 4096  # descriptors at once
MOST_MATCHES = 40  # of a pair of pictures, the nearest, that its placement is made of
LEAST_MATCHES = 3  # that must agree on it, at as many places


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Two pictures, by number, and where the first (mirrored, if so) lies in the second."""

    first: int
    second: int
    is_mirrored: bool
    placement: Placement


def propose(points: Sequence[Keypoints], widths: Sequence[int], parts: Sequence[int], pool: Executor) -> list[Proposal]:
    """Propose pairs of pictures of different parts.

    Args:
        points: keypoints of each picture.
        widths: columns of each picture.
        parts: a number for each picture; those of one part are not paired.
        pool: where the work is done; its order does not matter.
    """
    picture = np.repeat(np.arange(len(points)), [len(one.x) for one in points])
    if len(picture) == 0:
        return []
    descriptors = np.concatenate([one.descriptor for one in points])
    place = np.stack([np.concatenate([one.x for one in points]), np.concatenate([one.y for one in points])])
    scale = np.concatenate([one.scale for one in points])
    proposals = []
    for is_mirrored in (False, True):
        turned, placed = descriptors, place
        if is_mirrored:
            last = np.array(widths)[picture] - 1
            turned, placed = descriptors * MIRROR, np.stack([last - place[0], place[1]])
        first, second = _neighbours(turned, descriptors, picture, np.asarray(parts), pool)
        for q, m in _groups(first, second, picture, len(points)):
            if len(q) > MOST_MATCHES:
                far = ((turned[q] - descriptors[m]) ** 2).sum(axis=1)
                nearest = np.argsort(far, kind="stable")[:MOST_MATCHES]
                q, m = q[nearest], m[nearest]
            fitted = fit(placed[:, q], place[:, m], scale[m] / scale[q])
            if fitted is None:
                continue
            placement, agrees = fitted
            if min(_count_places(placed[:, q[agrees]]), _count_places(place[:, m[agrees]])) >= LEAST_MATCHES:
                i, j = int(picture[q[0]]), int(picture[m[0]])
                proposals.append(Proposal(first=i, second=j, is_mirrored=is_mirrored, placement=placement))
    return proposals


def _neighbours(
    turned: Array, descriptors: Array, picture: Indices, part: Indices, pool: Executor
) -> tuple[Indices, Indices]:
    """Pairs of a turned descriptor and one as it is that lie near each other, the first of an earlier picture.

    An inverted file: some descriptors serve as centres, each descriptor is kept at its nearest centre and looked for at its
    two nearest. That misses one pair in ten and takes a hundredth of the comparisons.
    """
    count = max(1, min(CENTRES, len(descriptors) // SHARE))
    centres = descriptors[:: len(descriptors) // count][:count]
    [home] = _centres_of(descriptors, centres, 1, pool).T
    kept = np.argsort(home, kind="stable")
    kept_ends = np.searchsorted(home[kept], np.arange(count + 1))
    asked = _centres_of(turned, centres, min(NEAREST, count), pool)
    owner = np.repeat(np.arange(len(turned)), asked.shape[1])
    order = np.argsort(asked.ravel(), kind="stable")
    asking, asking_ends = owner[order], np.searchsorted(asked.ravel()[order], np.arange(count + 1))
    power_turned, power = (turned**2).sum(axis=1), (descriptors**2).sum(axis=1)

    def look(centre: int) -> tuple[Indices, Indices]:
        m = kept[kept_ends[centre] : kept_ends[centre + 1]]
        q = asking[asking_ends[centre] : asking_ends[centre + 1]]
        half = (power[m] - DISTANCE**2) / 2
        rows, columns = np.nonzero(turned[q] @ descriptors[m].T > half + power_turned[q, None] / 2)
        q, m = q[rows], m[columns]
        is_wanted = (picture[q] < picture[m]) & (part[picture[q]] != part[picture[m]])
        return q[is_wanted], m[is_wanted]

    pairs = list(pool.map(look, range(count)))
    return np.concatenate([q for q, _ in pairs]), np.concatenate([m for _, m in pairs])


def _centres_of(descriptors: Array, centres: Array, count: int, pool: Executor) -> Indices:
    """The nearest centres of each descriptor, shape (N, count)."""
    half = (centres**2).sum(axis=1) / 2

    def choose(start: int) -> Indices:
        nearness = descriptors[start : start + BLOCK] @ centres.T - half
        chosen = np.empty((len(nearness), count), dtype=np.intp)
        rows = np.arange(len(nearness))
        for column in range(count):
            chosen[:, column] = nearness.argmax(axis=1)
            nearness[rows, chosen[:, column]] = -np.inf
        return chosen

    return np.concatenate(list(pool.map(choose, range(0, len(descriptors), BLOCK))))


def _groups(first: Indices, second: Indices, picture: Indices, count: int) -> Iterator[tuple[Indices, Indices]]:
    """The pairs of descriptors, pair of pictures by pair of pictures; too few are left out."""
    key = picture[first] * count + picture[second]
    order = np.argsort(key, kind="stable")
    key, first, second = key[order], first[order], second[order]
    ends = np.concatenate([[0], np.flatnonzero(np.diff(key)) + 1, [len(key)]])
    for start, end in pairwise(ends):
        if end - start >= LEAST_MATCHES:
            yield first[start:end], second[start:end]


def _count_places(place: Array) -> int:
    """How many of these places, shape (2, N), differ by 3 pixels or so: several keypoints may sit on one."""
    return len(np.unique(np.floor(place / 3), axis=1).T)
