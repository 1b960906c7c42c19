"""The settings stage: one file with all that the later stages read, and what their code comes to."""

from pathlib import Path

import pytest
import yaml

from nasir.files import write_text
from nasir.settings import SECTIONS, read
from stages import settings
from stages.around import entries

ROOT = Path(__file__).parents[2]


def write(place: Path, **changes: object) -> dict:
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | changes
    write_text(place / "params.yaml", yaml.safe_dump(params))
    settings.write(place / "params.yaml", ROOT / "profiles", place / "settings.yaml")
    return yaml.safe_load((place / "settings.yaml").read_text())


def test_the_file_holds_params_every_section_and_the_code_of_every_step(tmp_path):
    values = write(tmp_path)

    assert list(values) == ["params", *SECTIONS, "space", "network", "strategy", "code"]
    assert list(values["code"]) == list(entries.STEPS)
    assert all(len(digest) == 64 for digest in values["code"].values())
    assert (
        (tmp_path / "settings.yaml")
        .read_text()
        .startswith("# What this run is made with; written by the settings stage")
    )
    assert read(tmp_path / "settings.yaml").params.profile == values["params"]["profile"]


def test_another_space_changes_the_code_of_the_steps_that_use_it_alone(tmp_path):
    here, there = write(tmp_path)["code"], write(tmp_path, space="hinas")["code"]

    changed = {step for step in here if here[step] != there[step]}
    assert changed == {"search", "derive", "retrain", "evaluate", "report"}


def test_another_data_set_changes_the_code_that_brings_it_alone(tmp_path):
    here, there = write(tmp_path, dataset="sample")["code"], write(tmp_path, dataset="bsd500")["code"]

    assert {step for step in here if here[step] != there[step]} == {"download", "pair"}


def test_what_a_later_stage_would_refuse_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"space must be one of .* got 'cube'"):
        write(tmp_path, space="cube")
    assert not (tmp_path / "settings.yaml").exists()
