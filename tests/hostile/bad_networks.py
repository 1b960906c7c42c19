"""Damaged genotypes, descriptions of networks, weights and checkpoints, given to `nasir show`, `nasir restore` and training."""

import json
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from bad_pictures import encoded
from judging import Answer, Case, function, nasir

from nasir.inference import model
from nasir.spaces import contract
from nasir.spaces.cells.genotype import Edge, Genotype, to_json
from nasir.spaces.cells.section import CellsSizes
from nasir.training import checkpoints

GENOTYPE = to_json(
    Genotype(
        space="irnas", cells=(((Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="skip")),),), path=(0,),
        width_factors=(1.0, 2.0), residual=True, activation="relu",
    )
)  # fmt: skip

WRONG: Mapping[str, object] = {
    "nothing": None, "a switch": True, "text": "os.system('touch ran')", "an empty list": [], "an empty mapping": {},
    "a list of lists": [[[[]]]], "below 0": -1, "10^30": 10**30,
}  # fmt: skip

FITTING = {"residual": ("a switch",), "reads_stem": ("a switch",)}

TEXTS: Mapping[str, bytes] = {
    "empty": b"",
    "half": json.dumps(GENOTYPE).encode()[:100],
    "a list": b"[1, 2]",
    "a number": b"3",
    "NaN": b'{"version": NaN}',
    "a key twice": b'{"version": 3, "version": 3}',
    "100,000 levels": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "5,000 digits": b'{"version": ' + b"9" * 5000 + b"}",
    "latin-1": '{"space": "Bücher"}'.encode("latin-1"),
    "UTF-16": json.dumps(GENOTYPE).encode("utf-16"),
    "half a letter": b'{"space": "\\ud800"}',
    "escape sequences": b'{"space": "\\u001b[31m"}',
    "Python": b"__import__('os').system('touch ran')",
    "binary": bytes(range(256)),
}
"""Of a JSON file."""


def little_network(folder: Path) -> Path:
    """A small network of the space irnas for grey images at noise of level 50, with fresh weights."""
    sizes = CellsSizes(width=2, stem_channels=3, aspp_channels=2, aspp_rates=(2,))
    torch.manual_seed(0)
    space = contract.find("irnas")
    weights = space.build(space.from_json(GENOTYPE), sizes, 1).state_dict()
    model.save(folder, GENOTYPE, sizes, 1, "denoise", 50.0, {"best": weights, "last": weights})
    return folder


def show(text: bytes) -> Callable[[Path], Answer]:
    """Show a genotype's file."""

    def act(place: Path) -> Answer:
        (place / "genotype.json").write_bytes(text)
        return nasir("show", place / "genotype.json", "--out", place / "out" / "drawing.svg")

    return act


def genotypes() -> Iterator[tuple[str, bytes]]:
    """Genotypes with what none can have."""
    for key in GENOTYPE:
        for what, value in WRONG.items():
            if what not in FITTING.get(key, ()):
                yield f"{key} is {what}", json.dumps(GENOTYPE | {key: value}).encode()
        yield f"no {key}", json.dumps({name: value for name, value in GENOTYPE.items() if name != key}).encode()
    yield "unknown key", json.dumps(GENOTYPE | {"sapce": 1}).encode()
    edge = {"input": 0, "operation": "skip"}
    for name, edges in {
        "an operation that is none": [edge | {"operation": "none"}],
        "an unknown operation": [edge | {"operation": "conv_9x9"}],
        "an operation of another space": [edge | {"operation": "def_9x9"}],
        "an input that is later": [edge | {"input": 5}],
        "an input below 0": [edge | {"input": -1}],
        "no edge": [],
        "an edge that is text": ["skip"],
        "100,000 edges": [edge] * 100_000,
    }.items():
        yield name, json.dumps(GENOTYPE | {"cells": [[edges]]}).encode()
    for name, changes in {
        "200,000 layers": {"path": [0] * 200_000},
        "a leap of widths": {"path": [0, 2], "width_factors": [1, 2, 4]},
        "a width that there is not": {"path": [7]},
        "widths that fall": {"width_factors": [2, 1]},
        "an endless width": {"width_factors": [1, 1e308]},
        "100,000 widths": {"width_factors": list(range(1, 100_000))},
    }.items():
        yield name, json.dumps(GENOTYPE | changes).encode()


