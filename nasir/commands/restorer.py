"""What `nasir restore` does with one picture: read it, choose the network, restore, write."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nasir.commands.places import Errand
from nasir.commands.terminal import shown

if TYPE_CHECKING:
    from nasir.data.pictures.photographs import Levels, Photograph
    from nasir.inference.model import Denoiser

AUTO = "auto"

LOWEST_SHARE, HIGHEST_SHARE = 0.5, 1.5
"""Of the lowest and the highest level of the shipped networks: an estimate beyond them is no business of any of these."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options come to."""

    model: str | None  # folder or name; None: chosen
    weights: str
    sigma: float | None  # None: estimated, or the model's
    task: str | None
    device: str
    tile: int
    is_ensemble: bool

    @classmethod
    def read(
        cls, model: str | None, sigma: str | None, task: str | None, device: str, tile: str, is_ensemble: bool
    ) -> "Settings":
        """Check what a person gave.

        Raises:
            ValueError: for values that an option does not take, or options that do not go together.
        """
        level = None
        if sigma not in (None, AUTO):
            try:
                level = float(sigma)
            except ValueError:
                level = math.nan
            if not math.isfinite(level) or level < 0:
                raise ValueError(f"--sigma must be {AUTO} or a finite number of grey levels, 0 or more, got {sigma}.")
        if tile != AUTO and not (tile.isascii() and tile.isdigit()):
            raise ValueError(f"--tile must be {AUTO} or a whole number of pixels, 0 or more, got {tile}.")
        if model is not None and task is not None:
            raise ValueError("--task chooses among the shipped networks, got --model, too; leave one of them out.")
        if model is not None and sigma == AUTO:
            raise ValueError(
                "--sigma auto chooses among the shipped networks, got --model, too; leave one of them out."
            )
        if task not in (None, "denoise") and sigma is not None:
            raise ValueError(f"--sigma is the level of noise to remove, got it with --task {task}; leave it out.")
        weights = "best"
        if model is not None and Path(model).suffix in (".json", ".safetensors"):
            weights = Path(model).stem if Path(model).suffix == ".safetensors" else weights
            model = str(Path(model).parent)
        return cls(
            model=model, weights=weights, sigma=level, task=task, device=device,
            tile=512 if tile == AUTO else int(tile), is_ensemble=is_ensemble,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was done with a picture."""

    source: str
    target: str
    width: int  # pixels
    height: int
    network: str
    is_chosen: bool  # the network, where no model was named
    sigma: float  # that the network was trained for, 8-bit grey levels
    noise: float | None  # that a shipped network was chosen by; None where it was not
    is_estimated: bool  # the noise
    warning: (
        str | None
    )  # what becomes of a picture whose noise was estimated far from all levels of the shipped networks
    self_ensemble: bool
    tiles: str | None  # where the picture had to be cut
    notes: tuple[str, ...]

    def line(self, is_alone: bool) -> str:
        """The same for a person; of a picture among others without its tiles."""
        cut = f" in {self.tiles}" if is_alone and self.tiles is not None else ""
        ensemble = ", self-ensemble" if self.self_ensemble else ""
        notes = "".join(f", {shown(note)}" for note in self.notes)
        size = f"{self.width}x{self.height}"
        return f"{shown(self.target)}: {size}, restored at sigma {self.sigma:g}{cut}{ensemble}{self._choice()}{notes}"

    def _choice(self) -> str:
        if not self.is_chosen:
            return ""
        how = "estimated" if self.is_estimated else "given"
        return f", by {self.network}" + ("" if self.noise is None else f" (noise of {self.noise:.1f} {how})")


@dataclass(frozen=True)
class Restorer:
    """Restores pictures one by one; each network is loaded once."""

    settings: Settings
    _loaded: dict[str, "Denoiser"] = field(default_factory=dict)

    def run(self, errand: Errand) -> Restored:
        """Restore a picture and write it.

        Raises:
            BadPicture: if this picture cannot be restored.
            ValueError: if no picture can be: for want of the network, or of a place to write to.
        """
        from nasir.data.pictures import photographs
        from nasir.files import writing

        try:  # before the slower parts, so that a wrong path answers at once
            photograph = photographs.read(errand.source)
        except (ValueError, MemoryError) as error:
            raise BadPicture(_said(error, errand)) from error
        name, noise = self._choose(photograph, errand)
        is_estimated = noise is not None and self.settings.sigma is None
        denoiser = self._load(name)
        denoiser.forget_tiling()
        try:
            restored = self._restore(denoiser, name, photograph.levels)
        except (ValueError, MemoryError, RuntimeError) as error:
            raise BadPicture(_said(error, errand)) from error
        with writing(errand.target):
            photographs.save_png(errand.target, replace(photograph, levels=restored))
        height, width = restored.shape[:2]
        return Restored(
            source=str(errand.source), target=str(errand.target), width=width, height=height, network=name,
            is_chosen=self.settings.model is None, sigma=denoiser.sigma, noise=noise,
            is_estimated=is_estimated, warning=warn(noise) if is_estimated and noise is not None else None,
            self_ensemble=self.settings.is_ensemble,
            tiles=None if denoiser.tiling is None else str(denoiser.tiling), notes=tuple(photograph.notes),
        )  # fmt: skip

    def _choose(self, photograph: "Photograph", errand: Errand) -> tuple[str, float | None]:
        """The network for a picture, and the noise by whose level it was chosen."""
        from nasir.inference import restoring, zoo

        if self.settings.model is not None:
            return self.settings.model, None
        task = self.settings.task or "denoise"
        if task != "denoise":
            return zoo.choose(task, 0.0), None
        level = self.settings.sigma
        if level is None:
            try:
                level = restoring.estimate(photograph.levels)
            except ValueError as error:
                raise BadPicture(_said(error, errand)) from error
        return zoo.choose(task, level), level

    def _load(self, name: str) -> "Denoiser":
        from nasir.inference import model as models
        from nasir.training.device import choose

        if name not in self._loaded:
            device = choose(self.settings.device)
            denoiser = models.load(name, device, self.settings.weights, self.settings.tile)
            level = self.settings.sigma
            if self.settings.model is not None and level not in (None, denoiser.sigma):
                raise ValueError(
                    f"{name} was trained for sigma {denoiser.sigma:g}, got {level:g}; leave --sigma or --model out."
                )
            self._loaded[name] = denoiser
        return self._loaded[name]

    def _restore(self, denoiser: "Denoiser", name: str, levels: "Levels") -> "Levels":
        from nasir import task as tasks
        from nasir.inference import model as models
        from nasir.inference import restoring, zoo

        denoise: restoring.Restore = denoiser
        if self.settings.is_ensemble:
            facts = models.describe(zoo.SHELF / name if name in zoo.names() else Path(name))
            denoise = denoiser.ensembled(tasks.find(facts["task"]).is_turned)
        if denoiser.channels == 3 and levels.ndim == 2:
            levels = levels[..., None].repeat(3, axis=-1)
        return restoring.restore_levels(denoise, denoiser.channels, levels, denoiser.sigma)


def warn(noise: float) -> str | None:
    """What becomes of a picture with noise far from all levels of the shipped networks; None where it is near one."""
    from nasir.inference import zoo

    cards = map(zoo.card, zoo.names())
    levels = sorted(float(card["sigma"]) for card in cards if card["task"] == "denoise")
    said = f"its noise was estimated at {noise:.1f}, far"
    if noise < LOWEST_SHARE * levels[0]:
        return f"{said} below the shipped networks' lowest level ({levels[0]:g}): the result is too smooth"
    if noise > HIGHEST_SHARE * levels[-1]:
        return f"{said} above the shipped networks' highest level ({levels[-1]:g}): the result is still noisy"
    return None


class BadPicture(ValueError):
    """One picture cannot be restored; its text names the file."""


def _said(error: Exception, errand: Errand) -> str:
    """What is wrong with a picture, with its name in front if it is not in the text."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):  # torch's own
        return f"{errand.source} must fit into memory, got too large a picture; give a smaller --tile, or cut it into parts."
    if isinstance(error, RuntimeError):
        raise error
    return str(error) if str(errand.source) in str(error) else f"{errand.source}: {error}"
