"""A trained network as a folder: what it is (`model.json`) and its weights (`best.safetensors`, `last.safetensors`)."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nasir.config import reading
from nasir.config.reading import flat
from nasir.files import read_json, write_bytes, write_json
from nasir.inference import forms, zoo
from nasir.inference.fusing import fuse
from nasir.inference.restoring import Restore, self_ensemble
from nasir.inference.tiling import TILE, Tiled, Tiling
from nasir.inference.tone import MOST_KINDS, PREFIX, Tone, shapes
from nasir.layers import cost
from nasir.messages import first_line, shown
from nasir.networks import catalogue
from nasir.spaces import contract as spaces
from nasir.task import TASKS

VERSION = 2

Images = TypeVar("Images", Tensor, NDArray[Any], Image.Image)
"""What a network restores, and gives back."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What `model.json` says of a network, whatever it is built of."""

    version: int
    task: str
    sigma: float
    channels: int

    def __post_init__(self) -> None:
        reading.require(self.task in TASKS, f"task must be one of {list(TASKS)}", self.task)
        is_level = self.sigma >= 0 and math.copysign(1, self.sigma) > 0
        reading.require(is_level, "sigma must be 0 or more (8-bit grey levels)", self.sigma)
        reading.require(self.channels in (1, 3), "channels must be 1 (grey) or 3 (RGB)", self.channels)


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """What `model.json` says of an estimate of tone (`nasir.inference.tone`)."""

    kinds: int

    def __post_init__(self) -> None:
        reading.require(2 <= self.kinds <= MOST_KINDS, f"kinds must lie in 2 to {MOST_KINDS}", self.kinds)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a state dict as safetensors, atomically."""
    write_bytes(path, safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; a damaged one is named."""
    if not path.is_file():
        raise ValueError(f"expected weights at {path}, got no file; run the step that writes it.")
    try:
        return safetensors.torch.load(path.read_bytes())
    except Exception as error:  # the library raises its own type, which is not exported everywhere
        raise ValueError(
            f"{path} must be a safetensors file, got {error}; run the step that writes it again."
        ) from error


def save(
    folder: Path,
    genotype: Mapping[str, Any],
    sizes: Any,
    channels: int,
    task: str,
    sigma: float,
    weights: Mapping[str, Any],
    tone: Tone | None = None,
) -> None:
    """Write a trained derived network.

    Args:
        folder: made if missing.
        genotype: of any space, as its JSON object.
        sizes: of its space's class `Sizes`.
        channels: of the images: 1 grey, 3 RGB.
        task, sigma: what it was trained for; sigma in 8-bit grey levels.
        weights: file stem (`best`, `last`) -> state dict.
        tone: what it was trained behind.
    """
    facts = {"task": task, "sigma": sigma, "channels": channels, "sizes": flat(sizes), "genotype": genotype}
    _write(folder, {"version": VERSION} | facts, weights, tone)


def save_baseline(
    folder: Path,
    name: str,
    channels: int,
    task: str,
    sigma: float,
    weights: Mapping[str, Any],
    tone: Tone | None = None,
) -> None:
    """Write a trained baseline, `name` of `nasir.networks.catalogue`; the other arguments as in `save`."""
    facts = {"version": VERSION, "task": task, "sigma": sigma, "channels": channels, "network": name}
    _write(folder, facts, weights, tone)