def described(change: Callable[[dict[str, Any]], object] | bytes) -> Callable[[Path, Path], Answer]:
    """Restore with a network whose `model.json` is another."""

    def act(place: Path, whole: Path) -> Answer:
        shutil.copytree(whole, place / "network")
        path = place / "network" / "model.json"
        if isinstance(change, bytes):
            path.write_bytes(change)
        else:
            value = json.loads(path.read_text())
            path.write_text(json.dumps(change(value) or value))
        return _restore(place)

    return act


def weighted(damage: Callable[[bytes], bytes]) -> Callable[[Path, Path], Answer]:
    """Restore with a network whose weights are another file."""

    def act(place: Path, whole: Path) -> Answer:
        shutil.copytree(whole, place / "network")
        path = place / "network" / "best.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        return _restore(place)

    return act


def _restore(place: Path) -> Answer:
    (place / "x.png").write_bytes(encoded())
    return nasir("restore", place / "x.png", "--model", place / "network", "--out", place / "out" / "restored.png")


def descriptions() -> Iterator[tuple[str, Callable[[dict[str, Any]], object] | bytes]]:
    """What `model.json` may not say."""
    for key in ("version", "task", "sigma", "channels", "sizes", "genotype"):
        for what, value in WRONG.items():
            if (key, what) != ("task", "text"):  # a name that other versions may have
                yield f"{key} is {what}", lambda whole, key=key, value=value: whole | {key: value}
        yield f"no {key}", lambda whole, key=key: {name: value for name, value in whole.items() if name != key}
    for key in ("width", "stem_channels", "aspp_channels", "aspp_rates"):
        for what, value in WRONG.items():
            if (key, what) != ("aspp_rates", "an empty list"):
                change = {key: value}
                yield f"sizes.{key} is {what}", lambda whole, change=change: whole | {"sizes": whole["sizes"] | change}
    yield "wider than its weights", lambda whole: whole | {"sizes": whole["sizes"] | {"width": 4}}
    yield "16,384 wide", lambda whole: whole | {"sizes": whole["sizes"] | {"width": 16_384, "stem_channels": 16_384}}
    yield "300 layers", lambda whole: whole | {"genotype": whole["genotype"] | {"path": [0] * 300}}
    for name in ("x", "../dncnn", "os", "catalogue", "baseline"):
        yield (
            f"network {name}",
            lambda whole, name=name: (
                {key: whole[key] for key in ("version", "task", "sigma", "channels")} | {"network": name}
            ),
        )


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Safetensors with another header over the same numbers."""

    def damage(data: bytes) -> bytes:
        length = int.from_bytes(data[:8], "little")
        value = json.loads(data[8 : 8 + length])
        text = json.dumps(change(value) or value).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + length :]

    return damage


def _first(value: dict[str, Any], **changes: object) -> dict[str, Any]:
    name = next(name for name in value if name != "__metadata__" and value[name]["shape"])
    return value | {name: value[name] | changes}


def weights() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Safetensors that are torn or lie."""
    for part in (0, 4, 8, 9, 50):
        yield f"{part} bytes", lambda data, part=part: data[:part]
    for share in (0.3, 0.6, 0.9, 0.999):
        yield f"{share} of it", lambda data, share=share: data[: int(share * len(data))]
    for claimed in (0, 1, 2**31, 2**62, 2**64 - 1):
        yield f"a header of {claimed}", lambda data, claimed=claimed: struct.pack("<Q", claimed) + data[8:]
    yield "more behind it", lambda data: data + b"more"
    yield "text", lambda data: b"weights"
    yield "a pickle", lambda data: b"cos\nsystem\n(S'touch ran'\ntR."
    yield "of 100,000 levels", lambda data: struct.pack("<Q", 200_000) + b"[" * 200_000
    yield "no tensor", _header(lambda value: {"__metadata__": {}})
    yield "another type", _header(lambda value: _first(value, dtype="F99"))
    yield "numbers of 8 bits", _header(lambda value: _first(value, dtype="U8"))
    yield "a larger shape", _header(lambda value: _first(value, shape=[10**9, 10**9]))
    yield "a shape below 0", _header(lambda value: _first(value, shape=[-1]))
    yield "offsets outside", _header(lambda value: _first(value, data_offsets=[0, 2**62]))
    yield "offsets backwards", _header(lambda value: _first(value, data_offsets=[8, 0]))
    yield (
        "a further tensor",
        _header(lambda value: value | {"extra": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
    )
    yield (
        "not finite",
        lambda data: (
            data[: 8 + int.from_bytes(data[:8], "little")]
            + b"\xff" * (len(data) - 8 - int.from_bytes(data[:8], "little"))
        ),
    )
    chance = random.Random(0)
    for number in range(12):
        place, bit = chance.randrange(8, 400), 1 << chance.randrange(7)
        yield (
            f"flip {number}",
            lambda data, place=place, bit=bit: data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :],
        )


class Runs:
    """What a pickle runs when it is opened without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


MADE_WITH = {"seed": "0"}


def resumed(make: Callable[[bytes, Path], bytes]) -> Callable[[Path], Answer]:
    """A training that is carried on from a checkpoint which is damaged."""

    def act(place: Path) -> Answer:
        path = place / "search.pt"
        state = {"step": 3, "weights": torch.arange(100.0), "history": [(1, "psnr_db", 30.0)]}
        checkpoints.save(path, MADE_WITH, state, steps=6)
        path.write_bytes(make(path.read_bytes(), place))
        return function(lambda: checkpoints.load(path, MADE_WITH))

    return act


def _zipped(data: bytes, place: Path, payload: bytes) -> bytes:
    """A checkpoint with this pickle in place of its own."""
    (place / "whole.pt").write_bytes(data)
    with zipfile.ZipFile(place / "whole.pt") as old, zipfile.ZipFile(place / "new.pt", "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, payload if info.filename.endswith("data.pkl") else old.read(info))
    return (place / "new.pt").read_bytes()


def _saved(value: object, place: Path) -> bytes:
    torch.save(value, place / "other.pt")
    return (place / "other.pt").read_bytes()


def torn() -> Iterator[tuple[str, Callable[[bytes, Path], bytes]]]:
    """Checkpoints that are none."""
    for share in (0, 0.01, 0.2, 0.5, 0.8, 0.95, 0.999):
        yield f"{share} of it", lambda data, place, share=share: data[: int(share * len(data))]
    yield "text", lambda data, place: b"checkpoint"
    yield "zeros", lambda data, place: bytes(len(data))
    yield "a pickle that runs code", lambda data, place: pickle.dumps(Runs(place / "ran"))
    yield "one inside", lambda data, place: _zipped(data, place, pickle.dumps(Runs(place / "ran")))
    yield "a pickle of another protocol", lambda data, place: _zipped(data, place, b"\x80\xff.")
    yield "a pickle that never ends", lambda data, place: _zipped(data, place, b"\x80\x02" + b"(" * 100_000)
    yield "a list", lambda data, place: _saved([1, 2], place)
    yield "a tensor", lambda data, place: _saved(torch.zeros(3), place)
    yield "other keys", lambda data, place: _saved({"weights": 1}, place)
    yield "keys of other types", lambda data, place: _saved({"state": 3, "made_with": [1]}, place)
    yield "made with others", lambda data, place: _saved({"state": {}, "made_with": {"seed": "1"}}, place)
    yield "a zip of others", lambda data, place: b"PK\5\6" + bytes(18)
    for number in range(20):

        def flip(data: bytes, place: Path, number: int = number) -> bytes:
            changed = bytearray(data)
            changed[random.Random(number).randrange(len(data))] ^= 1 << number % 8
            return bytes(changed)

        yield f"flip {number}", flip


def cases(model: Path) -> Iterator[Case]:
    """All of them; `model` is the folder of a small network for grey."""
    for name, text in [*genotypes(), *TEXTS.items()]:
        yield Case(kind="genotypes", name=name, act=show(text), named=r"genotype\.json")
    for name, change in [*descriptions(), *TEXTS.items()]:
        act = described(change)
        yield Case(
            kind="model.json", name=name, act=lambda place, act=act: act(place, model), named="model.json|safetensors"
        )
    for name, damage in weights():
        act = weighted(damage)
        ends = "either" if name.startswith("flip") else "refused"
        kind = "safetensors"
        yield Case(kind=kind, name=name, act=lambda place, act=act: act(place, model), named="safetensors", ends=ends)
    for name, make in torn():
        ends = "either" if name.startswith("flip") else "refused"
        yield Case(kind="checkpoints", name=name, act=resumed(make), named="search.pt", ends=ends)
