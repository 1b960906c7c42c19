"""Who is best, and whether the test images can tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from nasir.evaluation.statistics import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The best of several methods on the images that all of them share."""

    best: str
    second: str
    against_second: Comparison  # best minus second
    is_clear: bool  # the paired interval of best against every other method excludes zero


def hold(scores: Mapping[str, Mapping[str, float]]) -> Contest | None:
    """Find the method with the highest mean and compare it with each other one, image by image.

    Args:
        scores: by method, the value of each image by its name; more is better.

    Returns:
        None where nothing can be compared: fewer than two methods, or fewer than two images that all of them share.
    """
    if len(scores) < 2:
        return None
    names = shared(*scores.values())
    if len(names) < 2:
        return None
    common = {method: {name: values[name] for name in names} for method, values in scores.items()}
    best, second, *others = sorted(common, key=lambda method: fmean(common[method].values()), reverse=True)
    against_second = compare(common[best], common[second])
    others_excluded = (compare(common[best], common[other]).difference.excludes_zero for other in others)
    return Contest(
        best=best,
        second=second,
        against_second=against_second,
        is_clear=against_second.difference.excludes_zero and all(others_excluded),
    )


def compare_shared(a: Mapping[str, float], b: Mapping[str, float]) -> Comparison | None:
    """`compare` on the images that both have; None where these are fewer than two."""
    names = shared(a, b)
    if len(names) < 2:
        return None
    return compare({name: a[name] for name in names}, {name: b[name] for name in names})


def shared(first: Mapping[str, float], *others: Mapping[str, float]) -> list[str]:
    """Images that all have, in the order of the first."""
    return [name for name in first if all(name in values for values in others)]
