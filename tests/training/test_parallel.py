"""Two processes train as one does; without a second process nothing changes; whom torchrun or SLURM started is honoured."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from nasir.spaces import irnas
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.training import parallel
from nasir.training.losses import restoration_loss

ROOT = Path(__file__).parents[2]
LAUNCHED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "GROUP_WORLD_SIZE", "SLURM_NTASKS")
LAUNCHED += ("SLURM_PROCID", "SLURM_STEP_ID", "SLURM_JOB_NAME", "SLURM_NNODES", "MASTER_ADDR", "MASTER_PORT")

SCRIPT = """
import sys
import numpy as np
import torch
from torch import nn
from nasir.config.retrain import RetrainConfig
from nasir.data.patches import PatchSampler
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.networks import catalogue
from nasir.spaces import irnas
from nasir.training.parallel import assemble
from nasir.training.retrain import retrain

devices, out = int(sys.argv[1]), sys.argv[2]
torch.use_deterministic_algorithms(True)
config = RetrainConfig(
    steps=3, batch=4, patch=12, optimiser="adam", weight_decay=0.0, warmup_steps=1, lr_max=0.01, lr_min=0.001,
    average=0.2, clip_norm=0.5, clip_usual=0.0, epoch=1, noise="float", ssim_weight=0.5, val_period=2, val_crop=0, log_period=1,
    checkpoint_period=1, compile=False, devices=devices, parallel="auto", precision="32-true", device="cpu",
)
edges = [[(0, "conv_3x3"), (1, "def_3x3")], [(2, "sep_3x3"), (1, "skip")], [(2, "dil_3x3"), (3, "conv_3x3")]]
cell = tuple(tuple(Edge(input=i, operation=name) for i, name in node) for node in edges)
genotype = Genotype(
    space="irnas", cells=(cell,), path=(0, 1), width_factors=(1.0, 2.0), residual=True, activation="relu"
)


class Exact(PatchSampler):
    def draw(self, count, generator):
        return super().draw(count, generator).double()


class Wide(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.double()

    def forward(self, x):
        return self.network(x.double())


def build(name):
    torch.manual_seed(0)
    if name == "derived":
        network = irnas.Network(genotype, channels=1, width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))
        network.output[1].reset_parameters()  # it starts at zero
        return network
    return catalogue.build(name, 1)


rng = np.random.default_rng(0)
pictures = {str(i): rng.integers(0, 256, (24, 20), dtype=np.uint8) for i in range(3)}
images_v = {name: torch.from_numpy(picture / np.float32(255)).unsqueeze(0) for name, picture in pictures.items()}
with assemble(section="retrain", devices=devices, parallel="auto", precision="32-true", device="cpu") as team:
    found, told = {}, []
    for name in ("derived", "dncnn"):
        network = Wide(build(name))
        if team.rank:  # the first one's weights count
            nn.init.zeros_(next(network.parameters()))
        trained = retrain(
            network, patches=Exact(pictures, 12, team.device), images_v=images_v, sigma=50.0, config=config, seed=0,
            state=None, save=lambda state: told.append(state["step"]), log=lambda step, news: told.append(step), team=team,
        )
        found |= {f"{name} {key}": value for key, value in trained.last.items()}
        numbers = {f"{name} {key} {step}": value for step, key, value in trained.history}
        found |= {key: torch.tensor(value, dtype=torch.float64) for key, value in numbers.items()}
        found[f"{name} best"] = torch.tensor(trained.best_step)
    found["told"] = torch.tensor(told)
    found["fabric"] = torch.tensor("lightning_fabric" in sys.modules)
    torch.save(found, f"{out}/{team.rank}-of-{team.size}.pt")
