"""Damaged files of a finished run and of a study, given to what reads them to write a page."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bad_settings import ROOT
from judging import Answer, Case, function

sys.path.append(str(ROOT / "tests" / "stages"))

from finished_run import PARAMS, write_run

from nasir.config.derive import DeriveConfig
from nasir.reporting.run import contents
from nasir.reporting.run.record import Folders
from nasir.spaces import contract as spaces
from stages import derive
from stages.aside import summary
from stages.models import printed
from stages.searches import plan as plans

JSON = (
    *(f"{folder}/audit.json" for folder in ("receipts", "checks", "audit")), "split/split.json", "search/search.json",
    "evaluate/metrics.json", "evaluate/timing.json", "evaluate/pictures/pictures.json",
)  # fmt: skip

CSV = {
    "synthesize/manifest.csv": ("measured_sigma", "noisy_psnr_db"),
    "evaluate/scores.csv": ("method", "protocol", "name"),
    "published.csv": ("sigma", "psnr_db", "ssim"),
    "search/history.csv": (),
    "retrain/history.csv": (),
}
"""Tables, with columns in which a text is no value."""

UNUSED = {"profile", "seed", "sigma"}
"""Keys and columns that the report reads elsewhere; a split's seed, too."""


def read_report(run: Path) -> None:
    """What the report looks at before it draws."""
    folders = Folders(download=run / "download", pictures=run / "pictures", runs=run, published=run / "published.csv")
    contents.check(folders, spaces.find(PARAMS.space), PARAMS.task)


def of_json(text: str) -> Iterator[tuple[str, str]]:
    """A value that is another's, and where it is a mapping each of its keys missing, a text in a list, or null."""
    yield from ((other, other) for other in ("{}", "[]", "null", "3", '["x"]', text[: len(text) // 2]))
    value = json.loads(text)
    for key in value if isinstance(value, dict) else ():
        if key not in UNUSED:
            yield f"no {key}", json.dumps({name: of for name, of in value.items() if name != key})
            yield f"{key} is a list of lists", json.dumps(value | {key: [["x", 1]]})


def of_csv(text: str, columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A row twice, and a text in a column, and a column that is missing."""
    header, first, *rows = text.splitlines()
    names = header.split(",")
    yield "a row twice", "\n".join([header, first, first, *rows])
    for column in columns:
        place = names.index(column)
        words = first.split(",")
        yield f"{column} is x", "\n".join([header, ",".join([*words[:place], "x", *words[place + 1 :]]), *rows])
        short = (line.split(",") for line in (header, first, *rows))
        yield f"no {column}", "\n".join(",".join(of[:place] + of[place + 1 :]) for of in short)


def damaged(file: str, text: str, work: Callable[[Path], object], whole: Path) -> Callable[[Path], Answer]:
    """Give a finished run with one damaged file to a reader."""

    def act(place: Path) -> Answer:
        shutil.copytree(whole, place / "run")
        (place / "run" / file).write_text(text)
        return function(lambda: work(place / "run"))

    return act


def cases(folder: Path) -> Iterator[Case]:
    """All of them; the run that is damaged is written into the folder."""
    whole, kind = folder / "run", "files of a report"
    write_run(whole)
    (whole / "search/search.json").write_text(
        json.dumps(json.loads((whole / "search/search.json").read_text()) | {"collapse": ""})
    )
    for file in JSON:
        for what, text in of_json((whole / file).read_text()):
            optional = (
                file == "search/search.json" and what not in ("{}", "[]", "null", "3") and "best_step" not in what
            )
            act = damaged(file, text, read_report, whole)
            ends = "either" if optional else "refused"
            yield Case(kind=kind, name=f"{file}: {what[:40]}", act=act, named=Path(file).name, ends=ends)
    for file, columns in CSV.items():
        for what, text in of_csv((whole / file).read_text(), columns):
            act = damaged(file, text + "\n", read_report, whole)
            yield Case(kind=kind, name=f"{file}: {what}", act=act, named=Path(file).name)
    for what in (
        "{}",
        "[]",
        "null",
        '{"images": 2, "methods": {}}',
        '{"images": 2, "methods": {"nasir": {"whole": {"psnr_db": "x"}}}}',
    ):
        act = damaged("evaluate/metrics.json", what, lambda run: summary.write(run, Path("report.md")), whole)
        yield Case(kind=kind, name=f"summary: {what}", act=act, named="metrics.json")
    for what in ("{}", "[]", "null", '{"width": "x"}', '{"width": null}'):
        act = damaged("search/search.json", what, _derive, whole)
        yield Case(kind=kind, name=f"derive: {what}", act=act, named="search.json")
    yield from _printed(whole, kind)
    yield from _studies(kind)


def _derive(run: Path) -> None:
    shutil.copyfile(run / "derive/genotype.json", run / "search/genotype.json")
    derive.run(
        search=run / "search", out=run / "derived", space=spaces.find(PARAMS.space),
        config=DeriveConfig(modify="none", modify_seed=0), log=lambda step, values: None,
    )  # fmt: skip


def _printed(whole: Path, kind: str) -> Iterator[Case]:
    values = (ROOT / "tables" / "published.csv").read_text()

    def work(run: Path, others: Path = ROOT / "benchmarks/tables-small/scores") -> None:
        tables = ROOT / "tables"
        printed.run(
            published=run / "published.csv", rows=tables / "rows.csv", plan=tables / "params.yaml", others=others,
            out=run.parent / "out",
        )  # fmt: skip

    for what, text in (
        ("an unknown data set", values.replace("bsd500", "bsd5000", 1)),
        ("a row twice", values + values.splitlines()[1] + "\n"),
        ("a text for PSNR", values.replace("27.31", "x", 1)),
    ):
        act = damaged("published.csv", text, work, whole)
        yield Case(kind=kind, name=f"printed: {what}", act=act, named="published.csv")
    act = damaged("published.csv", values, lambda run: work(run, run / "nowhere"), whole)
    yield Case(kind=kind, name="printed: no others", act=act, named="nowhere")


def _studies(kind: str) -> Iterator[Case]:
    plan = plans.read(ROOT / "study" / "demo.yaml", ROOT / "profiles")
    name = next(plan.jobs()).name
    good = json.loads((ROOT / "study" / "demo" / f"{name}.json").read_text())
    for what, text in (
        *((other, other) for other in ("{}", "[]", "null")),
        *(
            (f"no {key}", json.dumps({k: v for k, v in good.items() if k != key}))
            for key in plans.Trained.__required_keys__
        ),
        ("texts for scores", json.dumps(good | {"psnr_db": {"a": "x"}})),
        ("no scores", json.dumps(good | {"psnr_db": {}})),
    ):

        def act(place: Path, text: str = text) -> Answer:
            (place / f"{name}.json").write_text(text)
            return function(lambda: plans.held(place, plan))

        yield Case(kind=kind, name=f"study: {what}", act=act, named=f"{name}.json")
