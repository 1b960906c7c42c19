"""DVC's own files that a kill left half written are removed, and nothing else is."""

import fcntl
import json

import pytest

from stages.aside import mend

LOCK = """schema: '2.0'
stages:
  split:
    cmd: python -m stages split
    deps:
    - path: runs/pair
      hash: md5
      md5: 0c1d
      size: 12
"""
TABLE = json.dumps({"read": {"runs": [{"pid": 1, "cmd": "dvc repro"}]}, "write": {}})


def put(project, name, text):
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text(text)


@pytest.mark.parametrize("kept", range(len(LOCK)))
def test_what_is_left_of_a_lock_file_is_removed_unless_it_can_be_read(tmp_path, kept):
    put(tmp_path, "dvc.lock", LOCK[:kept])
    said = mend.remove(tmp_path)
    is_readable = LOCK[:kept].endswith("\n") and not LOCK[:kept].endswith(":\n")
    assert (tmp_path / "dvc.lock").exists() == is_readable
    assert [line.startswith(f"{tmp_path / 'dvc.lock'}: a kill") for line in said] == [True] * (not is_readable)


@pytest.mark.parametrize("kept", range(len(TABLE)))
def test_what_is_left_of_the_table_of_locks_is_removed(tmp_path, kept):
    put(tmp_path, mend.TABLE, TABLE[:kept])
    assert len(mend.remove(tmp_path)) == 1
    assert not (tmp_path / mend.TABLE).exists()


def test_whole_files_stay_and_missing_ones_are_not_made(tmp_path):
    assert mend.remove(tmp_path) == [] and list(tmp_path.iterdir()) == []
    put(tmp_path, "dvc.lock", LOCK)
    put(tmp_path, mend.TABLE, TABLE)
    assert mend.remove(tmp_path) == []
    assert (tmp_path / "dvc.lock").read_text() == LOCK and (tmp_path / mend.TABLE).read_text() == TABLE


def test_conflicts_of_a_merge_are_left_to_the_person(tmp_path):
    put(tmp_path, "dvc.lock", f"<<<<<<< HEAD\n{LOCK}=======\n>>>>>>> other\n")
    assert mend.remove(tmp_path) == [] and (tmp_path / "dvc.lock").exists()


@pytest.mark.parametrize("name", mend.GUARDS)
def test_what_a_dvc_at_work_writes_is_left_to_it(tmp_path, name):
    put(tmp_path, name, "")
    put(tmp_path, mend.GUARDS[name], "")
    with (tmp_path / mend.GUARDS[name]).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert mend.remove(tmp_path) == [] and (tmp_path / name).exists()
    assert len(mend.remove(tmp_path)) == 1
