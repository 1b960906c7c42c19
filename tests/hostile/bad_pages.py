"""Damaged files of the pages of the papers' tables and of shipped networks, given to what reads them."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import small_study
from bad_networks import TEXTS
from bad_reports import of_csv, of_json
from bad_settings import ROOT, params
from bad_tables import HISTORY, PICTURES, damaged, lay_out
from judging import Answer, Case, function

from nasir.files import sha256_file, write_json
from nasir.inference import zoo
from nasir.reporting.paper import page
from nasir.settings import Settings, resolve
from stages.models import printed, scores, shelve
from stages.tables import data

KIND = "pages of the papers"
CARDS = "shipped networks"

TESTED = [line.partition(",")[0] for line in PICTURES.splitlines() if line.startswith("test/")]

SCORES = "method,protocol,name,psnr_db,ssim_zero_padded,ssim_valid\n" + "".join(
    f"nasir,whole,{name},{27 + number},0.8,0.8\n" for number, name in enumerate(TESTED)
)

CLEARER = "clearer_search_time,hours of the search,8,h,section 4,,\n"
"""A claim beside those of the small study, which reads a receipt."""

SEARCH = {"seconds": 60.5, "device": "CPU", "is_resumed": False}
"""Of that receipt."""

SPLIT = {"w": ["train/w"], "a": ["train/a"], "v": ["train/v"], "test": TESTED}


def texts(whole: Mapping[str, object]) -> Iterator[tuple[str, bytes]]:
    """A JSON file that is another's, or lacks something, or has it in another kind."""
    yield from ((what, text.encode()) for what, text in of_json(json.dumps(whole)))
    for key, value in whole.items():
        for kind, other in (("a text", "x"), ("10^400", 10**400)):
            if type(value) is not type(other):
                yield f"{key} is {kind}", json.dumps({**whole, key: other}).encode()


def tables(text: str, numbers: tuple[int, ...]) -> Iterator[tuple[str, bytes, str]]:
    """`damaged`, and of the columns that are numbers a text, and none."""
    yield from damaged(text, numbers)
    names = text.splitlines()[0].split(",")
    for what, other in of_csv(text, tuple(names[number] for number in numbers)):
        yield what, other.encode(), "refused"


def studied(whole: Path, file: str, content: bytes) -> Callable[[Path], Answer]:
    """Read and render a study one of whose files is this."""

    def work(root: Path) -> None:
        page.render(small_study.read(root))

    def act(place: Path) -> Answer:
        shutil.copytree(whole, place / "root")
        (place / "root" / file).write_bytes(content)
        return function(lambda: work(place / "root"))

    return act


