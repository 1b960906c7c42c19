"""The split of the training images into W (weights), A (architecture) and V (validation)."""

import random
from collections.abc import Mapping


def split(groups: Mapping[str, str], w: float, a: float, v: float, seed: int) -> dict[str, list[str]]:
    """Divide images by name; IR-NAS, section 3.3: W, A and V are disjoint.

    V gets the nearest whole number of images to its share, at least one; the rest goes to W and A in proportion, W getting
    the odd one. Groups are drawn whole: one that would stand across a border is in the part where it begins; where that
    would leave nothing for A or V, the last groups are theirs. The result depends on the names, the groups and the seed, not on
    their order nor on sigma.

    Args:
        groups: name of each training image -> what it shows; images that show the same are in one part.
        w, a, v: shares, summing to 1.
        seed: of the shuffle.

    Returns:
        {"w": [...], "a": [...], "v": [...]}, each sorted.

    Raises:
        ValueError: if there are too few different images for three parts.
    """
    count, different = len(groups), len(set(groups.values()))
    if different < 3:
        raise ValueError(f"expected at least 3 different training images, one each for W, A and V; got {different}.")
    members: dict[str, list[str]] = {}
    for name in sorted(groups):
        members.setdefault(groups[name], []).append(name)
    drawn = sorted(members)
    random.Random(seed).shuffle(drawn)  # Mersenne Twister: the same order on every machine
    count_v = max(1, min(round(v * count), count - 2))
    rest = count - count_v
    count_w = max(1, min(-int(-rest * w / (w + a) // 1), rest - 1))
    parts: dict[str, list[str]] = {"w": [], "a": [], "v": []}
    before = 0
    for left, group in zip(range(different, 0, -1), drawn, strict=True):
        part = "w" if before < count_w else "a" if before < rest else "v"
        if left == 2 and not parts["a"]:
            part = "a"
        if left == 1 and not parts["v"]:
            part = "v"
        parts[part] += members[group]
        before += len(members[group])
    return {name: sorted(part) for name, part in parts.items()}
