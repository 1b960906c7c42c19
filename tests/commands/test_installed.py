"""`nasir` after `pip install .`, away from the repository, with the packages alone that pyproject.toml asks for."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasir.inference import zoo

ROOT = Path(__file__).parents[2]
NEEDED = ("setup.py", "pyproject.toml", "params.yaml", "README.md", "LICENSE", "nasir", "profiles", "models")

MOST_SECONDS = 10
"""Of a processor, until a photograph of 512x512 pixels is restored: the loading of torch and of the network are in it."""

MODULES = {"great-expectations": "great_expectations", "vl-convert-python": "vl_convert", "types-PyYAML": "yaml_types"}
"""What is imported of packages of other names."""


def extras() -> list[str]:
    """Modules of packages that only an extra brings."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = [re.match(r"[\w-]+", line)[0] for lines in wanted.values() for line in lines]
    return ["dask", *(MODULES.get(name, name.replace("-", "_")) for name in names)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `pip install .` puts among the packages, and its command."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site") / "packages"
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    (source / "models/in-progress").mkdir(exist_ok=True)
    words = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), "."]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    built = subprocess.run(pip, cwd=source, env=alone(), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return site


def alone(site: Path | None = None) -> dict[str, str]:
    """The environment with an installed package and nothing of the repository."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept if site is None else kept | {"PYTHONPATH": str(site)}


def nasir(site: Path, place: Path, *words: str) -> str:
    """What the command says where no package of an extra is installed."""
    code = f"import sys; sys.modules.update(dict.fromkeys({extras()})); from nasir.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=place, env=alone(site), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_networks_are_installed_and_nothing_beside_the_package(site):
    shipped = site / "nasir/inference/shipped"
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"nasir", "bin"}
    assert sorted(path.name for path in shipped.iterdir()) == zoo.names()
    for name in zoo.names():
        assert {path.name for path in (shipped / name).iterdir()} >= {
            "card.json",
            "model.json",
            "best.safetensors",
        }


def test_the_installed_command_is_the_installed_package_s(site, tmp_path):
    said = subprocess.run(
        [site / "bin/nasir", "nosuch"], cwd=tmp_path, env=alone(site), capture_output=True, text=True, check=False
    )
    assert said.returncode == 2 and "No such command" in said.stderr
    where = "import nasir, pathlib; print(pathlib.Path(nasir.__file__).parent)"
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=alone(site), capture_output=True, text=True)
    assert Path(found.stdout.strip()) == site / "nasir"


def test_a_photograph_of_512x512_pixels_is_restored_within_seconds(site, tmp_path):
    blocks = np.kron(np.random.default_rng(0).integers(60, 190, (32, 32)), np.ones((16, 16)))
    noisy = blocks + np.random.default_rng(1).normal(0, 50, blocks.shape)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "photo.png")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = nasir(site, tmp_path, "restore", "photo.png", "--out", "restored.png")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert told.startswith("restored.png: 512x512, restored at sigma 50, by ")
    restored = np.asarray(Image.open(tmp_path / "restored.png"))
    assert restored.shape == noisy.shape and (restored - blocks).std() < 15  # of 50
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_SECONDS


def test_a_genotype_has_its_sizes_from_the_installed_profiles(site, tmp_path):
    model = json.loads((zoo.SHELF / "irnas-bsd500-50/model.json").read_text())
    (tmp_path / "genotype.json").write_text(json.dumps(model["genotype"]))
    told = json.loads(nasir(site, tmp_path, "show", "genotype.json", "--sizes", "small", "--json"))
    assert told["facts"]["sizes of"] == "profile small"


@pytest.mark.parametrize(
    "words", [("datasets",), ("compare", "irnas-bsd500-50", "irnas-bsd500-30")], ids=lambda w: w[0]
)
def test_commands_that_need_no_picture_answer(site, tmp_path, words):
    assert json.loads(nasir(site, tmp_path, *words, "--json"))
