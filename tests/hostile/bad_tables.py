"""Damaged CSV and JSON files between stages, given to the stage or command that reads them."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from bad_settings import ROOT, params
from judging import Answer, Case, function, nasir, stage
from PIL import Image

from nasir.reporting import history
from nasir.settings import resolve
from stages.around import checks

PICTURES = """name,split,group,also_in,clean,degraded,layout,width,height
train/w,train,train/w,,train/w.png,,files,40,40
train/a,train,train/a,,train/a.png,,files,40,40
train/v,train,train/v,,train/v.png,,files,40,40
test/t,test,test/t,,test/t.png,,files,40,40
"""

MANIFEST = "path,split,bytes,sha256,width,height,mode\n" + "".join(
    f"{name}.png,{name.partition('/')[0]},100,{'0' * 64},40,40,L\n"
    for name in ("train/w", "train/a", "train/v", "test/t")
)

KNOWN = "dataset,name,also_in,reason\nfolder,train/w,bsd500: test/1,seen\n"

NOISE = "name,split,sigma,seed,height,width,measured_sigma,mean_noise,noisy_psnr_db,sha256\n" + "".join(
    f"{name},{name.partition('/')[0]},50.0,0,40,40,50.0,0.0,14.1,{'0' * 64}\n" for name in ("train/v", "test/t")
)

SCORES = "method,protocol,name,psnr_db,ssim_zero_padded,ssim_valid\n" + "".join(
    f"nasir,whole,test/{number},{27 + number / 10},0.8,0.8\n" for number in range(8)
)

HISTORY = "step,metric,value\n1,train_loss,0.5\n2,train_loss,0.4\n2,psnr_db,27.5\n"

MATCHES = "first,first_part,second,second_part,correlation,how,is_declared\n"

SPLIT = {"seed": 0, "exclude_leaks": True, "w": ["train/w"], "a": ["train/a"], "v": ["train/v"], "test": ["test/t"]} | {
    "leaks": []
}


def damaged(text: str, numbers: tuple[int, ...]) -> Iterator[tuple[str, bytes, str]]:
    """A table with one fault in each; (fault, bytes, how it must end), with `numbers` the columns that are numbers."""
    header, *rows = text.splitlines()
    columns = header.split(",")

    def joined(*lines: str) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode()

    def with_value(column: int, value: str) -> bytes:
        first = rows[0].split(",")
        return joined(header, ",".join([*first[:column], value, *first[column + 1 :]]), *rows[1:])

    yield "empty", b"", "refused"
    yield "no rows", joined(header), "refused"
    yield "no header", joined(*rows), "refused"
    yield "no first column", joined(*(line.partition(",")[2] for line in text.splitlines())), "refused"
    yield "a column twice", joined(*(f"{line},{line.partition(',')[0]}" for line in text.splitlines())), "refused"
    yield "a row that is short", joined(header, rows[0].rpartition(",")[0], *rows[1:]), "refused"
    yield "a row that is long", joined(header, f"{rows[0]},1", *rows[1:]), "refused"
    yield "a last row that is cut off", text.rstrip("\n")[: -len(rows[-1]) // 2].encode(), "refused"
    yield "UTF-16", text.encode("utf-16"), "refused"
    yield "letters of latin-1", text.encode() + "ü\n".encode("latin-1"), "refused"
    yield "semicolons", text.replace(",", ";").encode(), "refused"
    yield "a quote without end", joined(header, f'"{rows[0]}', *rows[1:]), "refused"
    yield "a value of 200 KB", joined(header, "x" * 200_000 + rows[0][rows[0].index(",") :], *rows[1:]), "refused"
    yield "binary", bytes(range(256)) * 9, "refused"
    yield "JSON", b'{"name": 1}', "refused"
    yield "lines of Windows", text.replace("\n", "\r\n").encode(), "either"
    yield "a mark of byte order", text.encode("utf-8-sig"), "either"
    for column in numbers:
        name = columns[column]
        for value in ("many", "", "9" * 5000, "0x10", "nan", "1e999"):
            ends = "either" if value in ("nan", "1e999") else "refused"
            yield f"{name} is {value[:10]!r}", with_value(column, value), ends


def faults(
    text: str, numbers: tuple[int, ...], further: Mapping[str, bytes] | None = None
) -> Iterator[tuple[str, bytes, str]]:
    """`damaged`, and what only this table can have."""
    yield from damaged(text, numbers)
    yield from ((name, data, "refused") for name, data in (further or {}).items())


@cache
def _settings(dataset: str) -> str:
    return yaml.safe_dump(resolve(params() | {"dataset": dataset}, ROOT / "profiles"))


def lay_out(place: Path, file: str, data: bytes, dataset: str = "folder") -> None:
    """All files between stages as they should be, but for one."""
    whole = {
        "pictures/pictures.csv": PICTURES.encode(),
        "source/manifest.csv": MANIFEST.encode(),
        "known.csv": KNOWN.encode(),
        "synthesize/manifest.csv": NOISE.encode(),
        "split/split.json": json.dumps(SPLIT).encode(),
    }
    for name, content in (whole | {file: data}).items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
    for name in ("train/w", "train/a", "train/v", "test/t"):
        for folder in ("pictures", "source"):
            path = place / folder / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((40, 40), 99, np.uint8)).save(path)
    (place / "settings.yaml").write_text(_settings(dataset))


def by_stage(name: str, file: str, *options: str) -> Callable[[bytes], Callable[[Path], Answer]]:
    """A stage that reads the file; `options` are KEY=FOLDER."""

    def of(data: bytes) -> Callable[[Path], Answer]:
        def act(place: Path) -> Answer:
            lay_out(place, file, data)
            paths = [
                word
                for option in options
                for word in (f"--{option}", place / {"known": "known.csv"}.get(option, option))
            ]
            return stage(name, "--settings", place / "settings.yaml", *paths, "--out", place / "out")

        return act

    return of


def by_check(work: Callable[[Path], object], file: str) -> Callable[[bytes], Callable[[Path], Answer]]:
    """A check of what a stage wrote."""

    def of(data: bytes) -> Callable[[Path], Answer]:
        def act(place: Path) -> Answer:
            lay_out(place, file, data)
            return function(lambda: work(place))

        return act

    return of


def compare(data: bytes) -> Callable[[Path], Answer]:
    """`nasir compare` of a good file of scores and this one."""

    def act(place: Path) -> Answer:
        (place / "good.csv").write_text(SCORES)
        (place / "bad.csv").write_bytes(data)
        return nasir("compare", place / "good.csv", place / "bad.csv")

    return act


def read_history(data: bytes) -> Callable[[Path], Answer]:
    """The curves of a report."""

    def act(place: Path) -> Answer:
        (place / "history.csv").write_bytes(data)
        return function(lambda: history.read(place / "history.csv"))

    return act


def splits() -> Iterator[tuple[str, bytes, str]]:
    """`split.json` with what it cannot have."""
    for part in ("w", "a", "v", "test", "leaks"):
        for what, value in (
            ("nothing", None), ("text", "train/w"), ("a mapping", {"train/w": 1}), ("a list of numbers", [1, 2]),
            ("a name twice", ["train/w", "train/w"]), ("an unknown name", ["train/x"]), ("a path above", ["../../x"]),
            ("lists", [["train/w"]]),
        ):  # fmt: skip
            ends = "either" if part == "leaks" and what in ("an unknown name", "a path above") else "refused"
            yield f"{part} is {what}", json.dumps(SPLIT | {part: value}).encode(), ends
        yield (
            f"no {part}",
            json.dumps({name: value for name, value in SPLIT.items() if name != part}).encode(),
            "refused",
        )
    for what, data in {
        "empty": b"", "half": json.dumps(SPLIT).encode()[:60], "a list": b"[]", "a number": b"3", "NaN": b'{"w": NaN}',
        "100,000 levels": b"[" * 100_000, "a key twice": b'{"w": [], "w": []}', "latin-1": b'{"w": ["\xfc"]}',
    }.items():  # fmt: skip
        yield what, data, "refused"


def _twice(text: str) -> bytes:
    return (text + text.splitlines()[1] + "\n").encode()


def _changed(text: str, old: str, new: str) -> bytes:
    assert old in text
    return text.replace(old, new, 1).encode()


EVALUATE = ("pictures", "synthesize", "split", "model")


def cases() -> Iterator[Case]:
    """All of them."""
    kind = "CSV between stages"
    pictures = {
        "a row twice": _twice(PICTURES),
        "another split": _changed(PICTURES, ",train,", ",tarin,"),
        "another layout": _changed(PICTURES, ",files,", ",piles,"),
        "a further column": b"\n".join(line + b",1" for line in PICTURES.encode().splitlines()),
    }
    manifest = {
        "a row twice": _twice(MANIFEST),
        "a path above": _changed(MANIFEST, "train/w.png", "../../w.png"),
        "a path from the root": _changed(MANIFEST, "train/w.png", "/etc/passwd"),
        "a drive": _changed(MANIFEST, "train/w.png", "C:\\w.png"),
        "another split": _changed(MANIFEST, ",train,", ",tarin,"),
        "no hash": _changed(MANIFEST, "0" * 64, "0" * 63),
        "0 bytes": _changed(MANIFEST, ",100,", ",0,"),
    }
    noise = {"another sigma": _changed(NOISE, ",50.0,0,", ",30.0,0,"), "another hash": NOISE.encode()}
    for name, door, found, named in (
        (
            "pictures.csv",
            by_stage("split", "pictures/pictures.csv", "pictures"),
            faults(PICTURES, (7, 8), pictures),
            "pictures.csv|train",
        ),
        (
            "manifest.csv",
            by_stage("pair", "source/manifest.csv", "source", "known"),
            faults(MANIFEST, (2, 4), manifest),
            "manifest.csv|entry|train",
        ),
        ("known.csv", by_stage("pair", "known.csv", "source", "known"), faults(KNOWN, ()), "known.csv"),
        (
            "noise of synthesize",
            by_stage("evaluate", "synthesize/manifest.csv", *EVALUATE),
            faults(NOISE, (2, 3), noise),
            "manifest.csv",
        ),
        ("scores.csv", compare, faults(SCORES, (3,), {"a row twice": _twice(SCORES)}), "bad.csv"),
        ("history.csv", read_history, faults(HISTORY, (0, 2)), "history.csv"),
    ):
        for what, data, ends in found:
            if (name, what) == ("scores.csv", "no first column"):
                ends = "done"  # that of methods, which not every file of scores has
            yield Case(kind=kind, name=f"{name}: {what}", act=door(data), named=named, ends=ends)
    for name, door, text, numbers in (
        (
            "check of download",
            by_check(
                lambda place: checks.check_download(place / "source", place / "check.json"), "source/manifest.csv"
            ),
            MANIFEST,
            (2,),
        ),
        (
            "check of pair",
            by_check(
                lambda place: checks.check_pair(place / "pictures", "denoise", place / "check.json"),
                "pictures/pictures.csv",
            ),
            PICTURES,
            (7,),
        ),
    ):
        for what, data, ends in damaged(text, numbers):
            if ends == "refused":  # what is more than the table itself, Great Expectations looks at, for a second each
                yield Case(kind=kind, name=f"{name}: {what}", act=door(data), named=r"\.csv")
    for what, data, ends in splits():
        act = by_stage("audit", "split/split.json", "pictures", "split")(data)
        yield Case(kind="split lists", name=f"audit: {what}", act=act, named="split.json|pictures.csv", ends=ends)
        if what.partition(" ")[0] in ("test", "v") or what in ("empty", "half", "a list"):
            act = by_stage("evaluate", "split/split.json", *EVALUATE)(data)
            yield Case(
                kind="split lists", name=f"evaluate: {what}", act=act, named="split.json|pictures.csv|manifest.csv"
            )
