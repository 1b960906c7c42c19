"""A copy of the repository with a profile as small as can be, for tests that run the pipeline as DVC does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from nasir.config import reading

ROOT = Path(__file__).parents[1]

TINY: dict[str, Any] = {
    "search": {"steps": 6, "warmup_steps": 2, "batch": 2, "patch": 12, "val_period": 3, "val_crop": 16, "log_period": 1}
    | {"checkpoint_period": 2, "device": "cpu"},
    "space": {"cells": {"layers": 2, "nodes": 1, "width": 2, "stem_channels": 3}},
    "network": {"cells": {"width": 2, "stem_channels": 3, "aspp_channels": 2, "aspp_rates": [2]}},
    "strategy": {"darts": {"keep_from": 3}, "random": {"candidates": 3}},
    "retrain": {"steps": 4, "batch": 2, "patch": 12, "val_period": 2, "log_period": 1, "checkpoint_period": 2}
    | {"device": "cpu"},
    "evaluate": {"protocols": ["whole"], "tv_factors": [0.9], "nlm_factors": [0.7], "device": "cpu"},
    "synthesize": {"previews": 1},
    "audit": {"planted": 2},
}
"""A profile as small as can be."""


def make(place: Path, profile: Mapping[str, Any], **params: Any) -> dict[str, str]:
    """Copy the files of the repository, with a profile `tiny` and `params.yaml` changed; a git repository, images in place.

    Args:
        place: folder to make.
        profile: what it differs in from base.yaml.
        params: keys of params.yaml.

    Returns:
        The environment for commands there.
    """
    if not (ROOT / "data").is_dir() and not (ROOT / ".dvc/embedded-remote").is_dir():
        pytest.skip("needs the shipped images in data/; `dvc pull data.dvc` brings them")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    (place / "profiles/tiny.yaml").write_text(yaml.safe_dump(dict(profile)))
    chosen = reading.read(place / "params.yaml") | {"profile": "tiny"} | params
    (place / "params.yaml").write_text(yaml.safe_dump(chosen))
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "NASIR_SEND": "later",
        "NASIR_TRACKING": str(place.parent / f"{place.name}-tracking"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    call(place, environment, "git", "init", "-q")
    if (ROOT / "data").is_dir():
        shutil.copytree(ROOT / "data", place / "data")
    else:
        call(place, environment, "dvc", "pull", "-q", "data.dvc")
    return environment


def call(place: Path, environment: Mapping[str, str], *words: str) -> str:
    """Run a command there; what it printed."""
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
