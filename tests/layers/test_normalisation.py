"""Batch normalisation over processes: two halves of a batch are normalised as the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from nasir.layers import normalisation
from nasir.layers.normalisation import BatchNorm

ROOT = Path(__file__).parents[2]
SHAPE = (4, 3, 5, 2)  # of the whole batch

HALF = """
import sys
import torch
from torch import distributed
from nasir.layers.normalisation import BatchNorm, reduce_sum, reduce_sums, world_size

store, rank, batch, out = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
found = {"size": torch.tensor(world_size()), "sum": reduce_sum(torch.tensor([1.0 + rank, 10.0]))}
found["matrix"], found["number"] = reduce_sums(torch.full((2, 2), 1.0 + rank), torch.tensor(3.0))
given = torch.load(batch)
mine = slice(2 * rank, 2 * rank + 2)
for name, affine, momentum in (("scaled", True, 0.1), ("plain", False, 0.1), ("cumulative", False, None)):
    norm = BatchNorm(3, affine=affine, momentum=momentum, dtype=torch.float64)
    if affine:
        norm.load_state_dict(given["affine"], strict=False)
    x = given["x"][mine].clone().requires_grad_()
    out_twice = [norm(x), norm(2 * x)]
    sum((y * given["slope"][mine]).sum() for y in out_twice).backward()
    found |= {f"{name} y": out_twice[0].detach(), f"{name} gradient": x.grad} | {
        f"{name} {key}": value for key, value in norm.state_dict().items()
    }
    found |= {f"{name} d_{key}": reduce_sum(parameter.grad) for key, parameter in norm.named_parameters()}
    found[f"{name} evaluated"] = norm.eval()(x).detach() if rank else torch.zeros(0)  # one process alone does not wait
rounded = BatchNorm(3)(given["x"][mine].bfloat16())
found["rounded"] = rounded
torch.save(found, f"{out}/{rank}.pt")
distributed.barrier()
distributed.destroy_process_group()  # else its threads may outlive the interpreter, which then aborts
"""


@pytest.fixture(scope="module")
def given() -> dict:
    generator = torch.Generator().manual_seed(0)
    x, slope = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))
    weight, bias = (torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"x": x + 100, "slope": slope, "affine": {"weight": weight, "bias": bias}}


@pytest.fixture(scope="module")
def halves(given, tmp_path_factory) -> list[dict]:
    """What two processes find, each with half of the batch."""
    folder = tmp_path_factory.mktemp("halves")
    torch.save(given, folder / "batch.pt")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HALF, str(folder / "store"), str(rank), str(folder / "batch.pt"), str(folder)],
            cwd=ROOT,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def joined(halves: list[dict], name: str) -> torch.Tensor:
    return torch.cat([half[name] for half in halves])


def whole(given: dict, affine: bool, momentum: float | None) -> dict[str, torch.Tensor]:
    """torch's own normalisation of the whole batch."""
    norm = nn.BatchNorm2d(3, affine=affine, momentum=momentum, dtype=torch.float64)
    if affine:
        norm.load_state_dict(given["affine"], strict=False)
    x = given["x"].clone().requires_grad_()
    first, second = norm(x), norm(2 * x)
    ((first + second) * given["slope"]).sum().backward()
    found = {"y": first.detach(), "gradient": x.grad} | dict(norm.state_dict())
    found |= {f"d_{key}": parameter.grad for key, parameter in norm.named_parameters()}
    return found | {"evaluated": norm.eval()(x).detach()[2:]}


@pytest.mark.parametrize(
    ("name", "affine", "momentum"), [("scaled", True, 0.1), ("plain", False, 0.1), ("cumulative", False, None)]
)
def test_two_halves_in_two_processes_are_normalised_as_the_whole_batch(given, halves, name, affine, momentum):
    for key, expected in whole(given, affine, momentum).items():
        # statistics, and summed gradients of scale and shift, are the same in both
        found = joined(halves, f"{name} {key}") if key in ("y", "gradient") else halves[1][f"{name} {key}"]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11, msg=lambda text, key=key: f"{key}: {text}")
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(halves[0][f"{name} {key}"], halves[1][f"{name} {key}"])


