"""`params.yaml`, profiles and `--set` with what no run can have, given to `python -m stages settings` and to a stage."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from judging import Answer, Case, stage

from nasir.config import reading
from nasir.settings import resolve

ROOT = Path(__file__).parents[2]

WRONG: Mapping[str, object] = {
    "nothing": None, "a list": [1], "a mapping": {"a": 1}, "text": "x y", "a switch": True, "infinity": float("inf"),
    "no number": float("nan"), "below 0": -1, "10^30": 10**30,
}  # fmt: skip
"""Values that fit few keys."""

FITTING = {
    "folder": ("text",),  # any text is one
}
"""Values of `WRONG` that a key takes."""

MULTIPLIED = "a: &a [x]\n" + "".join(
    f"b{i}: &{after} [*{before}{f', *{before}' * 9}]\n"
    for i, (before, after) in enumerate(zip("abcdefghi", "bcdefghij", strict=True))
)

TEXTS: Mapping[str, bytes] = {
    "empty": b"",
    "only a comment": b"# nothing\n",
    "a list": b"- 1\n- 2\n",
    "a number": b"7\n",
    "NUL": b"seed: \0\n",
    "UTF-16": "seed: 0\n".encode("utf-16"),
    "latin-1": "folder: Bücher\n".encode("latin-1"),
    "a tab": b"seed:\n\t- 1\n",
    "an open bracket": b"seed: [1\n",
    "multiplied aliases": MULTIPLIED.encode(),
    "an alias of itself": b"a: &a [*a]\n",
    "an alias of nothing": b"a: *b\n",
    "100,000 levels": b"a: " + b"[" * 100_000,
    "100,000 mappings": b"{a: " * 100_000,
    "5,000 digits": b"seed: " + b"9" * 5000 + b"\n",
    "5,000 digits of hexadecimal": b"seed: 0x" + b"f" * 5000 + b"\n",
    "a date that is none": b"seed: 2001-99-99\n",
    "an object": b"seed: !!python/object/apply:os.system ['touch ran']\n",
    "a module": b"seed: !!python/module:os\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a key of a list": b"? [a, b]\n: 1\n",
    "a directive": b"%YAML 9.9\n---\na: 1\n",
    "200,000 keys": b"".join(b"k%d: 1\n" % number for number in range(200_000)),
    "binary": bytes(range(256)) * 8,
    "escape sequences": b'"\\e[31m": 1\n',
    "merged with no mapping": b"<<: 3\na: 1\n",
}

ABSURD = (
    ("search", "steps", 10**12), ("search", "batch", 10**9), ("search", "patch", 10**9), ("search", "devices", 10**6),
    ("search", "val_period", 0), ("search", "lr_max", 1e300), ("search", "momentum", 5), ("search", "sigmas", [1e9]),
    ("search", "sigmas", [30] * 1000), ("search", "precision", "64"), ("search", "device", "tpu"), ("search", "strategy", "../x"),
    ("retrain", "steps", 2**63), ("retrain", "batch", 0), ("retrain", "patch", -64), ("retrain", "average", 1),
    ("retrain", "optimiser", "os.system"), ("evaluate", "batch", 10**9), ("evaluate", "protocols", ["whole", "x"]),
    ("evaluate", "tv_factors", []), ("pair", "side", 10**7), ("pair", "factor", 0), ("download", "attempts", 10**6),
    ("download", "timeout", 1e12), ("split", "w", 2), ("audit", "planted", 10**9), ("synthesize", "previews", 10**9),
    ("derive", "modify", "r9"), ("space", "cells", {"layers": 10**9}), ("space", "cells", {"width": 10**9}),
    ("network", "cells", {"aspp_rates": [10**9]}), ("strategy", "darts", {"patience": 10**12}), ("space", "spheres", {}),
)  # fmt: skip
"""Values of a profile."""

CHANGES = (
    "", "seed", "=3", "seed=", "seed=[", "seed={a: 1, a: 2}", "seed=" + "9" * 5000, "sed=3", "search.stepps=3", "search=3",
    "code.search=x", "params.seed=x", "split.w=1e-1", "search.steps=!!python/object/apply:os.system [touch ran]",
    "search..steps=3", "search.steps.x=3", "a" * 10_000 + "=1", "folder=\x1b[31m[", "split.w=1000000000",
)  # fmt: skip


@cache
def params() -> dict[str, Any]:
    """The shipped `params.yaml`."""
    return reading.read(ROOT / "params.yaml")


def by(text: bytes) -> Callable[[Path], Answer]:
    """`params.yaml` with this text."""

    def act(place: Path) -> Answer:
        (place / "params.yaml").write_bytes(text)
        return _settings(place, ROOT / "profiles")

    return act


def with_profile(text: bytes) -> Callable[[Path], Answer]:
    """A profile with this text, which params.yaml names."""

    def act(place: Path) -> Answer:
        shutil.copytree(ROOT / "profiles", place / "profiles")
        (place / "profiles" / "own.yaml").write_bytes(text)
        (place / "params.yaml").write_text(yaml.safe_dump(params() | {"profile": "own"}))
        return _settings(place, place / "profiles")

    return act


def _settings(place: Path, profiles: Path) -> Answer:
    words = ("--params", place / "params.yaml", "--profiles", profiles, "--out", place / "out" / "settings.yaml")
    return stage("settings", *words)


@cache
def _resolved() -> str:
    return yaml.safe_dump(resolve(params(), ROOT / "profiles"))


def changed(change: str) -> Callable[[Path], Answer]:
    """A stage with `--set`."""

    def act(place: Path) -> Answer:
        (place / "settings.yaml").write_text(_resolved())
        words = ("--settings", place / "settings.yaml", "--pictures", place, "--out", place / "out", "--set", change)
        return stage("split", *words)

    return act


def resolved(section: str, key: str | None, value: object) -> Callable[[Path], Answer]:
    """A stage whose settings file, which nobody writes by hand, is damaged."""

    def act(place: Path) -> Answer:
        values = yaml.safe_load(_resolved())
        if key is None:
            values[section] = value
        else:
            values[section][key] = value
        (place / "settings.yaml").write_text(yaml.safe_dump(values))
        words = ("--settings", place / "settings.yaml", "--pictures", place, "--out", place / "out")
        return stage("split", *words)

    return act


def cases() -> Iterator[Case]:
    """All of them."""
    kind = "params.yaml"
    for key in params():
        for what, value in WRONG.items():
            if what not in FITTING.get(key, ()):
                text = yaml.safe_dump(params() | {key: value}).encode()
                yield Case(kind=kind, name=f"{key} is {what}", act=by(text), named=key)
        without = yaml.safe_dump({name: value for name, value in params().items() if name != key}).encode()
        twice = yaml.safe_dump(params()).encode() + f"{key}: 1\n".encode()
        yield Case(kind=kind, name=f"no {key}", act=by(without), named=key)
        yield Case(kind=kind, name=f"{key} twice", act=by(twice), named=key)
    for key in ("sede", "1", "a" * 5000, "\x1b[31m"):
        text = yaml.safe_dump(params() | {key: 1}).encode()
        yield Case(kind=kind, name=f"unknown {key[:20]!r}", act=by(text), named="unknown")
    for key, value in (
        ("dataset", "../x"),
        ("space", "os"),
        ("space", "contract"),
        ("profile", "../demo"),
        ("task", "Denoise"),
    ):
        yield Case(
            kind=kind, name=f"{key} {value}", act=by(yaml.safe_dump(params() | {key: value}).encode()), named=key
        )
    for what, text in TEXTS.items():
        yield Case(kind="texts of YAML", name=f"params.yaml: {what}", act=by(text), named=r"params\.yaml")
        yield Case(kind="texts of YAML", name=f"profile: {what}", act=with_profile(text), named=r"own\.yaml")
    for section, key, value in ABSURD:
        text = yaml.safe_dump({section: {key: value}}).encode()
        yield Case(kind="profiles", name=f"{section}.{key}: {str(value)[:30]}", act=with_profile(text), named=section)
    for section in (
        "download",
        "search",
        "retrain",
        "space",
        "network",
        "strategy",
        "tasks",
        "spaces",
        "from",
        "serach",
    ):
        for what in ("nothing", "a list", "text", "a switch"):
            text = yaml.safe_dump({section: WRONG[what]}).encode()
            yield Case(
                kind="profiles",
                name=f"{section} is {what}",
                act=with_profile(text),
                named=rf"{section}|own\.yaml|profiles",
            )
    for change in CHANGES:
        yield Case(kind="--set", name=repr(change[:40]), act=changed(change), named="set|split|search|seed|params")
    for section in ("params", "split"):
        for what in ("nothing", "a list", "text"):
            act = resolved(section, None, WRONG[what])
            yield Case(kind="settings.yaml", name=f"{section} is {what}", act=act, named=section)
    for key in ("w", "exclude_leaks"):
        for what in ("nothing", "a list", "text", "below 0"):
            act = resolved("split", key, WRONG[what])
            yield Case(kind="settings.yaml", name=f"split.{key} is {what}", act=act, named=key)