def _write(folder: Path, facts: dict[str, Any], weights: Mapping[str, Any], tone: Tone | None) -> None:
    further = {} if tone is None else tone.tensors()
    for name, tensors in weights.items():
        write_tensors(folder / f"{name}.safetensors", {**tensors, **further})
    write_json(folder / "model.json", facts | ({} if tone is None else {"tone": {"kinds": len(tone.bias)}}))


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """A trained network as a function of a noisy image of any size, in bounded memory."""

    network: nn.Module  # as it was trained, which is what is counted; what runs is its fused copy
    sigma: float  # what it was trained for, 8-bit grey levels
    channels: int
    tile: int = TILE  # side in pixels of the tiles that a larger image is cut into; 0: never cut
    tone: Tone | None = None  # what it was trained behind: the tone of a whole image is estimated and taken back first

    @cached_property
    def _tiled(self) -> Tiled:
        return Tiled(fuse(self.network), self.channels, self.tile)

    @property
    def tiling(self) -> Tiling | None:
        """How images were cut so far; None if none was."""
        return self._tiled.tiling

    @property
    def parameters(self) -> int:
        """How many numbers were learnt."""
        return cost.parameters(self.network) + (0 if self.tone is None else self.tone.numbers)

    def forget_tiling(self) -> None:
        """Let `tiling` be of the images to come."""
        self._tiled.tiling = None

    def __call__(self, noisy: Images, sigma: float | None = None) -> Images:
        """Restore images: tensors, or one image as an array or Pillow's.

        >>> import nasir, numpy as np
        >>> denoise = nasir.load("irnas-bsd500-50")
        >>> noise = np.random.default_rng(0).normal(0, 50, (48, 64))
        >>> noisy = np.clip(np.rint(128 + noise), 0, 255).astype(np.uint8)
        >>> restored = denoise(noisy, sigma=50)
        >>> restored.shape, restored.dtype, bool(restored.std() < 0.3 * noisy.std())
        ((48, 64), dtype('uint8'), True)
        >>> picture = Image.fromarray(np.dstack([noisy, noisy, noisy, noisy]))
        >>> denoise(picture, sigma=50).mode  # alpha as it was
        'RGBA'
        >>> denoise(torch.rand(2, 1, 48, 64), sigma=50).shape
        torch.Size([2, 1, 48, 64])
        >>> bool((denoise(noisy) == restored).all())  # the sigma that it was trained for
        True
        >>> denoise(noisy.astype(float), sigma=50)
        Traceback (most recent call last):
        ValueError: an array of floats must lie in [0, 1] plus noise of sigma 50, got 0 to 255; divide grey levels by 255, ...

        Args:
            noisy: a tensor of shape (N, C, H, W), floats in [0, 1] plus noise, or uint8 or uint16; an array of shape (H, W),
                (H, W, 1) or (H, W, 3), floats or levels in the same way; a Pillow image of mode L, RGB, LA, RGBA or I;16. A
                network for grey takes the channels of a colour array or picture one by one.
            sigma: noise standard deviation, 8-bit grey levels; must be the one that the network was trained for, which is
                taken for None: a network that takes rain away is told none.

        Returns:
            Same type, dtype, range and shape. Tensors are on the network's device, and those of floats are not clipped; all
            else is.

        Raises:
            ValueError: for another sigma, another number of channels, a type, mode, shape or range that is none of these, values
                that are not finite, or for a network that cannot be tiled (`nasir.inference.reach`) and an image that has to be.
        """
        sigma = self.sigma if sigma is None else sigma
        forms.require_sigma(sigma)
        if isinstance(noisy, Image.Image):
            return forms.restore_picture(self._restore, self.channels, noisy, sigma)
        if isinstance(noisy, np.ndarray):
            return forms.restore_array(self._restore, self.channels, noisy, sigma)
        forms.require_image(noisy)
        if noisy.dtype != next(self.network.parameters()).dtype:
            return forms.restore_tensor(self._restore, noisy, sigma)
        forms.require_tensor(noisy, sigma)
        return self._restore(noisy, sigma)

    def ensembled(self, is_turned: bool) -> Restore:
        """The same as the mean over mirrored and turned images (`nasir.inference.restoring.self_ensemble`), of one tone."""
        return partial(self._through, self_ensemble(self._network, is_turned))

    def _restore(self, noisy: Tensor, sigma: float) -> Tensor:
        return self._through(self._network, noisy, sigma)

    def _through(self, restore: Restore, noisy: Tensor, sigma: float) -> Tensor:
        if sigma != self.sigma:
            raise ValueError(
                f"this network was trained for sigma {self.sigma:g}, got {sigma:g}; "
                f"retrain one for it (dvc exp run -S sigma={sigma:g}) or pass {self.sigma:g}."
            )
        if noisy.ndim != 4 or noisy.shape[1] != self.channels:
            raise ValueError(
                f"this network takes images of shape (N, {self.channels}, H, W), got {tuple(noisy.shape)}; "
                "convert them first (nasir.data.pictures.images)."
            )
        with torch.inference_mode():
            return restore(self._without_tone(noisy), sigma)

    def _without_tone(self, noisy: Tensor) -> Tensor:
        return noisy if self.tone is None else self.tone.undo(noisy)

    def _network(self, noisy: Tensor, sigma: float) -> Tensor:
        return self._tiled(noisy)