"""


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    """This process was started by hand, whatever the tests run in."""
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    return clean | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory) -> dict[str, dict[str, torch.Tensor]]:
    """What one process, and both of two, hold after three steps in float64."""
    folder = tmp_path_factory.mktemp("steps")
    (folder / "three.py").write_text(SCRIPT)
    for devices in ("1", "2"):
        run(sys.executable, folder / "three.py", devices, folder)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


def test_two_processes_train_to_the_weights_of_one(three_steps):
    one, two = three_steps["0-of-1"], three_steps["0-of-2"]
    assert set(one) == set(two)
    assert {"derived psnr_db 2", "dncnn train_loss 3", "derived network.stem.input.1.running_var"} <= set(one)
    for name, expected in one.items():
        if name == "fabric":
            continue
        # A shift before a convolution and another normalisation has no gradient in theory. Adam divides what rounding
        # leaves of it, 1e-17, by itself plus 1e-8, and multiplies it by the rate, 1e-2: such tensors get an absolute floor.
        difference = torch.linalg.vector_norm(two[name].double() - expected.double())
        assert difference <= 5e-12 * torch.linalg.vector_norm(expected.double()) + 1e-10, name


def test_both_processes_hold_the_same_bits_and_the_first_one_tells(three_steps):
    first, second = three_steps["0-of-2"], three_steps["1-of-2"]
    assert first["told"].tolist() == [1, 1, 2, 2, 3, 3] * 2
    assert second["told"].tolist() == []
    assert all(torch.equal(value, second[name]) for name, value in first.items() if name != "told")


def test_one_process_does_not_need_fabric(three_steps, monkeypatch):
    assert not three_steps["0-of-1"]["fabric"]
    assert three_steps["0-of-2"]["fabric"]
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)  # as if not installed
    for precision, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        with assemble(precision=precision) as team, team.autocast():
            assert (team.size, team.precision) == (1, precision)
            assert nn.Conv2d(1, 1, 1)(torch.ones(1, 1, 1, 1)).dtype == dtype
    with (
        pytest.raises(ValueError, match=r"needs Lightning Fabric, got .*pip install lightning-fabric.*devices to 1"),
        assemble(devices=2),
    ):
        pass


@pytest.mark.parametrize(("is_fast", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_the_team_knows_what_auto_was_taken_for(monkeypatch, is_fast, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": is_fast})
    with assemble(precision="auto") as team:
        assert team.precision == precision


def assemble(devices=1, parallel_="auto", precision="32-true", device="cpu"):
    return parallel.assemble(section="retrain", devices=devices, parallel=parallel_, precision=precision, device=device)


def test_one_process_changes_nothing():
    with assemble() as team:
        values = torch.rand(6, 2)
        assert (team.rank, team.size, team.is_first, team.device.type) == (0, 1, True, "cpu")
        assert torch.equal(team.shard(values), values)
        assert torch.equal(team.mean(values), values.mean())
        assert parallel.add_up([values, None]) == [values, None]
        assert team.score(lambda images: {"n": len(images)}, {"a": values}) == {"n": 1}
        assert isinstance(team.autocast(), nullcontext)


def test_each_process_takes_its_part_of_a_batch():
    teams = [parallel.Team(rank=rank, size=2, device=torch.device("cpu")) for rank in range(2)]
    assert [team.shard(torch.arange(8)).tolist() for team in teams] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    # in two parts: both work on 0 to 3 first, as one process would
    assert [team.shard(torch.arange(8), parts=2).tolist() for team in teams] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    with pytest.raises(ValueError, match=r"parts times the processes \(2 \* 2\), got 6"):
        teams[0].shard(torch.arange(6), parts=2)


def test_a_bfloat16_step_is_close_to_a_float32_one():
    torch.manual_seed(0)
    edges = (Edge(input=0, operation="sep_3x3"), Edge(input=1, operation="conv_3x3"))
    genotype = Genotype(
        space="irnas", cells=((edges,),), path=(0, 1), width_factors=(1.0, 2.0), residual=True, activation="relu"
    )
    network = irnas.Network(genotype, channels=1, width=4, stem_channels=8, aspp_channels=4, aspp_rates=(2,))
    network.output[1].reset_parameters()  # it starts at zero
    clean = torch.rand(8, 1, 24, 24)
    noisy = clean + 0.2 * torch.randn(clean.shape)

    losses, gradients = [], []
    for precision in ("32-true", "bf16-mixed"):
        network.zero_grad()
        with assemble(precision=precision) as team:
            with team.autocast():
                restored = network.stem(noisy)[0], network(noisy)
            loss = restoration_loss(restored[1], clean, 0.5, team.mean)
            loss.backward()
        losses.append(loss.item())
        gradients.append(
            torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])
        )
        assert loss.dtype == gradients[-1].dtype == network.stem.input[1].running_var.dtype == torch.float32
        assert restored[0].dtype == (torch.bfloat16 if precision == "bf16-mixed" else torch.float32)

    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)  # 8 bits of mantissa: 4e-3
    assert (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()


@pytest.mark.parametrize(
    ("found", "devices", "message"),
    [
        (
            {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"},
            1,
            "that were started, 2, got 1; pass --set",
        ),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}, 4, "that were started, 2, got 4"),
        ({"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}, 1, "that were started, 2, got 1"),
        ({"SLURM_NTASKS": "3"}, 2, "that were started, 3, got 2"),
        (
            {"LOCAL_RANK": "0", "WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "x", "GROUP_WORLD_SIZE": "2"},
            3,
            "2 machines, got 3",
        ),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, 2, "how the processes were started.*ntasks-per-node=2"),
    ],
)
def test_a_number_of_processes_that_the_launcher_did_not_start_is_refused(monkeypatch, found, devices, message):
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), assemble(devices=devices):
        pass


@pytest.mark.parametrize(
    "found", [{"SLURM_NTASKS": "2"}, {"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "interactive"}]
)
def test_a_batch_script_and_an_interactive_shell_of_slurm_are_one_process(monkeypatch, found):
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    with assemble() as team:
        assert team.size == 1


@pytest.mark.parametrize(
    ("found", "is_first"),
    [
        ({}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"SLURM_PROCID": "0"}, True),
    ],
)
def test_the_first_process_is_known_before_they_are_joined(monkeypatch, found, is_first):
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert parallel.is_first() is is_first


def test_another_strategy_and_more_gpus_than_there_are_are_refused(monkeypatch):
    with (
        pytest.raises(ValueError, match=r"retrain.parallel must be one of \['auto', 'ddp'\], got 'fsdp'"),
        assemble(parallel_="fsdp"),
    ):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="asks for 2 GPUs on this machine, got 1"), assemble(2, device="cuda"):
        pass
