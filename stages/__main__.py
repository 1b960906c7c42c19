"""`python -m stages NAME ...`: the command line that dvc.yaml calls.

Every command reads `params.yaml` and its section of the profile, runs one stage and, around it, shows progress, keeps a
journal for MLflow (runs/tracking) and writes a receipt. Stages are imported inside their commands, so that --help answers
at once and a stage needs no more than it uses.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from nasir import config
from nasir import memory as process
from nasir import task as tasks
from nasir.config import Params
from nasir.files import Log

app = typer.Typer(
    help="The stages of the pipeline, in order: download, pair, synthesize, split, audit, search, derive, retrain, evaluate, "
    "report.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ParamsFile = Annotated[Path, typer.Option("--params", help="What a person changes.")]
ProfileFile = Annotated[Path, typer.Option("--profile", help="How much is done: profiles/NAME.yaml.")]
ReceiptFile = Annotated[Path | None, typer.Option("--receipt", help="Where to write seconds, memory and versions.")]
Images = Annotated[Path, typer.Option(help="What pair wrote: pictures.csv and the files it names.")]
SplitFolder = Annotated[Path, typer.Option(help="Folder of split.json.")]
ModelFolder = Annotated[Path, typer.Option(help="The model folder that retrain wrote.")]
Out = Annotated[Path, typer.Option(help="Folder to write into.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE or SECTION.KEY=VALUE in place of what params or profile say; repeatable."),
]
T = TypeVar("T")
PARAMS = Path("params.yaml")
KNOWN = Path("nasir/data/datasets/known_duplicates.csv")
ELSEWHERE = Path("nasir/data/datasets/known_elsewhere.csv")
WAIT = 0.5  # seconds that a finished stage waits for its events to be sent; then they are sent behind its back


@contextmanager
def _stage(
    name: str,
    params: Params,
    settings: dict[str, object],
    receipt: Path | None,
    *artifacts: Path,
    total: int | None = None,
    checkpoint: Path | None = None,
    is_first: bool = True,
) -> Iterator[Log]:
    """Run a stage under a progress bar, a journal and a receipt; gives the function that takes its news.

    Of several processes that run one stage, those that are not the first have none of these, and end with what started
    them, which is the first process, or torchrun.
    """
    from stages import journal, orphans, reasons, tracking
    from stages.progress import progress
    from stages.receipts import Receipt

    if not is_first:
        orphans.watch(os.getppid())
        yield lambda step, news: None
        return
    orphans.watch()
    bill = Receipt(name, params, checkpoint)
    record = journal.Journal(journal.new_path(tracking.folder(), name))
    record.start(name, config.flat(params) | settings, journal.find_pipeline(config.flat(params)))
    follower = tracking.start_follower(record.path)
    status = "KILLED"
    try:
        with progress(name, total) as show:

            def log(step: int, news: dict[str, float]) -> None:
                record.metrics(step, news)
                show(step, news)

            yield log
        made = (path if reasons.find(path.parent) is None else path.parent / reasons.FILE for path in artifacts)
        for path in dict.fromkeys(made):
            record.artifact(path)
        if receipt is not None:
            bill.write(receipt)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        record.finish(status)
        tracking.wait_for(follower, seconds=WAIT)


def _read(params: Path, profile: Path, changes: list[str] | None, section: str, cls: type[T]) -> tuple[Params, T]:
    """`params.yaml` and a profile's section, changed by --set."""
    values = config.read_changes(changes or [])
    chosen = config.load_params(params, values)
    return chosen, config.load(profile, section, cls, values, chosen.task)


