"""Tensors that are changed for a while and then hold again what they held."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor


@contextmanager
def put_back(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Afterwards `tensors` hold the bits that they held before, whatever was done to them in place."""
    pairs = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, kept in pairs:
            tensor.data.copy_(kept)  # through `data`: a pending backward pass may hold the tensor and never look at it
