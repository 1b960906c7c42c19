"""The settings of a profile, as `params.yaml` would give them for denoising."""

from collections.abc import Sequence
from pathlib import Path

from nasir.settings import Settings, change, resolve

ROOT = Path(__file__).parents[1]
PROFILES = ROOT / "profiles"
PARAMS = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50, "seed": 0}


def of(profile: str, space: str = "irnas", changes: Sequence[str] = (), strategy: str | None = None) -> Settings:
    """A profile's settings with some replaced; `changes` are SECTION.KEY=VALUE, a strategy that of the profile."""
    values = resolve(PARAMS | {"space": space, "profile": profile}, PROFILES, strategy)
    return change(values, changes, str(PROFILES / f"{profile}.yaml"))
