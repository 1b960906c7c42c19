"""Tasks: what is restored, and where a degraded image comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task's images are like; how a network is found and trained is the same for all."""

    name: str
    channels: int  # of the images: 1 grey, 3 RGB
    is_paired: bool  # a degraded image belongs to each clean one; else Gaussian noise of sigma is added to it
    is_turned: bool  # training patches are turned and mirrored in all eight ways; else left and right only
    degraded: str  # what a degraded image is called on a page


TASKS = {
    task.name: task
    for task in (
        Task(name="denoise", channels=1, is_paired=False, is_turned=True, degraded="noisy"),
        # rain falls: IR-NAS, section 4.1, has random crops and horizontal flips for it alone
        Task(name="derain", channels=3, is_paired=True, is_turned=False, degraded="rainy"),
        Task(name="camera", channels=3, is_paired=True, is_turned=True, degraded="noisy"),
        Task(name="deblur", channels=3, is_paired=True, is_turned=True, degraded="blurred"),
    )
}
"""The tasks by name: `denoise` Gaussian noise, `derain` remove rain, `camera` remove what a camera's pipeline leaves of noise,
`deblur` undo the blur of a camera that moved."""

LOOKS = {"derain": "rainier", "deblur": "blurrier"}
"""Of the tasks whose degraded images tell by their pixels alone which they are: what they look, a column of `pairs.csv`."""


def find(name: str) -> Task:
    """The task of a name; an unknown one is refused with the known ones."""
    if name not in TASKS:
        raise ValueError(f"task must be one of {list(TASKS)}, got {name!r}; correct `task` in params.yaml.")
    return TASKS[name]
