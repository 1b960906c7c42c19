"""The memory of one update of the supernet's weights; the numbers themselves belong to a fresh process."""

import dataclasses

import little_run
import pytest

from nasir.files import read_json
from nasir.spaces import irnas
from nasir.task import TASKS
from stages.tables import memory


def measure(out, share_cells=True, task="denoise"):
    memory.run(
        out=out,
        task=task,
        space=irnas.SPACE,
        of_space=dataclasses.replace(little_run.CELLS, share_cells=share_cells),
        seed=0,
        config=little_run.SEARCH,
        log=little_run.ignore,
    )
    return read_json(out)


def test_memory_is_measured_with_and_without_shared_cells(tmp_path):
    found = {share: measure(tmp_path / "memory.json", share) for share in (True, False)}

    assert found[False]["parameters"] > found[True]["parameters"]
    assert all(one["peak_mib"] >= 0 for one in found.values())  # in a process that has had its peak, nothing is added
    assert found[True]["what"] == "supernet and one update of its weights on 2 patches of 12x12, cpu"


@pytest.mark.parametrize("task", TASKS)
def test_a_supernet_of_any_task_is_measured(tmp_path, task):
    assert measure(tmp_path / "memory.json", task=task)["parameters"] > 0