def load(folder: Path | str, device: torch.device | str = "cpu", weights: str = "best", tile: int = TILE) -> Denoiser:
    """Read a trained network from the folder that retrain wrote, or one that is shipped by its name.

    >>> denoise = load("irnas-bsd500-50")
    >>> denoise.sigma, denoise.channels
    (50.0, 1)
    >>> load("irnas-bsd500-5")
    Traceback (most recent call last):
    ValueError: expected a trained network in irnas-bsd500-5, got no model.json there; give retrain's model folder, or one of ...

    Args:
        folder: with `model.json` and weights; or a name of `nasir.inference.zoo.names()`, whose files are checked.
        device: where it runs: `cpu`, `cuda`, or what else torch knows.
        weights: `best` or `last`.
        tile: see `Denoiser`.

    Raises:
        ValueError: if the folder, its `model.json` or its weights are missing, damaged or do not fit each other; for a device
            that is not there.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ValueError(
            f"a network must be the name of a shipped one or a folder's path, got {shown(folder)}; the names are "
            f"{', '.join(zoo.names()) or 'none'}."
        )
    _require_device(device)
    network, value, tone = _read(find(folder), weights)
    if "network" in value:
        network = catalogue.find(value["network"]).finish(network)
    return Denoiser(
        network=network.eval().to(device), sigma=value["sigma"], channels=value["channels"], tile=tile, tone=tone
    )


def find(folder: Path | str) -> Path:
    """The folder of a trained network, which has a `model.json`, or of a shipped one by its name, whose files are checked.

    Raises:
        ValueError: if there is none.
    """
    if isinstance(folder, str) and folder in zoo.names():
        folder = zoo.folder(folder)
    if not (Path(folder) / "model.json").is_file():
        raise ValueError(
            f"expected a trained network in {folder}, got no model.json there; give retrain's model folder, or one of "
            f"the shipped networks: {', '.join(zoo.names()) or 'none'}."
        )
    return Path(folder)


def reopen(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A trained network with its best weights, as it is trained further, and what `model.json` says of it.

    Raises:
        ValueError: as `load`.
    """
    network, value, _ = _read(folder, "best")
    return network, value


def save_again(
    folder: Path,
    facts: Mapping[str, Any],
    task: str,
    sigma: float,
    weights: Mapping[str, Any],
    tone: Tone | None = None,
) -> None:
    """Write a network that was trained further; `facts` are those of `reopen`, and the other arguments as in `save`."""
    kept = {key: value for key, value in facts.items() if key != "tone"}
    _write(folder, kept | {"task": task, "sigma": sigma}, weights, tone)


def _read(folder: Path, weights: str) -> tuple[nn.Module, dict[str, Any], Tone | None]:
    """A network with weights, what `model.json` says of it, and its estimate of tone."""
    description, path = folder / "model.json", folder / f"{weights}.safetensors"
    value = describe(folder)
    tensors = read_tensors(path)
    expected = _sketch(value, str(description)).state_dict()
    of_tone = shapes(value["tone"]["kinds"]) if "tone" in value else {}
    with torch.device("meta"):
        expected |= {name: torch.empty(shape) for name, shape in of_tone.items()}
    _require_fitting(path, tensors, expected)
    tone = Tone(**{name.removeprefix(PREFIX): tensors.pop(name) for name in of_tone}) if of_tone else None
    network = _rebuild(value, str(description))
    network.load_state_dict(tensors)
    return network, value, tone


