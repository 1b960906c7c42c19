"""settings: params.yaml, the profile and what space and strategy bring, resolved; and the digest of each step's code."""

from pathlib import Path

import yaml

from nasir.config import reading
from nasir.files import write_text
from nasir.settings import Settings, resolve
from stages.around import entries

HEADER = "# What this run is made with; written by the settings stage from params.yaml and profiles/. Change those instead.\n"


def write(params: Path, profiles: Path, out: Path) -> None:
    """Write the settings file `out`; everything that a later stage would refuse is refused here, by name."""
    values = resolve(reading.read(params), profiles)
    values["code"] = entries.digests(Settings(values, str(params)))
    write_text(out, HEADER + yaml.safe_dump(values, sort_keys=False))
