"""A stage on the command line: its `run` says what it takes, and everything around it is done here.

A stage is a module with a function `run`. Of its parameters, those with the name of a key of `params.yaml` (`sigma` is the
noise of the task), of a property of `nasir.settings.Settings`, or with a config class as their type come from the settings;
`cell` is that part of the settings of a cell of the tables, and `settings_file` their file; `log` and `code` (the digest of
the code that its checkpoint depends on) come from here; every other one is an option of the command line. A stage may say more:

    ARTIFACTS    what of its folder `out` MLflow keeps
    PICTURES     folder in `out` of PNG files that MLflow shows beside those of other runs, each by the name of its file
    PROCESSES    true where several processes may run it together
    count        takes some of the parameters of `run`; gives the number of the last news
"""

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from nasir import stopping
from nasir.config.params import Params
from nasir.config.reading import flat
from nasir.config.retrain import RetrainConfig
from nasir.config.training import REWOUND
from nasir.files import Log, drop_leftovers, require_writable, require_writable_folder
from nasir.networks import catalogue
from nasir.settings import SECTIONS as CLASSES
from nasir.settings import Settings, read
from stages.around import binding, checking, entries, pausing

SECTIONS = {cls: name for name, cls in CLASSES.items()}
"""The section that a config class belongs to."""

WAIT = 0.5  # seconds that a finished stage waits for its events to be sent; then they are sent behind its back

HELP = {
    "settings": "What the settings stage wrote.",
    "receipt": "Where to write seconds, memory and versions.",
    "check": "Check what was written, and where to write the result (JSON); a failure names the rows.",
    "changes": "In place of what the settings say, or KEY=VALUE of params.yaml; repeatable.",
    "out": "Folder to write into.",
    "pictures": "What pair wrote: pictures.csv and the files it names.",
    "split": "Folder of split.json.",
    "model": "The model folder that retrain wrote.",
    "checkpoint": "Written as the work goes, carried on from, removed at its end.",
    "shipped": "The folder of images that the repository ships.",
    "source": "What download wrote: a data set and its manifest.csv.",
    "known": "CSV file of images that another data set's test part has too.",
    "search": "What search wrote.",
    "synthesize": "What synthesize wrote.",
    "genotype": "genotype.json of the derived network.",
    "start": "A trained network to train further: retrain's model folder, or the name of a shipped one.",
    "network": "A baseline instead, such as dncnn or rescan-lstm (nasir/networks).",
    "download": "What download wrote.",
    "runs": "The folder of all stages' folders.",
    "published": "The published tables.",
    "studies": "Folder with the pages of studies of search strategies.",
    "extras": "What extras wrote, for methods of an optional package.",
    "cost": "The receipt of that search.",
    "study": "The folder of a study's cells, claims and searches.",
    "rows": "What fills each row.",
    "plan": "tables/params.yaml.",
}


def command(step: str) -> Callable[..., None]:
    """The function of a stage's command, with one parameter for each of its options."""
    module = import_module(entries.module(step))
    options = [p for p in binding.parameters(module) if binding.is_option(p)]
    kinds: dict[str, Any] = {p.name: p.annotation for p in options}
    given = {p.name: p.default for p in options if p.default is not inspect.Parameter.empty}
    kinds |= {"settings": Path, "receipt": Path | None, "changes": list[str] | None}
    given |= {"settings": Path("reports/settings.yaml"), "receipt": None, "changes": None}
    if step in entries.CHECKED:
        kinds["check"], given["check"] = Path | None, None

    def call(settings: Path, receipt: Path | None, changes: list[str] | None, **options: Any) -> None:
        check = options.pop("check", None)
        pausing.begin(step)
        _require_places([receipt, check, options.get("checkpoint")], options.get("out"))
        for path in (receipt, check, options.get("checkpoint")):
            if path is not None:
                drop_leftovers(path.parent)
        if "out" in options:
            drop_leftovers(options["out"], is_deep=True)
        chosen = read(settings, changes or [])
        run(step, module, chosen, options, receipt)
        if check is not None:
            checking.check(step, chosen.params, options, check)

    typed = {name: Annotated[kind, typer.Option(f"--{name}", help=HELP.get(name))] for name, kind in kinds.items()}
    replaced = typer.Option("--set", metavar="SECTION.KEY=VALUE", help=HELP["changes"])
    typed["changes"] = Annotated[list[str] | None, replaced]
    call.__annotations__ = typed | {"return": None}
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=given.get(name, inspect.Parameter.empty),
                annotation=kind,
            )
            for name, kind in typed.items()
        ]
    )
    call.__doc__ = (module.__doc__ or "").partition(":")[2].strip()
    return call


def _require_places(files: list[Path | None], out: Path | None) -> None:
    """Refuse places that cannot be written, before the work whose result they are to hold; `out` is a folder or a JSON file."""
    for path in files:
        if path is not None:
            require_writable(path)
    if out is not None:
        (require_writable if out.suffix == ".json" else require_writable_folder)(out)


