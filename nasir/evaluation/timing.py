"""How long a denoiser takes."""

from time import perf_counter

from torch import Tensor

from nasir.evaluation.protocols import Denoiser


class Timed:
    """A denoiser that adds up the seconds spent in it, the way back to the CPU included."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.seconds = 0.0

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        start = perf_counter()
        restored = self.denoiser(noisy, sigma).cpu()
        self.seconds += perf_counter() - start
        return restored
