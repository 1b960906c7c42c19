"""Of what costs a network, counted where: operations within groups of its modules."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def flops_within(
    network: nn.Module, x: Tensor, groups: Mapping[str, Iterable[nn.Module]]
) -> tuple[int, dict[str, int]]:
    """Floating-point operations of one forward pass; which are counted says `nasir.layers.cost.flops_per_pixel`.

    Args:
        network: in evaluation mode.
        x: its input, shape (N, C, H, W).
        groups: by name, modules of the network; no call of one group's module lies in that of another's.

    Returns:
        Those of the whole network, and those within each group.
    """
    found = dict.fromkeys(groups, 0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:

        @contextmanager
        def count(name: str) -> Iterator[None]:
            before = counter.get_total_flops()
            yield
            found[name] += counter.get_total_flops() - before

        with within(groups, count):
            network(x)
    return counter.get_total_flops(), found


@contextmanager
def within(
    groups: Mapping[str, Iterable[nn.Module]], enter: Callable[[str], AbstractContextManager[object]]
) -> Iterator[None]:
    """Meanwhile a call of a group's module runs inside of what `enter` gives for the group's name.

    Of calls inside each other the outermost counts.
    """
    with ExitStack() as hooks:
        for name, modules in groups.items():
            calls: list[ExitStack] = []
            for module in modules:
                hooks.callback(module.register_forward_pre_hook(_opener(name, calls, enter)).remove)
                hooks.callback(module.register_forward_hook(_closer(calls), always_call=True).remove)
        yield


def _opener(
    name: str, calls: list[ExitStack], enter: Callable[[str], AbstractContextManager[object]]
) -> Callable[..., None]:
    def open_call(*_: object) -> None:
        calls.append(ExitStack())
        if len(calls) == 1:
            calls[-1].enter_context(enter(name))

    return open_call


def _closer(calls: list[ExitStack]) -> Callable[..., None]:
    def close_call(*_: object) -> None:
        calls.pop().close()

    return close_call
