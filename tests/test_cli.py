"""`nasir` and `python -m stages` as a person meets them."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nasir.training import model

ROOT = Path(__file__).parents[1]


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


NASIR = ("-c", "from nasir.cli import main; main()")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from nasir.genotype import Edge, Genotype

    genotype = Genotype(
        space="irnas",
        cell=((Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="skip")),),
        path=(0,),
        width_factors=(1.0, 2.0, 4.0),
        residual=True,
    )
    shape = model.Shape(channels=1, width=2, stem_channels=3, aspp_channels=0, aspp_rates=())
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("trained") / "model"
    weights = {"best": model.build(genotype, shape).state_dict()}
    model.save(path, genotype, shape, "denoise", 50.0, weights)
    return path


@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 3)], ids=["grey", "colour"])
def test_restore_writes_an_image_of_the_same_size(folder, tmp_path, shape):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "in.png")
    out = tmp_path / "out.png"
    run = call(*NASIR, "restore", str(tmp_path / "in.png"), "--model", str(folder), "--sigma", "50", "--out", str(out))
    assert run.returncode == 0, run.stderr
    assert np.array(Image.open(out)).shape == shape
    assert "9x13, restored at sigma 50" in run.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "nosuch.png"}, "nosuch.png must be an image file"),
        ({"--sigma": "30"}, "trained for sigma 50, got 30"),
        ({"--model": "nosuch"}, "got no model.json there"),
        ({"--out": "out.jpg"}, "--out must end in .png"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_no_file(folder, tmp_path, change, message):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "in.png")
    options = {"--model": str(folder), "--sigma": "50", "--out": str(tmp_path / "out.png")} | change
    image = options.pop("image", str(tmp_path / "in.png"))
    if options["--out"] == "out.jpg":
        options["--out"] = str(tmp_path / "out.jpg")
    run = call(*NASIR, "restore", image, *[word for pair in options.items() for word in pair])
    assert run.returncode == 1
    assert run.stderr.startswith("error: ") and message in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("command", [("-m", "stages", "--help"), (*NASIR, "--help")], ids=["stages", "nasir"])
def test_help_imports_nothing_slow(command):
    # the time itself is printed, not judged: machines differ
    start = time.perf_counter()
    run = call("-X", "importtime", *command)
    print(f"{' '.join(command[-2:])}: {time.perf_counter() - start:.2f} s")
    assert run.returncode == 0
    slow = ("torch", "mlflow", "great_expectations", "dvc", "matplotlib", "scipy", "skimage", "pandas", "numpy")
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert not imported & set(slow)


def test_a_stage_names_a_wrong_profile_in_one_line(tmp_path):
    run = call(
        "-m",
        "stages",
        "split",
        "--profile",
        "profiles/nosuch.yaml",
        "--images",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: expected a configuration file at profiles/nosuch.yaml")
