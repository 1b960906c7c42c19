"""Learning rates."""

import math


def cosine(step: int, steps: int, lr_max: float, lr_min: float) -> float:
    """SGDR (Loshchilov and Hutter, ICLR 2017), equation 5 without restarts: from lr_max at step 0 to lr_min at `steps`."""
    return lr_min + (lr_max - lr_min) * (1 + math.cos(math.pi * step / steps)) / 2
