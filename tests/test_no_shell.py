"""What stands in params.yaml is data: no value of it is a command to the shell in which DVC starts the stages."""

import shutil
import subprocess

import checkout
import pytest
import yaml
from checkout import ROOT, TINY

from nasir.config import reading

pytestmark = pytest.mark.slow  # DVC is started for each value

RUNS = "touch RAN"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A checkout, and the environment for commands there."""
    place = tmp_path_factory.mktemp("shell") / "checkout"
    return place, checkout.make(place, TINY)


def repro(pipeline, target: str, **params: str) -> subprocess.CompletedProcess[str]:
    place, environment = pipeline
    chosen = reading.read(ROOT / "params.yaml") | {"profile": "tiny"} | params
    (place / "params.yaml").write_text(yaml.safe_dump(chosen))
    return subprocess.run(
        ["dvc", "repro", target], cwd=place, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, f"$({RUNS})") for key in ("dataset", "task", "profile", "space", "sigma")),
        ("dataset", f"sample; {RUNS}"),
    ],
)
def test_a_value_that_would_be_a_command_is_refused_and_none(pipeline, key, value):
    done = repro(pipeline, "download", **{key: value})
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "error: " in said and "Traceback" not in said
    assert not list(pipeline[0].rglob("RAN*"))


def test_a_folder_of_any_name_is_read_and_no_command(pipeline):
    folder = pipeline[0] / f"my $({RUNS}) 'pictures'; {RUNS}"
    shutil.copytree(pipeline[0] / "data", folder)
    done = repro(pipeline, "download", dataset="folder", folder=folder.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(pipeline[0].rglob("RAN*"))
    assert len(list((pipeline[0] / "runs/download").rglob("*.png"))) > 1
