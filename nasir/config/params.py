"""`params.yaml`: what a person changes."""

from dataclasses import dataclass

from nasir import task as tasks
from nasir.config.reading import require

LAYOUTS = ("clean", "clean_left", "clean_right", "two_folders")
"""What `layout` may be: files of one clean image, of two side by side, or two folders of files with the same names."""

GREY_LEVELS = 255
"""The largest 8-bit grey level; noise has no larger standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """`params.yaml`: what a person changes."""

    dataset: str
    task: str
    folder: str  # of dataset `folder`: a person's own images
    layout: str  # of dataset `folder`: how its files hold clean and degraded images
    sigma: float  # test noise, 8-bit grey levels; of the task denoise
    space: str  # a search space: a file of nasir/spaces
    seed: int
    profile: str

    def __post_init__(self) -> None:
        require(self.task in tasks.TASKS, f"task must be one of {list(tasks.TASKS)}", self.task)
        require(self.layout in LAYOUTS, f"layout must be one of {list(LAYOUTS)}", self.layout)
        require(
            0 < self.sigma <= GREY_LEVELS,
            f"sigma must be above 0 and at most {GREY_LEVELS} (8-bit grey levels)",
            self.sigma,
        )
        require(self.seed >= 0, "seed must be 0 or more", self.seed)

    @property
    def noise(self) -> float:
        """Noise that is added to the task's images, 8-bit grey levels: sigma, or 0 where images come in pairs."""
        return 0.0 if tasks.TASKS[self.task].is_paired else self.sigma
