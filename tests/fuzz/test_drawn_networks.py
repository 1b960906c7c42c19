"""Checkpoints, weights and descriptions of networks, drawn at random, whole and damaged."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_inputs import SCALARS, TEXTS, VALUES, changed, damaged, read_or_refused, tried
from hypothesis import given
from hypothesis import strategies as st

from nasir.inference import model
from nasir.spaces import contract
from nasir.spaces.cells.section import CellsSizes
from nasir.training import checkpoints

MADE_WITH = {"seed": "0", "search.devices": "1", "code": "a"}

STATE: dict[str, Any] = {
    "step": 3,
    "history": [[1, "psnr_db", 30.0], [2, "train_loss", 0.5]],
    "best": {"psnr_db": 30.0},
}

GENOTYPE = {
    "version": 3, "space": "irnas", "cells": [[[{"input": 0, "operation": "conv_3x3"}]]], "path": [0], "width_factors": [1.0],
    "residual": True, "activation": "relu", "downscale": 1, "norm": "batch", "reads_stem": False,
}  # fmt: skip

HEADERS = st.one_of(
    VALUES,
    st.sampled_from(["F16", "F64", "BF16", "F8_E4M3", "I64", "U8", "BOOL", "F99"]),
    st.lists(st.integers(-2, 2**64), max_size=3),
)
"""What a header may say of a tensor."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small network for grey."""
    found = tmp_path_factory.mktemp("drawn")
    space, sizes = contract.find("irnas"), CellsSizes(width=2, stem_channels=2, aspp_channels=0, aspp_rates=())
    torch.manual_seed(0)
    weights = space.build(space.from_json(GENOTYPE), sizes, 1).state_dict()
    model.save(found / "network", GENOTYPE, sizes, 1, "denoise", 50.0, {"best": weights})
    return found


def saved(path: Path, value: object) -> bytes:
    """A value as torch writes it."""
    torch.save(value, path)
    return path.read_bytes()


def resume(path: Path) -> tuple[object, object]:
    """What a training carries on from, and what is shown of it."""
    return checkpoints.load(path, MADE_WITH, say=lambda line: None), checkpoints.look(path)


@tried(60)
@given(state=st.dictionaries(TEXTS, VALUES, max_size=4), sizes=st.lists(st.integers(0, 3), max_size=3))
def test_a_state_that_was_saved_is_loaded_equal(place, state, sizes):
    state["weights"] = torch.arange(float(torch.Size(sizes).numel())).view(sizes)
    checkpoints.save(place / "state.pt", MADE_WITH, state)

    found = read_or_refused(lambda: checkpoints.load(place / "state.pt", MADE_WITH))

    assert found is not None and torch.equal(found.pop("weights"), state.pop("weights"))
    assert repr(found) == repr(state)


@tried(150)
@given(data=st.data())
def test_any_checkpoint_is_carried_on_from_or_refused_by_its_name(place, data):
    checkpoints.save(place / "whole.pt", MADE_WITH, STATE, steps=6)
    text = data.draw(damaged((place / "whole.pt").read_bytes()))
    (place / "any.pt").write_bytes(text)

    found = read_or_refused(lambda: checkpoints.load(place / "any.pt", MADE_WITH), r"any\.pt")

    assert found is None or found == STATE


@tried(150)
@given(data=st.data())
def test_any_bytes_under_a_right_seal_are_carried_on_from_or_refused_by_name(place, data):
    whole = saved(place / "whole.pt", {"made_with": MADE_WITH, "state": STATE, "pace": 1.0, "steps": 6})
    (place / "sealed.pt").write_bytes(checkpoints._sealed(data.draw(damaged(whole))))

    read_or_refused(lambda: resume(place / "sealed.pt"), r"sealed\.pt")


@tried(250)
@given(data=st.data())
def test_any_values_in_a_checkpoint_are_carried_on_from_or_refused_by_its_name(place, data):
    whole = {"made_with": MADE_WITH, "state": STATE, "pace": 1.0, "steps": 6}
    value = data.draw(
        changed(whole, VALUES | st.dictionaries(SCALARS.filter(lambda key: key == key), SCALARS, max_size=3))
    )
    (place / "values.pt").write_bytes(checkpoints._sealed(saved(place / "whole.pt", value)))

    read_or_refused(lambda: resume(place / "values.pt"), r"values\.pt")


@tried(150)
@given(data=st.data())
def test_any_weights_are_the_network_s_or_refused_by_their_name(place, data):
    path = place / "network" / "best.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, numbers = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    text = json.dumps(data.draw(changed(header, HEADERS))).encode()
    other = struct.pack("<Q", len(text)) + text + numbers
    try:
        path.write_bytes(data.draw(st.one_of(st.just(other), damaged(whole), st.binary(max_size=40))))
        read_or_refused(lambda: model.read_tensors(path), "best.safetensors")
        found = read_or_refused(lambda: model.load(place / "network"), "best.safetensors")
    finally:
        path.write_bytes(whole)

    assert found is None or all(tensor.isfinite().all() for tensor in found.network.state_dict().values())


@tried(200)
@given(data=st.data())
def test_any_description_is_of_a_network_that_can_be_built_or_is_refused_by_its_name(place, data):
    path = place / "network" / "model.json"
    whole = path.read_bytes()
    text = json.dumps(data.draw(changed(json.loads(whole)))).encode()
    try:
        path.write_bytes(data.draw(st.one_of(st.just(text), st.just(text), damaged(whole))))
        read_or_refused(lambda: model.load(place / "network"), "model.json|best.safetensors")
    finally:
        path.write_bytes(whole)
