"""`python -m stages NAME ...`: the command line that dvc.yaml calls.

What a stage takes stands in the signature of its `run` (`stages.around.runner`). Its module is imported when it is called,
so that --help answers at once and a stage needs no more than it uses.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from nasir import memory as process
from nasir.commands import failing, threads
from nasir.commands.terminal import print_json, suggest
from nasir.messages import first_line

HELP = (
    "The stages of the pipeline, in order: settings, download, pair, synthesize, split, audit, search, derive, retrain, \
evaluate, report; and of the paper's tables."
)

STAGES = {
    "download": "Bring a data set here and verify every file.",
    "pair": "Make the pictures of a task: images as they are, pairs of a data set, or pairs that are simulated.",
    "synthesize": "Describe the noisy images: keyed noise, its hashes, previews.",
    "split": "Divide the training pictures into W, A and V.",
    "audit": "Look for one picture in two parts of the split.",
    "search": "Let the chosen strategy search the chosen space.",
    "derive": "Modify what was found, if asked to, and draw it.",
    "retrain": "Train the derived network, or a baseline, from scratch.",
    "evaluate": "Score the network and its opponents on the test images.",
    "report": "Write the page, its figures, and the page as one HTML file.",
    "train": "Train and score one run of the paper's tables.",
    "score": "Score the rows of the paper's tables that need no training, of one task.",
    "memory": "Measure the memory of one iteration of the search, in this process.",
    "claims": "Measure what the paper claims in its text.",
    "page": "Write the paper's tables beside our values.",
}
"""Stages with a `run`, and what they do."""

Out = Annotated[Path, typer.Option(help="File to write.")]
Plan = Annotated[Path, typer.Option(help="tables/params.yaml.")]
Profiles = Annotated[Path, typer.Option(help="Folder of base.yaml and of the profiles.")]
Profile = Annotated[str, typer.Option(help="demo, small, overnight, fast or paper.")]


def settings(
    out: Out = Path("reports/settings.yaml"),
    params: Annotated[Path, typer.Option(help="What a person changes.")] = Path("params.yaml"),
    profiles: Profiles = Path("profiles"),
) -> None:
    """Resolve params.yaml and its profile into the settings that every stage reads."""
    from stages import settings as stage

    stage.write(params, profiles, out)


def data(
    settings: Annotated[Path, typer.Option(help="Of the task.")],
    shipped: Annotated[Path, typer.Option(help="The folder of images that the repository ships.")],
    known: Annotated[Path, typer.Option(help="CSV file of images that another data set's test part has too.")],
    images: Annotated[Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
) -> None:
    """Download, pair, split and audit the pictures of one task of a study, with their checks."""
    from nasir.settings import read
    from stages.around import pausing
    from stages.tables import data as stage

    pausing.begin("data")
    stage.run(settings=read(settings), shipped=shipped, known=known, images=images, out=out)


def choose(profile: Profile, plan: Plan = Path("tables/params.yaml"), out: Out = Path("tables/study.yaml")) -> None:
    """Choose the study that `make tables` runs."""
    from stages.tables import study

    study.choose(plan, profile, out)


def study(
    profile: Profile,
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    plan: Plan = Path("tables/params.yaml"),
    profiles: Profiles = Path("profiles"),
) -> None:
    """Write the settings of each cell of a study."""
    from stages.tables import study as stage

    stage.write_settings(plan, profile, profiles, out)


def extras(package: Annotated[str, typer.Option(help="Its name.")], out: Out) -> None:
    """Note the version of an optional package, so that cells which need it are made when it comes."""
    from importlib.metadata import PackageNotFoundError, version

    from nasir.files import write_json

    try:
        found: str | None = version(package)
    except PackageNotFoundError:
        found = None
    write_json(out, {"version": found})


def searches(
    page: Out = Path("reports/search.md"),
    plan: Annotated[Path, typer.Option(help="What is compared.")] = Path("study/bsd500.yaml"),
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("study/bsd500"),
    work: Annotated[Path, typer.Option(help="Folder for the data set.")] = Path("runs/study"),
    profiles: Profiles = Path("profiles"),
    shipped: Annotated[Path, typer.Option(help="The folder of images that the repository ships.")] = Path("data"),
    known: Annotated[Path, typer.Option(help="CSV file of images that another data set's test part has too.")] = Path(
        "nasir/data/datasets/known_elsewhere.csv"
    ),
    workers: Annotated[
        int, typer.Option(help="Jobs at a time on this machine, one thread each.", min=1)
    ] = os.cpu_count() or 1,
    hours: Annotated[float, typer.Option(help="No job is begun after that; 0 = no limit.", min=0)] = 0,
) -> None:
    """Compare search strategies with random networks: run what is missing of the study, write its page."""
    from stages.searches import study as stage

    stage.run(
        plan=plan, profiles=profiles, shipped=shipped, known=known, work=work, results=results, page=page,
        workers=workers, hours=hours,
    )  # fmt: skip


def rehearse(
    networks: Annotated[Path, typer.Option(help="networks.csv of the study.")] = Path(
        "reports/search-clearer/networks.csv"
    ),
    plan: Annotated[Path, typer.Option(help="The study whose networks they are.")] = Path("study/clearer.yaml"),
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("reports/strategies"),
    profiles: Profiles = Path("profiles"),
    candidates: Annotated[int, typer.Option(help="Scored in each try.", min=1)] = 3000,
    seeds: Annotated[int, typer.Option(help="Tries of each strategy.", min=2)] = 20,
) -> None:
    """Try strategies on networks that a study has trained: minutes in place of weeks. `strategies` writes the page."""
    from stages.searches import rehearsal

    rehearsal.run(plan=plan, profiles=profiles, networks=networks, out=out, candidates=candidates, seeds=seeds)


def strategies(
    page: Out = Path("reports/strategies.md"),
    plan: Annotated[list[Path] | None, typer.Option(help="A study of the page; once for each.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results of all studies.")] = Path("study"),
    rehearsed: Annotated[Path, typer.Option(help="Folder that `rehearse` wrote into.")] = Path("reports/strategies"),
    profiles: Profiles = Path("profiles"),
) -> None:
    """Write one page of all strategies: of the studies bsd500 and clearer unless others are named, and what was rehearsed."""
    from stages.searches import strategies as stage

    plans = plan or [Path("study/bsd500.yaml"), Path("study/clearer.yaml")]
    stage.run(plans=plans, profiles=profiles, results=results, rehearsed=rehearsed, page=page)


def shelve(
    name: Annotated[str, typer.Option(help="Of the network, as nasir.load takes it.")],
    runs: Annotated[Path, typer.Option(help="Where each step's folder lies.")] = Path("runs"),
    settings: Annotated[Path, typer.Option(help="What `python -m stages settings` wrote.")] = Path(
        "reports/settings.yaml"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the shipped networks.")] = Path("models"),
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="As the run's stages had it; may be given several times."
        ),
    ] = None,
) -> None:
    """Make a finished run's network one of those that are shipped: its files, scores and card."""
    from nasir.settings import read
    from stages.models import shelve as stage

    stage.run(runs=runs, settings=read(settings, changes or []), name=name, out=out)


