"""The split of the training images into W (weights), A (architecture) and V (validation)."""

import random
from collections.abc import Sequence


def split(names: Sequence[str], w: float, a: float, v: float, seed: int) -> dict[str, list[str]]:
    """Divide images by name; IR-NAS, section 3.3: W, A and V are disjoint.

    V gets the nearest whole number of images to its share, at least one; the rest goes to W and A in proportion, W getting
    the odd one. The result depends on the names and the seed, not on the order of `names` nor on sigma.

    Args:
        names: of the training images, distinct.
        w, a, v: shares, summing to 1.
        seed: of the shuffle.

    Returns:
        {"w": [...], "a": [...], "v": [...]}, each sorted.

    Raises:
        ValueError: if there are fewer than three images (one for each part) or names repeat.
    """
    if len(set(names)) != len(names):
        raise ValueError("image names must be distinct, got repeated ones; look at the manifest.")
    if len(names) < 3:
        raise ValueError(f"expected at least 3 training images, one each for W, A and V; got {len(names)}.")
    shuffled = sorted(names)
    random.Random(seed).shuffle(shuffled)  # Mersenne Twister: the same order on every machine
    count_v = max(1, min(round(v * len(names)), len(names) - 2))
    rest = len(names) - count_v
    count_w = max(1, min(-int(-rest * w / (w + a) // 1), rest - 1))
    parts = {
        "w": shuffled[:count_w],
        "a": shuffled[count_w:rest],
        "v": shuffled[rest:],
    }
    return {name: sorted(part) for name, part in parts.items()}