@app.command()
def download(
    shipped: Annotated[Path, typer.Option(help="The folder of images that the repository ships.")],
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Bring a data set here and verify every file."""
    from stages import download as stage

    chosen, section = _read(params, profile, changes, "download", config.DownloadConfig)
    with _stage("download", chosen, config.flat(section, "download."), receipt) as log:
        mirrors = os.environ.get("NASIR_MIRRORS")
        stage.run(
            dataset=chosen.dataset,
            folder=Path(chosen.folder),
            layout=chosen.layout,
            shipped=shipped,
            out=out,
            mirrors=mirrors,
            config=section,
            log=log,
        )


@app.command()
def pair(
    source: Annotated[Path, typer.Option(help="What download wrote: a data set and its manifest.csv.")],
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Make the pictures of a task: images as they are, pairs of a data set, or pairs that are simulated."""
    from nasir.data import datasets
    from stages import pair as stage

    chosen, section = _read(params, profile, changes, "pair", config.PairConfig)
    with _stage("pair", chosen, config.flat(section, "pair."), receipt, out / "pictures.csv") as log:
        stage.run(
            dataset=chosen.dataset,
            layout=datasets.layout(chosen.dataset, chosen.layout),
            source=source,
            known=ELSEWHERE,
            out=out,
            task=chosen.task,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def synthesize(
    images: Images,
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Describe the noisy images: keyed noise, its hashes, previews."""
    from stages import synthesize as stage

    chosen, section = _read(params, profile, changes, "synthesize", config.SynthesizeConfig)
    with _stage("synthesize", chosen, config.flat(section, "synthesize."), receipt, out / "previews") as log:
        stage.run(
            images=images,
            out=out,
            task=chosen.task,
            sigma=chosen.noise,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def split(
    images: Images,
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Divide the training images into W, A and V."""
    from stages import split as stage

    chosen, section = _read(params, profile, changes, "split", config.SplitConfig)
    with _stage("split", chosen, config.flat(section, "split."), receipt, out / "split.json") as log:
        stage.run(images=images, out=out, seed=chosen.seed, config=section, log=log)


@app.command()
def audit(
    images: Images,
    split: SplitFolder,
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Look for one picture in two parts of the split."""
    from stages import audit as stage

    chosen, section = _read(params, profile, changes, "audit", config.AuditConfig)
    with _stage("audit", chosen, config.flat(section, "audit."), receipt, out / "matches.csv") as log:
        stage.run(images=images, split=split, out=out, seed=chosen.seed, config=section, log=log)


@app.command()
def search(
    images: Images,
    split: SplitFolder,
    checkpoint: Annotated[Path, typer.Option(help="Written as the search goes, carried on from, removed at its end.")],
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Search cells and widths in the supernet."""
    from nasir.training import parallel
    from stages import search as stage

    chosen, section = _read(params, profile, changes, "search", config.SearchConfig)
    with _stage(
        "search",
        chosen,
        config.flat(section, "search."),
        receipt,
        out / "search.json",
        total=stage.count(section),
        checkpoint=checkpoint,
        is_first=parallel.is_first(),
    ) as log:
        stage.run(
            images=images,
            split=split,
            checkpoint=checkpoint,
            out=out,
            task=chosen.task,
            space=chosen.space,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def derive(
    search: Annotated[Path, typer.Option(help="What search wrote.")],
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    or_reason: Annotated[
        bool, typer.Option("--or-reason", help="Where there is nothing to modify, write why and succeed.")
    ] = False,
    changes: Changes = None,
) -> None:
    """Derive the genotype and draw it."""
    from stages import derive as stage

    chosen, section = _read(params, profile, changes, "derive", config.DeriveConfig)
    artifacts = (out / "genotype.json", out / "architecture.png", out / "architecture.svg")
    with _stage("derive", chosen, config.flat(section, "derive."), receipt, *artifacts) as log:
        stage.run(search=search, out=out, or_reason=or_reason, config=section, log=log)


@app.command()
def retrain(
    images: Images,
    split: SplitFolder,
    checkpoint: Annotated[Path, typer.Option(help="Written as training goes, carried on from, removed at its end.")],
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    genotype: Annotated[Path | None, typer.Option(help="genotype.json of the derived network.")] = None,
    network: Annotated[
        str | None, typer.Option(help="A baseline instead, such as dncnn or rescan-lstm (nasir.networks.catalogue).")
    ] = None,
    changes: Changes = None,
) -> None:
    """Train the derived network, or a baseline, from scratch."""
    from nasir.training import parallel
    from stages import retrain as stage

    if (genotype is None) == (network is None):
        raise ValueError(f"retrain takes --genotype or --network, got {genotype} and {network}; give one of them.")
    chosen, section = _read(params, profile, changes, "retrain", config.RetrainConfig)
    with _stage(
        "retrain",
        chosen,
        config.flat(section, "retrain."),
        receipt,
        out / "model",
        total=section.steps,
        checkpoint=checkpoint,
        is_first=parallel.is_first(),
    ) as log:
        stage.run(
            images=images,
            split=split,
            genotype=genotype,
            network=network,
            checkpoint=checkpoint,
            out=out,
            task=chosen.task,
            sigma=chosen.noise,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def evaluate(
    images: Images,
    synthesize: Annotated[Path, typer.Option(help="What synthesize wrote.")],
    split: SplitFolder,
    model: ModelFolder,
    out: Out,
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Score the network and its opponents on the test images."""
    from stages import evaluate as stage

    chosen, section = _read(params, profile, changes, "evaluate", config.EvaluateConfig)
    artifacts = (out / "metrics.json", out / "scores.csv", out / "pictures")
    settings, total = config.flat(section, "evaluate."), stage.count(split, chosen.task, section)
    with _stage("evaluate", chosen, settings, receipt, *artifacts, total=total) as log:
        stage.run(
            images=images,
            synthesize=synthesize,
            split=split,
            model=model,
            out=out,
            task=chosen.task,
            sigma=chosen.noise,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def report(
    images: Images,
    download: Annotated[Path, typer.Option(help="What download wrote.")],
    runs: Annotated[Path, typer.Option(help="The folder of all stages' folders.")],
    published: Annotated[Path, typer.Option(help="The published tables.")],
    out: Out,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
) -> None:
    """Write the page and its figures."""
    from stages import report as stage

    chosen = config.load_params(params)
    with _stage("report", chosen, {}, receipt, out) as log:
        stage.run(
            download=download,
            images=images,
            synthesize=runs / "synthesize",
            split=runs / "split",
            audit=runs / "audit",
            search=runs / "search",
            derive=runs / "derive",
            retrain=runs / "retrain",
            evaluate=runs / "evaluate",
            checks=runs / "checks",
            receipts=runs / "receipts",
            published=published,
            params=config.flat(chosen),
            out=out,
            log=log,
        )


@app.command()
def extras(out: Annotated[Path, typer.Option(help="JSON file to write.")]) -> None:
    """Note the versions of optional packages, so that cells which need one are made when it comes."""
    from importlib.metadata import PackageNotFoundError, version

    from nasir.files import write_json

    try:
        found: str | None = version("bm3d")
    except PackageNotFoundError:
        found = None
    write_json(out, {"bm3d": found})


@app.command()
def score(
    images: Images,
    split: SplitFolder,
    method: Annotated[str, typer.Option(help="noisy, tv, nlm, bm3d, or the row that --model belongs to.")],
    protocols: Annotated[str, typer.Option(help="Separated by commas; NAME:50 scores 50 images drawn at random.")],
    out: Out,
    profile: ProfileFile,
    model: Annotated[Path | None, typer.Option(help="The model folder that retrain wrote.")] = None,
    extras: Annotated[Path | None, typer.Option(help="What extras wrote, for a method of an optional package.")] = None,
    params: ParamsFile = PARAMS,
    receipt: ReceiptFile = None,
    changes: Changes = None,
) -> None:
    """Score one cell of the paper's tables."""
    from stages import score as stage

    chosen, section = _read(params, profile, changes, "evaluate", config.EvaluateConfig)
    plan = protocols.split(",")
    settings = config.flat(section, "evaluate.") | {"method": method, "protocols": protocols}
    with _stage("score", chosen, settings, receipt, out / "cell.json", total=stage.count(split, plan)) as log:
        stage.run(
            images=images,
            split=split,
            method=method,
            model=model,
            extras=extras,
            plan=plan,
            out=out,
            task=chosen.task,
            sigma=chosen.noise,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def memory(
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    profile: ProfileFile,
    params: ParamsFile = PARAMS,
    changes: Changes = None,
) -> None:
    """Measure the memory of one iteration of the search, in this process."""
    from stages import search as stage

    chosen, section = _read(params, profile, changes, "search", config.SearchConfig)
    channels = tasks.find(chosen.task).channels
    stage.measure_memory(out=out, space=chosen.space, seed=chosen.seed, config=section, channels=channels)


@app.command()
def claims(
    images: Images,
    split: SplitFolder,
    model: ModelFolder,
    search: Annotated[Path, typer.Option(help="What search wrote.")],
    bill: Annotated[Path, typer.Option(help="The receipt of that search.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    profile: ProfileFile,
    memory: Annotated[Path | None, typer.Option(help="Folder of shared.json and unshared.json.")] = None,
    params: ParamsFile = PARAMS,
    changes: Changes = None,
) -> None:
    """Measure what the paper claims in its text."""
    from stages import claims as stage

    chosen, section = _read(params, profile, changes, "evaluate", config.EvaluateConfig)
    with _stage("claims", chosen, config.flat(section, "evaluate."), None, out) as log:
        stage.run(
            images=images,
            split=split,
            model=model,
            search=search,
            receipt=bill,
            memory=memory,
            out=out,
            task=chosen.task,
            seed=chosen.seed,
            config=section,
            log=log,
        )


@app.command()
def choose(
    plan: Annotated[Path, typer.Option(help="tables/params.yaml.")],
    profile: Annotated[str, typer.Option(help="demo, small, fast or paper.")],
) -> None:
    """Choose the study that `make tables` runs and shows."""
    from stages import tables as stage

    stage.choose(plan, profile)


@app.command()
def tables(
    study: Annotated[Path, typer.Option(help="The folder of a study's cells, claims and searches.")],
    published: Annotated[Path, typer.Option(help="The published tables.")],
    rows: Annotated[Path, typer.Option(help="What fills each row.")],
    plan: Annotated[Path, typer.Option(help="tables/params.yaml.")],
    studies: Annotated[Path, typer.Option(help="Folder of PROFILE-TASK.yaml, what a study changes for each task.")],
    out: Out,
) -> None:
    """Write the paper's tables beside our values."""
    from stages import tables as stage

    section = config.load_tables(plan)
    of_task = {task: config.load_params(studies / f"{section.profile}-{task}.yaml") for task in section.tasks}
    chosen = next(iter(of_task.values()))
    with _stage("tables", chosen, {}, None, out / "tables.md", out / "tables") as log:
        stage.run(
            study=study,
            published=published,
            rows=rows,
            datasets={task: params.dataset for task, params in of_task.items()},
            out=out,
            config=section,
            log=log,
        )


@app.command()
def check(
    step: Annotated[str, typer.Argument(help="download, pair, synthesize, split, audit or evaluate.")],
    images: Images,
    out: Annotated[Path, typer.Option(help="JSON file for the result.")],
    folder: Annotated[Path | None, typer.Option(help="What the step wrote; not needed for download.")] = None,
    known: Annotated[Path, typer.Option(help="For audit: the pairs that may stay, each with its reason.")] = KNOWN,
    params: ParamsFile = PARAMS,
    changes: Changes = None,
) -> None:
    """Check what a step wrote against expectations; a failure stops the pipeline and names the rows."""
    from nasir.data import datasets
    from stages import checks

    chosen = config.load_params(params, config.read_changes(changes or []))
    if step == "download":
        expected = None
        if chosen.dataset != datasets.FOLDER:
            entries = datasets.get(chosen.dataset).entries
            expected = {s: sum(e.split == s for e in entries) for s in ("train", "test")}
        checks.check_download(images, out, expected)
        return
    if step == "pair":
        checks.check_pair(images, chosen.task, out)
        return
    if folder is None:
        raise ValueError(f"check {step} needs --folder, got none; give the folder that {step} wrote.")
    if step == "synthesize":
        checks.check_synthesize(folder / "manifest.csv", images, chosen.task, chosen.noise, out)
    elif step == "split":
        checks.check_split(folder / "split.json", images, out)
    elif step == "audit":
        checks.check_audit(folder, chosen.dataset, known, out)
    elif step == "evaluate":
        checks.check_evaluate(folder / "scores.csv", images, folder / "metrics.json", out)
    else:
        raise ValueError(f"check takes download, pair, synthesize, split, audit or evaluate; got {step!r}.")


@app.command()
def sync(
    follow: Annotated[
        Path | None, typer.Option(help="Send one journal while its stage runs (used by the stages).")
    ] = None,
) -> None:
    """Send all journals that MLflow has not seen whole."""
    from stages import tracking

    if follow is not None:
        raise typer.Exit(0 if tracking.follow(follow) else 1)
    delivery = tracking.sync(tracking.folder())
    print(delivery.summary())
    raise typer.Exit(1 if delivery.waiting else 0)


@app.command()
def prepare() -> None:
    """Make MLflow's database ready (part of `make setup`)."""
    from stages import tracking

    tracking.prepare()


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on loopback.")] = 5000) -> None:
    """Show MLflow's pages on loopback."""
    from stages import tracking

    raise typer.Exit(tracking.ui(port))


def main() -> None:
    """Run a command; an error that says what to do is shown without a traceback."""
    process.keep_freed()
    try:
        app()
    except (ValueError, FloatingPointError, ConnectionError) as error:
        ranks = [os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK")]
        rank = next((rank for rank in ranks if rank), "0")
        sys.exit(f"error{f' in process {rank}' if rank != '0' else ''}: {error}")


if __name__ == "__main__":
    main()