def scores(
    names: Annotated[list[str] | None, typer.Argument(help="Shipped networks; none: all.")] = None,
    under: Annotated[list[str] | None, typer.Option(help="Protocols of their cards; none: all.")] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Protocols to score them under instead and to put on their cards.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the data sets.")] = Path("runs/models"),
    profiles: Profiles = Path("profiles"),
    shipped: Annotated[Path, typer.Option(help="The folder of images that the repository ships.")] = Path("data"),
    known: Annotated[Path, typer.Option(help="CSV file of images that another data set's test part has too.")] = Path(
        "nasir/data/datasets/known_elsewhere.csv"
    ),
) -> None:
    """Score the shipped networks again on their test images; ends with status 1 where one is not as its card says."""
    from stages.models import scores as stage

    is_alike = stage.run(
        names=names or [],
        profiles=profiles,
        shipped=shipped,
        known=known,
        work=work,
        under=under or [],
        also=also or [],
    )
    raise typer.Exit(0 if is_alike else 1)


def printed(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("benchmarks/overnight"),
    published: Annotated[Path, typer.Option(help="The printed values.")] = Path("tables/published.csv"),
    rows: Annotated[Path, typer.Option(help="Which method fills which row.")] = Path("tables/rows.csv"),
    plan: Plan = Path("tables/params.yaml"),
    others: Annotated[Path, typer.Option(help="METHOD-SIGMA-SEED.csv of methods that need no training.")] = Path(
        "benchmarks/tables-small/scores"
    ),
) -> None:
    """Write the papers' tables with the shipped networks beside the printed values; trains and scores nothing."""
    from stages.models import printed as stage

    stage.run(published=published, rows=rows, plan=plan, others=others, out=out)


def sync(
    follow: Annotated[
        Path | None, typer.Option(help="Send one journal while its stage runs (used by the stages).")
    ] = None,
) -> None:
    """Send all journals that MLflow has not seen whole."""
    from stages.around import tracking

    if follow is not None:
        raise typer.Exit(0 if tracking.follow(follow) else 1)
    delivery = tracking.sync(tracking.folder())
    print(delivery.summary())
    raise typer.Exit(1 if delivery.waiting else 0)


def summary(
    runs: Annotated[Path, typer.Option(help="Where each step's folder lies.")] = Path("runs"),
    report: Annotated[Path, typer.Option(help="The page.")] = Path("reports/report.md"),
) -> None:
    """Say what a run came to, and whether its search has collapsed (the end of `make repro`)."""
    from stages.aside import summary as stage

    print(stage.write(runs, report))


