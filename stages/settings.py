"""settings: params.yaml, the profile and what space and strategy bring, resolved; and the digest of each step's code."""

from pathlib import Path

import yaml

from nasir.config import reading
from nasir.config.evaluate import EvaluateConfig
from nasir.evaluation import protocols
from nasir.files import write_text
from nasir.settings import Settings, resolve
from stages.around import entries

HEADER = "# What this run is made with; written by the settings stage from params.yaml and profiles/. Change those instead.\n"


def write(params: Path, profiles: Path, out: Path) -> None:
    """Write the settings file `out`; everything that a later stage would refuse is refused here, by name."""
    values = resolve(reading.read(params), profiles)
    settings = Settings(values, str(params))
    for protocol in settings.section("evaluate", EvaluateConfig).protocols:
        try:
            protocols.find(protocol)
        except ValueError as error:
            raise ValueError(f"{params}: evaluate.protocols: {error}") from error
    values["code"] = entries.digests(settings)
    write_text(out, HEADER + yaml.safe_dump(values, sort_keys=False))
