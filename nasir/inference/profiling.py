"""What a forward pass takes, and which kinds of layers take it: of the network as it runs, batch normalisation folded."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from nasir.inference.fusing import fuse
from nasir.layers import cost
from nasir.layers.breakdown import flops_within, within
from nasir.layers.deformable import DeformableConv

KINDS = ("convolution", "depthwise", "pointwise", "deformable", "other")
"""Convolutions on a fixed grid, of each channel alone, of 1x1 pixels; deformable ones with their offsets; all else."""

OTHER = "other"
"""What is no layer of a kind."""

PASS = "forward pass"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """All layers of one kind, in one forward pass."""

    name: str  # of KINDS
    layers: int  # in the network; 0 of the kind "other"
    parameters: int
    flops: int
    share: float  # of the time, in [0, 1]
    seconds: float  # its share of those of the pass
    tensors_mib: float  # most memory at one time while such a layer runs, of all that the pass holds then


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One forward pass of one image."""

    parameters: int
    flops: int  # as `nasir.layers.cost.flops_per_pixel` counts them
    seconds: float  # least of the rounds
    tensors_mib: (
        float  # most memory at one time of what the pass makes; without weights, image and the libraries' workspace
    )
    kinds: tuple[Kind, ...]  # of KINDS those that the network has, in that order


def profile(network: nn.Module, channels: int, size: tuple[int, int], rounds: int) -> Profile:
    """Run a network on a grey image, in one piece and on the device where it lies.

    One pass warms up and is counted, `rounds` are timed, and one more is watched by torch's profiler, which slows it: shares of
    time are of that one, on a GPU of its kernels.

    Args:
        network: as it was trained; what runs is its fused copy.
        channels: of its input.
        size: height and width, pixels.
        rounds: 1 or more.

    Raises:
        ValueError: if the network cannot take such an image, or memory does not suffice.
    """
    device = next(network.parameters()).device
    fused = fuse(network)
    groups = _groups(fused)
    try:
        with torch.inference_mode():
            image = torch.full((1, channels, *size), 0.5, device=device).contiguous(memory_format=torch.channels_last)
            flops, by_kind = flops_within(fused, image, groups)
            seconds = min(_time(fused, image) for _ in range(rounds))
            shares, mib = _watch(fused, image, groups)
    except RuntimeError as error:  # torch has no narrower one for memory of a CPU and for sizes
        raise ValueError(
            f"the network must take an image of {size[0]}x{size[1]} pixels in one piece, got {error}; choose another size."
        ) from error
    parameters = {name: sum(map(cost.parameters, modules)) for name, modules in _groups(network).items()}
    total = cost.parameters(network)
    parameters["other"], by_kind["other"] = total - sum(parameters.values()), flops - sum(by_kind.values())
    shares["other"] = max(0.0, 1 - sum(shares.values()))
    kinds = [
        Kind(
            name=n, layers=len(groups.get(n, [])), parameters=parameters[n], flops=by_kind[n], share=shares[n],
            seconds=shares[n] * seconds, tensors_mib=mib[n],
        )
        for n in KINDS
        if groups.get(n) or n == "other"
    ]  # fmt: skip
    return Profile(parameters=total, flops=flops, seconds=seconds, tensors_mib=max(mib.values()), kinds=tuple(kinds))


def _groups(network: nn.Module) -> dict[str, list[nn.Module]]:
    groups: dict[str, list[nn.Module]] = {name: [] for name in KINDS if name != "other"}
    for module in _layers(network):
        groups[kind_of(module)].append(module)
    return groups


def _layers(module: nn.Module, met: set[nn.Module] | None = None) -> Iterator[nn.Module]:
    """The layers that have a kind, each once; what lies inside of one (the offsets of a deformable one) is part of it."""
    met = set() if met is None else met
    if module in met:
        return
    met.add(module)
    if kind_of(module) != "other":
        yield module
        return
    for child in module.children():
        yield from _layers(child, met)


def kind_of(module: nn.Module) -> str:
    """One of KINDS; what contains layers is of the kind "other"."""
    if isinstance(module, DeformableConv):
        return "deformable"
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return "other"
    if module.groups == module.in_channels > 1:
        return "depthwise"
    return "pointwise" if set(module.kernel_size) == {1} else "convolution"


def _time(network: nn.Module, image: Tensor) -> float:
    start = perf_counter()
    network(image)
    _wait(image.device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _watch(
    network: nn.Module, image: Tensor, groups: dict[str, list[nn.Module]]
) -> tuple[dict[str, float], dict[str, float]]:
    """The share of each group in the time of a pass; the most memory of the pass within each and beside them, MiB."""
    is_gpu = image.is_cuda
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
    peaks = _Peaks(image.device) if is_gpu else None
    with torch.profiler.profile(activities=activities, profile_memory=not is_gpu) as watched:
        enter = torch.profiler.record_function if peaks is None else peaks.within
        with within(groups, enter), torch.profiler.record_function(PASS):
            network(image)
        _wait(image.device)
    microseconds = dict.fromkeys((*groups, PASS), 0.0)
    for event in watched.key_averages():
        if event.key in microseconds and event.device_type == DeviceType.CPU:  # a GPU has a twin of each of these
            microseconds[event.key] += event.device_time_total if is_gpu else event.cpu_time_total
    total = microseconds.pop(PASS)
    shares = {name: time / total if total else 0.0 for name, time in microseconds.items()}
    most = _most_allocated(watched, list(groups)) if peaks is None else peaks.end()
    return shares, {name: most.get(name, 0) / 2**20 for name in (*groups, OTHER)}


class _Peaks:
    """The most bytes that a pass allocates on a GPU, by kind of layer; they are allocated as it is called, before kernels run."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.before = device, torch.cuda.memory_allocated(device)
        self.most: dict[str, int] = {}
        torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """A call of a layer of this kind."""
        self._note(OTHER)
        with torch.profiler.record_function(name):
            yield
        self._note(name)

    def end(self) -> dict[str, int]:
        """Of each kind that was called, and beside them."""
        self._note(OTHER)
        return self.most

    def _note(self, name: str) -> None:
        most = torch.cuda.max_memory_allocated(self.device) - self.before
        self.most[name] = max(self.most.get(name, 0), most)
        torch.cuda.reset_peak_memory_stats(self.device)


def _most_allocated(watched: torch.profiler.profile, names: Sequence[str]) -> dict[str, int]:
    """The most bytes at one time of what was allocated in a profile of a CPU, by its trace: within each of these, and beside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        watched.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    changes: list[tuple[float, int, str]] = [  # when, bytes, and which call begins ("+") or ends ("-")
        (event["ts"], event["args"]["Bytes"], "") for event in events if event["name"] == "[memory]"
    ]
    for event in events:
        if event["name"] in names and event.get("cat") == "user_annotation":
            changes += [(event["ts"], 0, f"+{event['name']}"), (event["ts"] + event["dur"], 0, f"-{event['name']}")]
    most, now, running = dict.fromkeys((*names, OTHER), 0), 0, OTHER
    for _, change, call in sorted(changes, key=lambda one: one[0]):
        now += change
        running = running if not call else call[1:] if call[0] == "+" else OTHER
        if change > 0 or call[:1] == "+":
            most[running] = max(most[running], now)
    return most