def test_sums_are_over_both_processes(halves):
    for half in halves:
        assert half["size"] == 2
        assert half["sum"].tolist() == [1.0 + 2.0, 20.0]
        assert half["matrix"].tolist() == [[3.0, 3.0], [3.0, 3.0]]
        assert half["number"] == 6


def test_bfloat16_is_normalised_with_float32_statistics(given, halves):
    # values of 100 +- 1 step by 0.5 in bfloat16; torch's own keeps the sums in float32 as well
    expected = nn.BatchNorm2d(3)(given["x"].bfloat16())
    found = joined(halves, "rounded")
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("training", [True, False])
def test_one_process_gives_the_bits_of_torch(given, training):
    ours, plain = BatchNorm(3), nn.BatchNorm2d(3)
    x = given["x"].float()
    for norm in (ours, plain):
        norm.train(training)
    assert torch.equal(ours(x), plain(x))
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-6)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_parts_of_a_concatenation_get_the_gradients_of_torch(dtype, tolerance, layout):
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.randn(4, 3, 5, 2, generator=generator, dtype=dtype) for _ in range(2)]
    slope = torch.randn(4, 6, 5, 2, generator=generator, dtype=dtype).to(memory_format=layout)
    found = []
    for make in (BatchNorm, nn.BatchNorm2d):
        norm = make(3)
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        leaves = [picture.clone(memory_format=layout).requires_grad_() for picture in pictures]
        joined = torch.cat([norm(leaf) for leaf in leaves], dim=1)
        found.append([joined, *torch.autograd.grad(joined, (*leaves, norm.weight, norm.bias), slope)])
    for ours, plain in zip(*found, strict=True):
        assert ours.dtype == plain.dtype
        torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_a_part_is_laid_out_as_the_part_is(monkeypatch, layout):
    given = []
    plain = nn.BatchNorm2d.forward

    def forward(self: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        y = plain(self, x)
        y.register_hook(given.append)
        return y

    monkeypatch.setattr(nn.BatchNorm2d, "forward", forward)
    x = torch.randn(4, 3, 5, 2).to(memory_format=layout)
    joined = torch.cat([BatchNorm(3)(x), BatchNorm(3)(x)], dim=1)
    joined.backward(torch.randn(4, 6, 5, 2).to(memory_format=layout))
    assert [gradient.is_contiguous(memory_format=layout) for gradient in given] == [True, True]


def test_one_process_makes_no_copies():
    x = torch.ones(2)
    assert normalisation.world_size() == 1
    assert normalisation.reduce_sum(x) is x
    assert normalisation.reduce_sums(x, x)[1] is x


def test_plain_normalisation_is_replaced_and_stays_shared():
    shared = nn.BatchNorm2d(3, momentum=0.3)
    network = nn.Sequential(shared, nn.Sequential(nn.BatchNorm2d(3, affine=False), shared), nn.ReLU())
    parameters = list(network.parameters())
    before = dict(network.state_dict())

    normalisation.share_statistics(network)

    assert [type(layer) for layer in (network[0], network[1][0], network[2])] == [BatchNorm, BatchNorm, nn.ReLU]
    assert network[0] is network[1][1]
    assert network[0].momentum == 0.3
    assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
    assert list(network.state_dict()) == list(before)
    assert network.state_dict()["0.running_var"].data_ptr() == before["0.running_var"].data_ptr()


def test_a_lost_process_is_told_as_such():
    def lose() -> None:
        raise RuntimeError("Connection closed by peer [127.0.0.1]:1\nand more")

    with pytest.raises(ConnectionError, match=r"another process of this run has ended .*closed by peer \[127"):
        normalisation.together(lose)
