"""Every command in the README and in docs/ is one: run on little pictures where that is quick, and else read as it would be.

Commands are the lines of fenced `sh` blocks, and what stands between backticks and begins as one. A line of `nasir` is run, but
for exports, which `tests/commands/test_export.py` runs; settings are resolved; targets of make are planned; the rest is parsed.
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer.main
import yaml
from PIL import Image

from nasir import cli
from nasir.evaluation import folders
from nasir.files import write_csv
from nasir.inference import zoo
from nasir.settings import resolve
from stages import __main__ as stages
from stages.around.entries import STEPS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "DATASETS.md", *sorted((ROOT / "docs").glob("*.md"))]
BEGINNINGS = ("nasir ", "make ", "dvc ", "python -m ", "pip ", ". .venv", "export ", "cd ")
CHOSEN = ("NAME", "chain", "rain12")
"""What a reader calls a space or data set of their own."""

WRITTEN = [f"runs/{step}" for step in STEPS]
"""Folders that the pipeline writes."""

ELSEWHERE = ("torchrun", "srun", "sbatch", "dask", "scontrol", "squeue", "pre-commit", "git")
"""Programs that need not be here, and what they are given is theirs; but for a stage, which is read."""


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def commands(page: Path) -> Iterator[str]:
    """One by one, without comments and what is set before them."""
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    spans = [bare(" ".join(span.split())) for span in re.findall(r"`([^`]+)`", prose)]
    lines = [line for text in blocks(page, "sh") for line in text.replace("\\\n", " ").splitlines()]
    for line in [*lines, *(span for span in spans if span.startswith(BEGINNINGS) and not span.endswith("..."))]:
        for part in line.split("&&"):
            if words := shlex.split(bare(part.strip()), comments=True):
                yield shlex.join(words)


def bare(line: str) -> str:
    """A command without variables that are set for it, and with a word where a person writes their own."""
    return re.sub(r"^(?:[A-Z_]+=(?:\$\(\(.*\)\)|\S*) |nice )+", "", re.sub(r"<[^>]*>", "1", line))


COMMANDS = sorted({command for page in PAGES for command in commands(page)})
QUICK = [
    command
    for page in PAGES
    for command in dict.fromkeys(commands(page))
    if command.startswith("nasir ") and not re.search(r"--to (onnx|torch)|completion|FOLDER|nasir \w+$", command)
]


def parse(app: typer.Typer, words: list[str]) -> None:
    """Read words as a command line does: commands, options and their values; nothing is run."""
    root = typer.main.get_command(app)
    own = [word for word in words if word != "--debug"]  # which may stand anywhere
    with contextlib.suppress(SystemExit, typer.Exit):  # of --help, which is not reached behind a wrong option
        name, command, rest = root.resolve_command(root.make_context("nasir", list(own)), list(own))
        command.make_context(name, list(rest))


def read_make(words: list[str]) -> None:
    run = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def read_stage(words: list[str]) -> None:
    if words:
        parse(stages.build(words[0]), words)


def read_module(words: list[str]) -> None:
    """`python -m ...`"""
    module, *rest = words
    if module == "stages":
        read_stage(rest)
    elif module == "pytest":
        assert all((ROOT / word).exists() for word in rest if word.startswith("tests")), rest
    else:
        assert module in ("pip", *ELSEWHERE) or any(
            ROOT.joinpath(*module.split(".")).with_suffix(s).exists() for s in ("", ".py")
        ), module


def read_dvc(words: list[str], folder: Path) -> None:
    """DVC's own parser, a stage of ours, and values that the settings take."""
    parser = pytest.importorskip("dvc.cli", reason="needs DVC")
    given = parser.parse_args(list(words))
    if words[:2] == ["exp", "run"]:
        resolve_with(given.set_param or [], folder)
    if words[0] == "repro":
        for target in given.targets or []:
            kind, _, cell = target.partition("@")
            stage = yaml.safe_load((ROOT / ("tables/dvc.yaml" if cell else "dvc.yaml")).read_text())["stages"][kind]
            if cell:
                from stages.tables import study

                profile = cell.partition("-")[0]
                cells = study.cells(study.read(ROOT / "tables/params.yaml"), profile)
                assert cell in cells[stage["foreach"].removeprefix("${study.").removesuffix("}")], cell


