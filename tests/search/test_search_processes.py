"""Two processes search as one does: the same weights, alpha and beta in float64."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
LAUNCHED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "MASTER_ADDR", "MASTER_PORT")

SCRIPT = """
import dataclasses
import sys
import numpy as np
import torch
from pathlib import Path
from nasir import settings
from nasir.config import reading
from nasir.data.patches import PatchSampler
from nasir.search import darts
from nasir.search.contract import Problem
from nasir.spaces import irnas
from nasir.spaces.cells import searching
from nasir.training.parallel import assemble

devices, out = int(sys.argv[1]), sys.argv[2]
torch.use_deterministic_algorithms(True)
demo = settings.Settings(settings.resolve(reading.read(Path("params.yaml")), Path("profiles"), "darts"), "demo")
small = dataclasses.replace(
    demo.of_space, layers=2, nodes=2, width=2, width_factors=(1.0, 2.0), stem_channels=3, twin="plain", operations=(),
)
section = dataclasses.replace(demo.of_strategy, architecture_lr=0.1, keep_from=1, optimiser="sgd")
config = dataclasses.replace(
    demo.search, steps=3, warmup_steps=1, batch=4, patch=12, sigmas=(30.0, 70.0), val_period=2, log_period=1,
    checkpoint_period=1, clip_norm=0.5, clip_usual=0.0, epoch=1, noise="float", ssim_weight=0.5, device="cpu", devices=devices,
)
RUNS = {
    "first": (small, dataclasses.replace(section, complexity=0.5), dataclasses.replace(config, accumulate=2)),
    "second": (small, dataclasses.replace(section, order=2), config),
    "fast": (dataclasses.replace(small, twin="fast"), section, config),
}


class Exact(PatchSampler):
    def draw(self, count, generator):
        return super().draw(count, generator).double()


rng = np.random.default_rng(0)
pictures = {str(i): rng.integers(0, 256, (24, 20), dtype=np.uint8) for i in range(3)}
images_v = {name: torch.from_numpy(picture / np.float32(255)).unsqueeze(0) for name, picture in pictures.items()}
with assemble(section="search", devices=devices, parallel="auto", precision="32-true", device="cpu") as team:
    tensors, told = {}, []
    for run, (of_space, of_strategy, chosen) in RUNS.items():
        relaxed = searching.relax("irnas", of_space, channels=1, seed=0)
        supernet = relaxed.network.double()
        supernet.register_forward_pre_hook(lambda module, images: tuple(image.double() for image in images))
        found = darts.search(relaxed, Problem(
            space=irnas.SPACE, of_space=of_space, config=chosen, of_strategy=of_strategy, channels=1,
            patches_w=Exact(pictures, 12, team.device), patches_a=Exact(pictures, 12, team.device), images_v=images_v,
            seed=0, state=None, save=lambda state: told.append(state["step"]), log=lambda step, news: told.append(step),
            team=team,
        ))
        numbers = {f"{run} {key} {step}": torch.tensor(value).double() for step, key, value in found.history}
        tensors |= {f"{run} {key}": value for key, value in supernet.state_dict().items()} | numbers
    tensors["told"] = torch.tensor(told)
    torch.save(tensors, f"{out}/{team.rank}-of-{team.size}.pt")
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> dict[str, dict[str, torch.Tensor]]:
    """What one process, and both of two, hold after three steps."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "three.py").write_text(SCRIPT)
    clean = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    for devices in ("1", "2"):
        done = subprocess.run(
            [sys.executable, folder / "three.py", devices, folder],
            cwd=ROOT,
            env=clean | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@pytest.mark.slow
@pytest.mark.parametrize("run", ["first", "second", "fast"])
def test_two_processes_search_to_the_weights_and_architecture_of_one(searched, run):
    one, two = ({k: v for k, v in searched[name].items() if k.startswith(run)} for name in ("0-of-1", "0-of-2"))
    assert set(one) == set(two)
    assert {f"{run} alpha", f"{run} beta", f"{run} stem.input.1.running_var", f"{run} val_loss 3"} <= set(one)
    for name, expected in one.items():
        # The second order divides a difference of two gradients by 0.02 / ||v||, which loses digits.
        tolerance = 1e-9 if run == "second" else 1e-11
        difference = torch.linalg.vector_norm(two[name].double() - expected.double())
        assert difference <= tolerance * torch.linalg.vector_norm(expected.double()) + 1e-12, name


@pytest.mark.slow
def test_both_processes_hold_the_same_bits_and_the_first_one_tells(searched):
    first, second = searched["0-of-2"], searched["1-of-2"]
    assert first["told"].tolist() == [1, 1, 2, 2, 3, 3] * 3
    assert second["told"].tolist() == []
    assert all(torch.equal(value, second[name]) for name, value in first.items() if name != "told")