def beside(
    given: Annotated[
        list[str], typer.Argument(metavar="NAME=FOLDER...", help="Another run, and what evaluate wrote there.")
    ],
    out: Out = Path("reports/beside.html"),
    settings: Annotated[Path, typer.Option(help="Of this run.")] = Path("reports/settings.yaml"),
    runs: Annotated[Path, typer.Option(help="Where each step's folder lies.")] = Path("runs"),
    published: Annotated[Path, typer.Option(help="The printed values.")] = Path("tables/published.csv"),
    report: Annotated[Path, typer.Option(help="Folder of this run's report.")] = Path("reports"),
) -> None:
    """Write the report's page with what other runs made of the same test images beside this run's."""
    from nasir.settings import read
    from stages.aside import beside as stage

    print(stage.run(given=given, params=read(settings).params, runs=runs, published=published, studies=report, out=out))


def status(
    checkpoints: Annotated[list[Path] | None, typer.Option(help="Their folders; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how far every training is that is not finished, of the pipeline and of the tables."""
    from stages.around import pausing

    folders = checkpoints or [Path("runs/checkpoints"), Path("tables/runs/checkpoints")]
    found = [path for folder in folders for path in sorted(folder.glob("*.pt"))]
    if json:
        from stages.aside import status as stage

        print_json(stage.facts(folders, found))
        return
    for path in found:
        print(pausing.describe(path))
    if not found:
        print(f"{', '.join(map(str, folders))}: no training is under way.")


def overnight(
    profile: Profile = "overnight",
    hours: Annotated[
        float, typer.Option(help="No checkpoint is left and no cell begun after that; 0 = no limit.", min=0)
    ] = 0,
    tables: Annotated[Path, typer.Option(help="Their DVC project.")] = Path("tables"),
    carried: Annotated[Path, typer.Option(help="Folder for the state of a pause.")] = Path("models/in-progress"),
) -> None:
    """Make the tables of a profile in pieces: as much as fits into some hours, at low priority; called again it goes on."""
    from stages.tables import pieces

    raise typer.Exit(pieces.run(profile=profile, hours=hours, tables=tables, carried=carried))


def prepare() -> None:
    """Make MLflow's database ready (part of `make setup`)."""
    from stages.around import tracking

    tracking.prepare()


def mend() -> None:
    """Remove what a kill left half written of DVC's own files (part of every target of make)."""
    from stages.aside import mend as stage

    for project in (Path(), Path("tables")):
        for line in stage.remove(project):
            print(line)


def advisories(
    pins: Annotated[Path, typer.Option(help="NAME==VERSION, one a line.")] = Path("constraints.txt"),
) -> None:
    """Look for known vulnerabilities of the packages that are pinned; ends with status 1 where there are (`make audit`)."""
    from stages.aside import advisories as stage

    lines, known = stage.run(pins)
    print("\n".join(lines))
    raise typer.Exit(1 if known else 0)


def ui(
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 5000,
    show: Annotated[
        bool | None, typer.Option("--show/--no-show", help="Open both in the browser; else where there is a screen.")
    ] = None,
) -> None:
    """Say where the report's page lies, serve MLflow's pages on loopback, and open both in the browser."""
    from stages.around import serving
    from stages.aside import browser

    is_shown = browser.has_screen() if show is None else show
    raise typer.Exit(serving.serve(port, browser.show if is_shown else None))


OTHERS: tuple[Callable[..., None], ...] = (
    settings,
    data,
    choose,
    study,
    extras,
    searches,
    rehearse,
    strategies,
    summary,
    beside,
    shelve,
    scores,
    printed,
    status,
    overnight,
    sync,
    prepare,
    mend,
    advisories,
    ui,
)
"""Commands that are no stage with a `run`."""


def build(called: str | None) -> typer.Typer:
    """The command line; of the stages only the one that is called knows its options."""
    app = typer.Typer(
        help=HELP, add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.callback()(failing.begin)
    for name, text in STAGES.items():
        app.command(name, help=text)(_run(name) if name == called else _unknown)
    for function in OTHERS:
        app.command()(function)
    return app


def _run(name: str) -> Callable[..., None]:
    from stages.around import runner

    return runner.command(name)


def _unknown() -> None:
    """Stands for a stage that is not called."""


def main() -> None:
    """Run a command; an error that says what to do is shown without a traceback."""
    process.keep_freed()
    threads.wait_briefly()
    sys.argv[1:] = failing.debug_first(sys.argv[1:])
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        build(called)()
    except Exception as error:
        failing.end(error, _told(error), 1)


def _told(error: Exception) -> str | None:
    """What to do about an error, in one line; None for one of which nothing is known."""
    if process.is_exhausted(error):
        said = first_line(error) or "no memory"
        return (
            f"memory must hold what a step needs, got: {said}; lower batch or patch of its section, or let search.accumulate "
            "work a batch off in parts. What was saved is as it was."
        )
    if isinstance(error, ValueError | FloatingPointError | ConnectionError):
        return suggest(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} must be open to this command, got: {error.strerror}; check path, permissions and free space."
    return failing.missing(error) if isinstance(error, ModuleNotFoundError) else None


if __name__ == "__main__":
    main()
