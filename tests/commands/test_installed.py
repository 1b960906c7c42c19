"""`nasir` from an installed package, away from the repository: its networks and the profiles come along."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasir.inference import zoo

ROOT = Path(__file__).parents[2]
NEEDED = ("setup.py", "pyproject.toml", "params.yaml", "README.md", "LICENSE", "nasir", "profiles", "models")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `pip install .` puts among the packages."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site") / "packages"
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    (source / "models/in-progress").mkdir(exist_ok=True)
    words = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(site)]
    built = subprocess.run(words, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return site


def nasir(site: Path, place: Path, *words: str) -> str:
    """What the installed command says."""
    code = "from nasir.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_networks_are_installed_and_nothing_beside_the_package(site):
    shipped = site / "nasir/inference/shipped"
    assert [path.name for path in site.iterdir()] == ["nasir"]
    assert sorted(path.name for path in shipped.iterdir()) == zoo.names()
    for name in zoo.names():
        assert {path.name for path in (shipped / name).iterdir()} >= {
            "card.json",
            "model.json",
            "best.safetensors",
        }


def test_a_photograph_is_restored_by_an_installed_network(site, tmp_path):
    noisy = np.random.default_rng(0).normal(120, 50, (40, 56)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "photo.png")
    told = nasir(site, tmp_path, "restore", "photo.png", "--out", "restored.png", "--sigma", "50")
    assert told.startswith("restored.png: 56x40, restored at sigma 50, by ")
    restored = np.asarray(Image.open(tmp_path / "restored.png"))
    assert restored.shape == noisy.shape and restored.std() < noisy.std() / 2


def test_a_genotype_has_its_sizes_from_the_installed_profiles(site, tmp_path):
    model = json.loads((zoo.SHELF / "irnas-bsd500-50/model.json").read_text())
    (tmp_path / "genotype.json").write_text(json.dumps(model["genotype"]))
    told = json.loads(nasir(site, tmp_path, "show", "genotype.json", "--sizes", "small", "--json"))
    assert told["facts"]["sizes of"] == "profile small"