def studies(folder: Path) -> Iterator[Case]:
    """Of the small study; a whole one is written into the folder."""
    whole = folder / "study"
    small_study.write_study(whole)
    (whole / "claims.csv").write_text(small_study.CLAIMS + CLEARER)
    write_json(whole / "study/receipts/denoise-profile-clearer.json", SEARCH)
    cell = Path("study/trained/denoise/irnas-50-seed0")
    for file, numbers in (("rows.csv", ()), ("claims.csv", ()), (f"{cell}/scores.csv", (2,))):
        for what, content, ends in tables((whole / file).read_text(), numbers):
            act = studied(whole, file, content)
            if (file, what) == ("rows.csv", "a last row that is cut off"):
                ends = "done"  # in its reason
            yield Case(kind=KIND, name=f"{file}: {what}", act=act, named=Path(file).name, ends=ends)
    further = {
        "published.csv": {
            f"{of} is {text[:9]}": small_study.PUBLISHED.replace(old, text)
            for of, old in (("psnr_db", "25.06"), ("ssim", "0.6831"), ("sigma", "50"), ("time_s", "83.25"))
            for text in ("nan", "1e999", "9" * 5000)
        },
        "rows.csv": {
            "a row twice": small_study.ROWS + "1,BM3D,bm3d,\n",
            "an unknown table": small_study.ROWS.replace("1,BM3D", "99,BM3D"),
            "an unknown method": small_study.ROWS.replace("bm3d", "bm4d"),
            "a reason that is none": small_study.ROWS.replace("printed value only: not", "not"),
        },
        "claims.csv": {
            "a claim twice": small_study.CLAIMS + small_study.CLAIMS.splitlines()[1] + "\n",
            "a text for the printed value": small_study.CLAIMS.replace(",6,h", ",six,h"),
        },
        f"{cell}/scores.csv": {
            "nan": (whole / cell / "scores.csv").read_text().replace("25.0,", "nan,", 1),
            "inf": (whole / cell / "scores.csv").read_text().replace("25.0,", "inf,", 1),
        },
    }
    for file, found in further.items():
        for what, text in found.items():
            act = studied(whole, file, text.encode())
            yield Case(kind=KIND, name=f"{file}: {what}", act=act, named=Path(file).name)
    optional = {"parameters", "search", "memory", "inference"}  # of claims: what is not there was not measured
    for file in (f"{cell}/cell.json", "study/claims/denoise.json", "study/receipts/denoise-profile-clearer.json"):
        is_cell, is_claim = file.endswith("cell.json"), "claims" in file
        for what, content in [*texts(json.loads((whole / file).read_text())), *(TEXTS.items() if is_cell else ())]:
            unread = {"parameters", "seconds_per_image"} if is_cell else set[str]()
            is_free = what.removeprefix("no ") in optional | unread or what.partition(" ")[0] in unread
            is_free |= (what == "{}" and is_claim) or (what == "reason is a text" and is_cell)
            act = studied(whole, file, content)
            ends = "either" if is_free else "refused"
            yield Case(kind=KIND, name=f"{Path(file).name}: {what}", act=act, named=Path(file).name, ends=ends)


def settings() -> Settings:
    """Of the run that is shelved."""
    chosen = params() | {"dataset": "bsd500", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50}
    return Settings(resolve(chosen | {"space": "irnas"}, ROOT / "profiles"), "settings.yaml")


def write_run(run: Path, network: Path, of: Settings) -> None:
    """A finished run of a small network, as far as `shelve` reads it."""
    shutil.copytree(network, run / "retrain/model")
    (run / "evaluate").mkdir()
    (run / "evaluate/scores.csv").write_text(SCORES)
    (run / "retrain/history.csv").write_text(HISTORY)
    weights = sha256_file(run / "retrain/model/best.safetensors")
    write_json(run / "evaluate/metrics.json", {"parameters": 12, "flops_per_pixel": 9.5, "weights_sha256": weights})
    write_json(run / "split/split.json", SPLIT)
    facts = {"profile": of.params.profile, "seed": of.params.seed, "settings": {}, "versions": {"torch": "2"}}
    write_json(run / "receipts/retrain.json", facts | SEARCH)


def shelved(whole: Path, of: Settings, file: str, content: bytes) -> Callable[[Path], Answer]:
    """Shelve a run one of whose files is this."""

    def act(place: Path) -> Answer:
        shutil.copytree(whole, place / "runs")
        (place / "runs" / file).write_bytes(content)
        return function(lambda: shelve.run(runs=place / "runs", settings=of, name="mine", out=place / "out"))

    return act


def on_the_shelf(shelf: Path, file: str, content: bytes, work: Callable[[Path], object]) -> Callable[[Path], Answer]:
    """Do something where a shipped network has this file; its card vouches for it, where it is not the card itself."""

    def act(place: Path) -> Answer:
        shutil.copytree(shelf, place / "models")
        folder = place / "models/mine"
        (folder / file).write_bytes(content)
        if file != zoo.CARD:
            card = json.loads((folder / zoo.CARD).read_text())
            card["sha256"][file] = sha256_file(folder / file)
            write_json(folder / zoo.CARD, card)
        before, zoo.SHELF = zoo.SHELF, place / "models"
        try:
            return function(lambda: work(place))
        finally:
            zoo.SHELF = before

    return act