def _require_device(device: torch.device | str) -> None:
    try:
        torch.empty(0, device=device)
    except Exception as error:  # torch has one of many types for each kind of device
        raise ValueError(
            f"device must be one that torch has here, got {shown(device)} ({first_line(error)}); pass cpu, or cuda with a GPU."
        ) from error


def describe(folder: Path) -> dict[str, Any]:
    """What `model.json` says of a network, as the present version has it.

    Version 1 is read too: it held the sizes of a network of cells beside the rest.

    Raises:
        ValueError: for other keys, another version, or a value that no network has; file and key are named.
    """
    path = folder / "model.json"
    value = read_json(path)
    known = {"version", "task", "sigma", "channels"}
    sizes = {"width", "stem_channels", "aspp_channels", "aspp_rates"}
    if isinstance(value, dict) and value.get("version") == 1 and value["version"] is not True:
        if "network" not in value and sizes <= set(value):
            value = {k: v for k, v in value.items() if k not in sizes} | {"sizes": {k: value[k] for k in sorted(sizes)}}
        value["version"] = VERSION
    keys = known | ({"network"} if isinstance(value, dict) and "network" in value else {"sizes", "genotype"})
    keys |= {"tone"} if isinstance(value, dict) and "tone" in value else set()
    if not isinstance(value, dict) or set(value) != keys or value["version"] != VERSION:
        got = (
            f"{sorted(value)} of version {shown(value.get('version'))}"
            if isinstance(value, dict)
            else type(value).__name__
        )
        raise ValueError(
            f"{path} must have the keys {sorted(keys)} and a version up to {VERSION}, got {got}; retrain the network."
        )
    reading.build({key: value[key] for key in known}, Facts, str(path))
    if not isinstance(value.get("network", ""), str):
        raise ValueError(f"{path}: network must be a str, got {shown(value['network'])}.")
    if "tone" in value:
        kinds = reading.build(value["tone"], Kinds, f"{path}: tone").kinds
        reading.require(value["channels"] == 3, f"{path}: tone must be of a network for colours, of 3 channels", kinds)
    return value


def _rebuild(value: Mapping[str, Any], where: str) -> nn.Module:
    """The network that `model.json` describes, with fresh weights."""
    if "network" in value:
        return catalogue.build(value["network"], value["channels"])
    space = spaces.of_json(value["genotype"])
    sizes: Any = reading.build(value["sizes"], space.Sizes, f"{where}: sizes")
    return space.build(space.from_json(value["genotype"]), sizes, value["channels"])


class _Undrawn(TorchFunctionMode):
    """Inside, no normal values are drawn: on the device `meta` there are none, and torch imports for seconds to say so."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.init.normal_:
            return (kwargs or {}).get("tensor", *args[:1])
        return func(*args, **(kwargs or {}))


def _sketch(value: Mapping[str, Any], where: str) -> nn.Module:
    """The same network on the device `meta`: the shapes of its weights alone, so that wide ones take no memory.

    Raises:
        ValueError: for a description that no network can be built of; `where` is named.
    """
    try:
        with torch.device("meta"), _Undrawn():
            return _rebuild(value, where)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
    except Exception as error:  # a space is anybody's: what its `from_json` lets pass ends here
        raise ValueError(
            f"{where} must describe a network that can be built, got {type(error).__name__} ({error}); retrain it."
        ) from error


def _require_fitting(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not the expected ones, by the name of the first."""
    problems = [f"no {name}" for name in expected if name not in tensors]
    problems += [f"{name} that it does not have" for name in sorted(tensors) if name not in expected]
    for name in (name for name in expected if name in tensors):
        tensor, own = tensors[name], expected[name]
        if tensor.shape != own.shape:
            problems.append(f"{name} of shape {tuple(tensor.shape)} in place of {tuple(own.shape)}")
        elif tensor.is_floating_point() != own.is_floating_point():
            problems.append(f"{name} of {tensor.dtype} in place of {own.dtype}")
        elif tensor.is_floating_point() and not tensor.float().isfinite().all():
            problems.append(f"{name} with values that are not finite")
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ValueError(
            f"{path} must hold the weights that model.json describes, got {problems[0]}{more}; retrain the network."
        )
