"""Batch normalisation as the spaces use it: its statistics are those of the whole batch, over however many processes.

Where `torch.distributed` is not initialised, or has one process, everything here is plain torch, bit for bit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

MOMENTUM = 0.1
"""Of running statistics, torch's default."""


def world_size() -> int:
    """The number of processes that share a batch; 1 without `torch.distributed`."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def reduce_sum(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, on each of them; without a gradient.

    With one process it is `values` itself, not a copy. Every process must make the same calls in the same order.

    Raises:
        ConnectionError: if another process has ended, or does not answer within the process group's timeout.
    """
    if world_size() == 1:
        return values
    total = values.detach().clone(memory_format=torch.contiguous_format)
    together(lambda: distributed.all_reduce(total))
    return total


def reduce_sums(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`reduce_sum` of several tensors of any shapes in one exchange; with one process the tensors themselves."""
    if world_size() == 1 or not tensors:
        return tensors
    total = reduce_sum(torch.cat([tensor.detach().reshape(-1) for tensor in tensors]))
    parts = total.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(like.shape).to(like.dtype) for part, like in zip(parts, tensors, strict=True))


def together(exchange: Callable[[], object]) -> None:
    """Do what all processes do at once; its failure is that of another process, and is told as such."""
    try:
        exchange()
    except RuntimeError as error:  # gloo and NCCL have no type of their own for it
        reason = str(error).partition("\n")[0]
        raise ConnectionError(
            f"another process of this run has ended or does not answer ({reason}); its own message says why."
        ) from error


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation, in training over the images of all processes; each must have equally many.

    Ioffe and Szegedy, ICML 2015, algorithm 1 with the batch of all processes. The running variance is the unbiased one of
    that batch, as in torch. In evaluation nothing is exchanged. Works on a CPU, where `nn.SyncBatchNorm` does not.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        if world_size() == 1:
            dense: Tensor = _DenseGradient.apply(super().forward(x))
            return dense
        self._check_input_dim(x)
        normalised, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
            count = x.numel() // x.shape[1] * world_size()
            self.running_mean.mul_(1 - share).add_(mean, alpha=share)
            self.running_var.mul_(1 - share).add_(variance, alpha=share * count / (count - 1))
        return normalised


class _DenseGradient(torch.autograd.Function):
    """The identity; its gradient is laid out as its input is.

    A part of a concatenation gets a gradient that is a slice of a wider one. torch's kernel for the gradient of batch
    normalisation takes 10 to 40 times as long for such a slice on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        ctx.memory_format = torch.channels_last if is_last else torch.contiguous_format
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=ctx.memory_format)


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps), scaled and shifted; also gives mean and biased variance, without gradient.

    Two passes: the mean first, then the centred squares, since E[x^2] - E[x]^2 cancels. With r = 1 / sqrt(variance + eps)
    and n = (x - mean) r the gradient is r w (g - mean(g) - n mean(g n)), means over the images of all processes. Those of
    scale and shift are this process's part of the sum, as of every other parameter.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        count = x.numel() // x.shape[1] * world_size()
        mean = reduce_sum(exact.sum((0, 2, 3))) / count
        centred = exact - _by_channel(mean)
        variance = reduce_sum(centred.square().sum((0, 2, 3))) / count
        rate = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, scale, mean, rate)
        ctx.mark_non_differentiable(mean, variance)
        normalised = centred * _by_channel(rate)
        if scale is not None and shift is not None:
            normalised = normalised * _by_channel(scale) + _by_channel(shift)
        return normalised.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable  # a second derivative would need its own exchange
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, rate = ctx.saved_tensors
        g = gradients[0].to(mean.dtype)
        count = x.numel() // x.shape[1] * world_size()
        normalised = (x.to(mean.dtype) - _by_channel(mean)) * _by_channel(rate)
        d_shift, d_scale = g.sum((0, 2, 3)), (g * normalised).sum((0, 2, 3))
        sum_g, sum_gn = (_by_channel(total / count) for total in reduce_sums(d_shift, d_scale))
        d_x = (g - sum_g - normalised * sum_gn) * _by_channel(rate if scale is None else rate * scale)
        if scale is None:
            return d_x.to(x.dtype), None, None, None
        return d_x.to(x.dtype), d_scale.to(scale.dtype), d_shift.to(scale.dtype), None


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


def share_statistics(module: nn.Module) -> None:
    """Make every plain `nn.BatchNorm2d` below `module` a `BatchNorm`, in place, with the same parameters and buffers."""
    adopted: dict[int, nn.Module] = {}  # by the identity of the old one: what was shared stays shared
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if type(child) is nn.BatchNorm2d:
                if id(child) not in adopted:
                    adopted[id(child)] = _adopt(child)
                parent._modules[name] = adopted[id(child)]


def _adopt(plain: nn.BatchNorm2d) -> BatchNorm:
    norm = BatchNorm(plain.num_features, plain.eps, plain.momentum, plain.affine, plain.track_running_stats)
    norm._parameters, norm._buffers = plain._parameters, plain._buffers
    return norm.train(plain.training)


def _buffer(value: Tensor | None) -> Tensor:
    assert value is not None  # every normalisation of a supernet keeps running statistics
    return value


@torch.no_grad()
def follow(norms: Sequence[BatchNorm], means: list[Tensor], variances: list[Tensor], count: int) -> None:
    """Let running statistics follow those of a batch of `count` values, as torch does: momentum 0.1, unbiased variance."""
    unbiased = torch._foreach_mul(variances, count / (count - 1))
    for name, batch in (("running_mean", means), ("running_var", unbiased)):
        running = [_buffer(getattr(norm, name)) for norm in norms]
        torch._foreach_lerp_(running, list(batch), MOMENTUM)
    torch._foreach_add_([_buffer(norm.num_batches_tracked) for norm in norms], 1)