def score(place: Path) -> None:
    """Score the shipped network again on pictures that are there."""
    of = settings()
    (place / "work/made").mkdir(parents=True)
    lay_out(place / "work/made", "split/split.json", json.dumps(SPLIT).encode())
    made = place / f"work/{of.params.profile}-denoise-bsd500"
    (place / "work/made").rename(made)
    write_json(made / data.MADE_WITH, data.facts(of))
    scores.run(names=["mine"], profiles=ROOT / "profiles", shipped=place, known=place / "k.csv", work=place / "work")


def print_tables(place: Path) -> None:
    """Write the papers' tables."""
    tables = ROOT / "tables"
    printed.run(
        published=tables / "published.csv", rows=tables / "rows.csv", plan=tables / "params.yaml",
        others=ROOT / "benchmarks/tables-small/scores", out=place / "out",
    )  # fmt: skip


def networks(folder: Path, network: Path) -> Iterator[Case]:
    """Of a run that is shelved, and of what lies on the shelf then."""
    of, run, shelf = settings(), folder / "shelved", folder / "shelf"
    write_run(run, network, of)
    shelve.run(runs=run, settings=of, name="mine", out=shelf)
    for file in ("evaluate/metrics.json", "split/split.json", "receipts/retrain.json"):
        value = json.loads((run / file).read_text())
        for what, content in texts(value):
            is_free = "receipts" in file and (what == "{}" or what.startswith("no ") or "is_resumed" in what)
            is_free |= "receipts" in file and what.partition(" ")[0] in ("seconds", "device")
            act, ends = shelved(run, of, file, content), "either" if is_free else "refused"
            yield Case(kind=CARDS, name=f"shelve, {file}: {what}", act=act, named=Path(file).name, ends=ends)
    for file, text, numbers in (("evaluate/scores.csv", SCORES, (3,)), ("retrain/history.csv", HISTORY, (0, 2))):
        for what, content, ends in tables(text, numbers):
            ends = "either" if what == "a row twice" and "history" in file else ends
            act = shelved(run, of, file, content)
            yield Case(kind=CARDS, name=f"shelve, {file}: {what}", act=act, named=Path(file).name, ends=ends)
    card = json.loads((shelf / "mine" / zoo.CARD).read_text())
    for what, content in (*texts(card), *TEXTS.items()):
        ends = "either" if what.partition(" ")[0] == "task" else "refused"
        act = on_the_shelf(shelf, zoo.CARD, content, score)
        yield Case(kind=CARDS, name=f"scores, card.json: {what}", act=act, named=rf"{zoo.CARD}|mine", ends=ends)
    for key, inner in (("data", "dataset"), ("made_with", "retrain"), ("runs", "retrain"), ("scores", "whole")):
        for value in (None, "x", [1], {}, {inner: ["x"]}):
            content = json.dumps(card | {key: value}).encode()
            act = on_the_shelf(shelf, zoo.CARD, content, print_tables)
            yield Case(kind=CARDS, name=f"printed, card.json: {key} is {value!r}", act=act, named=zoo.CARD)
    for what, content, ends in tables((shelf / "mine/scores.csv").read_text(), (2,)):
        act = on_the_shelf(shelf, "scores.csv", content, score)
        yield Case(kind=CARDS, name=f"scores, scores.csv: {what}", act=act, named="scores.csv", ends=ends)
    curve = (shelf / "mine" / shelve.HISTORY).read_text()
    for what, text in (
        ("empty", ""), ("no header", curve.partition("\n")[2]), ("a text for a step", curve.replace("2,", "two,")),
        ("nan", curve.replace("27.5", "nan")), ("no PSNR", curve.replace("psnr_db", "ssim")),
    ):  # fmt: skip
        act = on_the_shelf(shelf, shelve.HISTORY, text.encode(), print_tables)
        yield Case(kind=CARDS, name=f"printed, {shelve.HISTORY}: {what}", act=act, named=shelve.HISTORY)


def cases(folder: Path, network: Path) -> Iterator[Case]:
    """All of them."""
    yield from studies(folder)
    yield from networks(folder, network)