def resolve_with(changes: list[str], folder: Path) -> None:
    """params.yaml and profiles with `-S [FILE:][+]KEY=VALUE` come to settings; a key without + is there, one with + is not."""
    profiles = shutil.copytree(ROOT / "profiles", folder / "profiles", dirs_exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for change in changes:
        where, _, text = change.rpartition(":") if ":" in change.partition("=")[0] else ("params.yaml", "", change)
        key, _, value = text.partition("=")
        if value in CHOSEN:
            return
        file = folder / where
        values = params if where == "params.yaml" else yaml.safe_load(file.read_text())
        *above, last = key.removeprefix("+").split(".")
        inner = values
        for name in above:
            inner = inner.setdefault(name, {}) if key.startswith("+") else inner[name]
        assert (last in inner) is not key.startswith("+"), f"{change}: {last} in {where}"
        inner[last] = yaml.safe_load(value)
        if where != "params.yaml":
            file.write_text(yaml.safe_dump(values))
    resolve(params, profiles)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one(command, tmp_path):
    first, *words = shlex.split(command)
    if first == "nasir":
        parse(cli.app, words)
    elif first == "make":
        read_make(words)
    elif first == "dvc":
        read_dvc(words, tmp_path)
    elif first == "python" and words[0] == "-m":
        read_module(words[1:])
    elif "-m" in words and words[words.index("-m") + 1 :][:1] == ["stages"]:
        read_stage(words[words.index("-m") + 2 :])
    elif first == "pip":
        extras = re.findall(r"\[(.*)\]", command)
        known = (ROOT / "pyproject.toml").read_text()
        assert all(re.search(rf"^{extra} = \[", known, re.M) for text in extras for extra in text.split(","))
    elif first in ("cp", "cd"):
        source = next(word for word in words if not word.startswith("-"))
        assert source in WRITTEN or (ROOT / source).exists(), command
    else:
        assert first in (".", "export", *ELSEWHERE), f"{command}: say in this test how it is tried"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the pages name: pictures, folders of them, a trained network, scores, data sets."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    clean = np.kron(rng.integers(60, 190, (10, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    noisy = np.clip(clean + rng.normal(0, 50, clean.shape), 0, 255).astype(np.uint8)
    files = {"photo": noisy, "street": noisy, "dark": noisy}
    for name in "ab":
        files |= {f"clean/{name}": clean, f"noisy/{name}": noisy, f"restored/{name}": clean + 3}
    for name, pixels in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    shutil.copytree(zoo.SHELF / "irnas-bsd500-50", folder / "runs/retrain/model")
    (folder / "runs/download").mkdir()
    (folder / "models").symlink_to(zoo.SHELF)
    scores = folders.compare(folder / "restored", folder / "clean", None)
    for name in ("scores.csv", "others.csv"):
        write_csv(folder / name, folders.to_rows(scores), ["name", "kind", *folders.columns(scores)])
    return folder


@pytest.mark.parametrize("command", dict.fromkeys(QUICK))
def test_a_quick_command_does_what_it_says(command, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit, match=r"^\d$" if "audit" in command else r"^0$"):
        cli.main()
    assert capsys.readouterr().out
    written = re.search(r"--(?:out|csv) (\S+)", command)
    assert written is None or (place / written[1]).stat().st_size > 0


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_on_a_page_runs(page, place, monkeypatch):
    monkeypatch.chdir(place)
    for text in blocks(page, "python"):
        found: dict[str, object] = {}
        exec(compile(text, str(page), "exec"), found)
        assert "restored" in found or found["rows"]


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_a_newcomer_reads_the_readme_in_three_minutes():
    text = (ROOT / "README.md").read_text()
    [tree] = re.findall(r"## The tree\n\n```\n(.*?)```", text, re.S)
    assert len(tree.splitlines()) <= 25 and len(text.splitlines()) <= 160
    for line in tree.splitlines():
        for name in re.findall(r"(?:^ {0,2}|; )(\w+/|\w+\.\w+)(?= )", line):
            assert any(
                (folder / name).exists() for folder in (ROOT, ROOT / "nasir", ROOT / "nasir/data", ROOT / "tests")
            ), name