def run(step: str, module: ModuleType, settings: Settings, options: Mapping[str, Any], receipt: Path | None) -> None:
    """Run a stage with what is around it.

    Args:
        step: its name.
        module: of its `run`.
        settings: of the run.
        options: what the command line gave.
        receipt: JSON file for its receipt; None for none.
    """
    values = bind(step, module, settings, options)
    told = {n: v for n, v in values.items() if dataclasses.is_dataclass(v) and not isinstance(v, Params)}
    sections = {SECTIONS.get(type(value), name.removeprefix("of_")): value for name, value in told.items()}
    facts = {key: value for name, section in sections.items() for key, value in flat(section, f"{name}.").items()}
    facts |= {f"cell.{key}": value for key, value in settings.values.get("cell", {}).items()}
    artifacts = [options["out"] / name for name in getattr(module, "ARTIFACTS", ())]
    pictures = options["out"] / module.PICTURES if hasattr(module, "PICTURES") else None
    whole = flat(settings.params) | ({} if "cell" in settings.values else _sections(settings))
    total = None
    if hasattr(module, "count"):
        total = module.count(**{name: values[name] for name in inspect.signature(module.count).parameters})
    checkpoint = options.get("checkpoint")
    is_first, precision = _is_first(module), _precision(module, told)
    try:
        with around(
            step, settings.params, facts, whole, receipt, artifacts, pictures, total, checkpoint, is_first, precision
        ) as log:
            module.run(**values | {"log": log})
    except stopping.Stopped:
        pausing.stopped(checkpoint)


def bind(step: str, module: ModuleType, settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each parameter of a stage's `run` but the log; see `stages.around.binding`."""
    values = binding.bind(module, settings, options)
    if options.get("network") is not None:
        at_its_rate = catalogue.find(options["network"]).at_its_rate
        values |= {name: at_its_rate(value) for name, value in values.items() if isinstance(value, RetrainConfig)}
    if "code" in inspect.signature(module.run).parameters:
        values["code"] = entries.of_checkpoint(step, settings, options.get("network"), options.get("start"))
    return values


def _sections(settings: Settings) -> dict[str, object]:
    """All settings but params.yaml's, as `section.key`: of a pipeline, whichever of its stages run and whichever DVC has kept."""
    return {
        f"{section}.{key}": value
        for section, values in settings.values.items()
        if section != "params"
        for key, value in values.items()
    }


def _is_first(module: ModuleType) -> bool:
    """Whether this process is the only one, or the first, of those that run a stage together."""
    if not getattr(module, "PROCESSES", False):
        return True
    from nasir.training import parallel

    return parallel.is_first()


def _precision(module: ModuleType, told: Mapping[str, Any]) -> str | None:
    """The numbers that a stage trains in (`nasir.training.precision`); None of one that trains nothing."""
    if not getattr(module, "PROCESSES", False):
        return None
    from nasir.training import device, precision

    config = next(section for section in told.values() if hasattr(section, "precision"))
    return precision.choose(config.precision, device.choose(config.device))


@contextmanager
def around(
    step: str,
    params: Params,
    facts: Mapping[str, object],
    whole: Mapping[str, object],
    receipt: Path | None,
    artifacts: list[Path],
    pictures: Path | None,
    total: int | None = None,
    checkpoint: Path | None = None,
    is_first: bool = True,
    precision: str | None = None,
) -> Iterator[Log]:
    """A progress bar, a journal and a receipt around a stage; gives the function that takes its news.

    `facts` are what the stage takes of the settings, and `whole` what its pipeline is made with.

    Of several processes that run one stage, those that are not the first have none of these, and end with what started
    them, which is the first process, or torchrun.
    """
    from stages.around import journal, modifying, orphans, tracking
    from stages.around.progress import progress
    from stages.around.receipts import Receipt, commit, device

    if not is_first:
        orphans.watch(os.getppid())
        yield lambda step, news: None
        return
    orphans.watch()
    cost = Receipt(step, params, facts, checkpoint, precision)
    record = journal.Journal(journal.new_path(tracking.folder(), step))
    record.start(step, flat(params) | dict(facts), journal.find_pipeline(whole))
    record.tags({"mlflow.source.git.commit": commit()})
    follower = tracking.start_follower(record.path)
    status = "KILLED"
    try:
        with progress(step, total) as show:

            def log(step: int, news: dict[str, float]) -> None:
                record.metrics(step, news)
                show(step, news)
                if REWOUND in news:
                    cost.rewound.append({"from": int(news[REWOUND]), "to": step})

            yield log
        made = (path if modifying.find(path.parent) is None else path.parent / modifying.FILE for path in artifacts)
        for path in dict.fromkeys(made):
            record.artifact(path)
        for path in sorted(pictures.glob("*.png")) if pictures is not None else ():
            record.picture(path, path.stem)
        record.metrics(0, cost.spent())
        record.tags({"nasir.device": device()})
        if receipt is not None:
            cost.write(receipt)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        record.finish(status)
        tracking.wait_for(follower, seconds=WAIT)
