"""Gradients of a loss: over a batch in parts, and with every tensor put back that only helped to find them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nasir.training.parallel import add_up


@contextmanager
def put_back(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Afterwards `tensors` hold the bits that they held before, whatever was done to them in place."""
    pairs = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, kept in pairs:
            tensor.data.copy_(kept)  # through `data`: a pending backward pass may hold the tensor and never look at it


def forward_in_parts(network: nn.Module, noisy: Tensor, parts: int) -> Tensor:
    """The network's output for a batch that is worked off in `parts` equal parts, so that memory is that of one part.

    Only the last part keeps what its backward pass needs; the others are computed again when their turn comes. The loss
    is taken of the whole output, so its gradient is exact for a loss that is no mean over patches, too: the mean SSIM
    stands inside a logarithm. It costs (parts - 1) / parts of a forward pass. The other exact way, one backward pass
    for MSE and one for SSIM in each part, would cost a backward pass, about twice that, and hold two sets of gradients.

    Batch normalisation in training mode normalises each part by its own statistics, and its running statistics move once
    for each part, in the order of the parts. So two parts give what one gives only where there is none, or in evaluation
    mode.

    Args:
        network: maps a batch to a batch. It must compute the same at the second time: no dropout.
        noisy: shape (N, C, H, W).
        parts: divides N; 1 = as a whole.

    Raises:
        ValueError: if the batch cannot be divided so.
    """
    if len(noisy) % parts:
        raise ValueError(f"a batch must be a multiple of its parts ({parts}), got {len(noisy)} patches.")
    *early, last = noisy.chunk(parts)
    outputs = [
        checkpoint(
            network,
            part,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), put_back(network.buffers())),  # running statistics move once
        )
        for part in early
    ]
    return torch.cat([*outputs, network(last)]) if outputs else network(last)


def finite(loss: Tensor, where: str) -> float:
    """The loss as a number, or an error that names `where` it was not finite."""
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss must be finite, got {value} at {where}; lower search.lr_max or look at the training images."
        )
    return value


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of `loss` with respect to each parameter, None for one that it does not depend on.

    Where several processes share a batch, each has its part of the gradient, and this is the sum.
    """
    return add_up(torch.autograd.grad(loss, parameters, allow_unused=True))
