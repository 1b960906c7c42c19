"""Checkpoints come back whole, or are refused with the reason."""

import pytest
import torch

from nasir.training import checkpoints


def test_a_checkpoint_comes_back(tmp_path):
    state = {"step": 3, "tensor": torch.arange(3.0), "history": [(1, "loss", 0.5)], "best": None}
    checkpoints.save(tmp_path / "c.pt", {"a": "1"}, state)
    found = checkpoints.load(tmp_path / "c.pt", {"a": "1"})
    assert torch.equal(found.pop("tensor"), state.pop("tensor"))
    assert found == state


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoints.load(tmp_path / "c.pt", {}) is None


def test_another_configuration_is_refused_and_named(tmp_path):
    checkpoints.save(tmp_path / "c.pt", {"search.steps": "100", "seed": "0"}, {})
    with pytest.raises(ValueError, match=r"another configuration.*search.steps: 100 -> 200\. Remove it"):
        checkpoints.load(tmp_path / "c.pt", {"search.steps": "200", "seed": "0"})


def test_another_number_of_processes_is_said_and_carried_on(tmp_path):
    one = {"retrain.devices": "1", "retrain.parallel": "'auto'", "threads": "2", "seed": "0"}
    checkpoints.save(tmp_path / "c.pt", one, {"step": 3})
    said = []

    assert checkpoints.load(tmp_path / "c.pt", one, said.append) == {"step": 3}
    assert said == []
    two = one | {"retrain.devices": "2", "threads": "1"}
    assert checkpoints.load(tmp_path / "c.pt", two, said.append) == {"step": 3}
    [text] = said
    assert "carried on with retrain.devices: 1 -> 2; threads: 2 -> 1: equal up to rounding, not to the bit" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": "1"}, r"present one; threads: 2 -> 1\. Remove it"),  # same bits only from the same threads
        ({"retrain.devices": "2", "seed": "1"}, r"present one; seed: 0 -> 1\. Remove it"),
    ],
)
def test_the_number_of_processes_excuses_nothing_else(tmp_path, change, message):
    one = {"retrain.devices": "1", "threads": "2", "seed": "0"}
    checkpoints.save(tmp_path / "c.pt", one, {})
    with pytest.raises(ValueError, match=message):
        checkpoints.load(tmp_path / "c.pt", one | change)


def test_a_damaged_file_is_named(tmp_path):
    checkpoints.save(tmp_path / "c.pt", {"a": "1"}, {"x": torch.zeros(100)})
    whole = (tmp_path / "c.pt").read_bytes()
    for name, damaged in (("half.pt", whole[: len(whole) // 2]), ("empty.pt", b""), ("text.pt", b"not a checkpoint")):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name} must be a whole nasir checkpoint"):
            checkpoints.load(tmp_path / name, {"a": "1"})


def test_the_one_before_a_damaged_one_is_carried_on_with(tmp_path):
    path, said = tmp_path / "c.pt", list[str]()
    for step in (1, 2, 3):
        checkpoints.save(path, {"a": "1"}, {"step": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.pt", "c.pt.before"]
    assert checkpoints.load(path, {"a": "1"}, said.append) == {"step": 3} and said == []

    path.write_bytes(path.read_bytes()[:-9])
    assert checkpoints.load(path, {"a": "1"}, said.append) == {"step": 2}
    assert said == [f"{path} is damaged; the checkpoint before it is carried on with: 2 steps are done."]
    checkpoints.save(path, {"a": "1"}, {"step": 4})  # the damaged one is not kept in place of the whole one
    path.write_bytes(b"")
    assert checkpoints.load(path, {"a": "1"}, said.append) == {"step": 2}

    checkpoints.earlier(path).write_bytes(b"")
    with pytest.raises(ValueError, match=r"c\.pt must be a whole nasir checkpoint"):
        checkpoints.load(path, {"a": "1"}, said.append)


def test_one_that_was_removed_does_not_come_back(tmp_path):
    path = tmp_path / "c.pt"
    for step in (1, 2):
        checkpoints.save(path, {"a": "1"}, {"step": step})
    path.unlink()
    assert checkpoints.load(path, {"a": "1"}) is None
    checkpoints.save(path, {"a": "1"}, {"step": 1})
    checkpoints.remove(path)
    assert not list(tmp_path.iterdir())


def test_where_no_links_can_be_made_the_one_before_is_copied(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    for step in (1, 2):
        checkpoints.save(tmp_path / "c.pt", {"a": "1"}, {"step": step})
    (tmp_path / "c.pt").write_bytes(b"")
    assert checkpoints.load(tmp_path / "c.pt", {"a": "1"}, lambda line: None) == {"step": 1}


def test_every_bit_that_turned_over_is_noticed(tmp_path):
    checkpoints.save(tmp_path / "c.pt", {}, {"x": torch.zeros(4)})
    whole = (tmp_path / "c.pt").read_bytes()
    for place in range(0, len(whole), 7):
        (tmp_path / "c.pt").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"c.pt must be a whole nasir checkpoint"):
            checkpoints.load(tmp_path / "c.pt", {})


@pytest.mark.parametrize("made_with", [{1: "0"}, {"seed": 0}, {"seed": "0", None: None}])
def test_a_checkpoint_that_was_made_with_what_is_no_text_is_named(tmp_path, made_with):
    checkpoints.save(tmp_path / "a.pt", made_with, {"step": 3})

    with pytest.raises(ValueError, match=r"a\.pt must hold a nasir checkpoint's state, got other values"):
        checkpoints.load(tmp_path / "a.pt", {"seed": "0"})


@pytest.mark.parametrize(
    "state",
    [{"step": {}}, {"history": None}, {"history": [[1, "psnr_db"]]}, {"history": [[None, "psnr_db", 1.0]], "step": 3}],
)
def test_a_checkpoint_whose_progress_is_none_is_named_where_it_is_looked_at(tmp_path, state):
    checkpoints.save(tmp_path / "a.pt", {"seed": "0"}, state, steps=6)

    with pytest.raises(ValueError, match=r"a\.pt must be a nasir checkpoint of a search or training, got another one"):
        checkpoints.look(tmp_path / "a.pt")


def test_a_checkpoint_of_before_there_were_seals_is_read(tmp_path):
    torch.save({"made_with": {"a": "1"}, "state": {"step": 3}}, tmp_path / "c.pt")

    assert checkpoints.load(tmp_path / "c.pt", {"a": "1"}) == {"step": 3}


def test_the_fingerprint_holds_settings_inputs_and_code(tmp_path):
    (tmp_path / "split.json").write_text("abc")
    found = checkpoints.fingerprint({"steps": 3}, {"split": tmp_path / "split.json", "genotype": "text"}, "c0de")
    assert found["steps"] == "3"
    assert found["split"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc"
    assert found["genotype"] == "text"
    assert found["code"] == "c0de"
    assert set(found) == {"steps", "split", "genotype", "code"}
