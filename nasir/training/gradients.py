"""Gradients of a loss: over a batch in parts, over processes, and refused where the loss is not finite."""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nasir.layers.keeping import put_back
from nasir.training.parallel import add_up


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


def finite(loss: Tensor, where: str, section: str) -> float:
    """The loss as a number, or an error that names `where` it was not finite, and the section whose rate is too high."""
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss must be finite, got {value} at {where}; lower {section}.lr_max or look at the training images."
        )
    return value


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of `loss` with respect to each parameter, None for one that it does not depend on.

    Where several processes share a batch, each has its part of the gradient, and this is the sum.
    """
    return add_up(torch.autograd.grad(loss, parameters, allow_unused=True))
