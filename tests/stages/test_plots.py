"""`dvc plots`: what dvc.yaml says is there in a finished run, the templates draw it, and two commits stand beside each other."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_run import render, write_run

from nasir.files import read_csv

ROOT = Path(__file__).parents[2]
PLOTS: list[Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
CURVES: dict[str, dict[str, Any]] = {name: plot for one in PLOTS if isinstance(one, dict) for name, plot in one.items()}
PICTURES = [one for one in PLOTS if isinstance(one, str)]
TEMPLATES = ROOT / ".dvc/plots"


def file_of(plot: dict[str, Any]) -> tuple[str, str]:
    """The one file of a plot and its column."""
    [(path, column)] = plot["y"].items()
    return path, column


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the repository is after `dvc repro`, with results as small as they can be."""
    folder = tmp_path_factory.mktemp("finished")
    write_run(folder / "runs")
    render(folder / "runs", folder / "reports")
    return folder


def test_curves_and_pictures_are_both_there():
    assert {"search", "training", "scores"} == set(CURVES)
    assert len(PICTURES) == 3 and all(path.endswith(".png") for path in PICTURES)


@pytest.mark.parametrize("name", CURVES)
def test_a_plot_s_columns_and_those_of_its_template_are_there_in_a_finished_run(finished, name):
    path, column = file_of(CURVES[name])
    facet = json.loads((TEMPLATES / f"{CURVES[name]['template']}.json").read_text())["facet"]["field"]
    rows = read_csv(finished / path)
    assert {CURVES[name]["x"], column, facet} <= set(rows[0])
    assert all(float(row[column]) == float(row[column]) for row in rows)  # numbers, none of them NaN


@pytest.mark.parametrize("path", PICTURES)
def test_a_picture_is_there_in_a_finished_run(finished, path):
    assert (finished / path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", CURVES)
def test_a_template_draws_a_chart_for_each_metric_or_protocol(finished, name):
    drawer = pytest.importorskip("vl_convert", reason="no vl-convert-python (pip install '.[pipeline]')")
    path, column = file_of(CURVES[name])
    template = CURVES[name]["template"]
    text = (TEMPLATES / f"{template}.json").read_text()
    facet = json.loads(text)["facet"]["field"]
    rows = [row | {"rev": rev} for rev in ("main", "workspace") for row in read_csv(finished / path)]
    anchors = {"X": CURVES[name]["x"], "Y": column, "X_LABEL": "x", "Y_LABEL": "y", "TITLE": name}
    for anchor, value in anchors.items():
        text = text.replace(f"<DVC_METRIC_{anchor}>", value)
    text = text.replace('"<DVC_METRIC_DATA>"', json.dumps(rows))
    text = text.replace('"<DVC_METRIC_COLOR>"', '{"field": "rev"}')
    assert "<DVC" not in text

    drawn = drawer.vegalite_to_svg(text)

    for label in {row[facet] for row in rows} | {"main", "workspace"}:
        assert f">{label}</text>" in drawn, label


def run(folder: Path, *words: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "nobody", f"GIT_{role}_EMAIL": "nobody@example.org"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dvc") is None, reason="needs DVC")
def test_two_commits_stand_beside_each_other(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "clone")
    clone = tmp_path / "clone"
    run(clone, "git", "init", "-q")
    run(clone, "dvc", "init", "-q")
    shutil.copytree(TEMPLATES, clone / ".dvc/plots", dirs_exist_ok=True)
    (clone / "dvc.yaml").write_text(yaml.safe_dump({"plots": PLOTS}))
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-q", "-m", "one")
    history = clone / "runs/retrain/history.csv"
    rows = read_csv(history)
    with history.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"value": 2 * float(row["value"])} for row in rows)
    shutil.copyfile(clone / PICTURES[1], clone / PICTURES[0])

    told = json.loads(run(clone, "dvc", "plots", "diff", "HEAD", "--json"))["data"]

    assert set(told) == {*CURVES, *PICTURES}
    [training] = told["training"]
    assert set(training["revisions"]) == {"HEAD", "workspace"}
    assert {revision for one in told[PICTURES[0]] for revision in one["revisions"]} == {"HEAD", "workspace"}
    page = run(clone, "dvc", "plots", "diff", "HEAD", "--out", "page")
    assert page.strip().endswith("page/index.html")
    assert {path.name for path in (clone / "page/static").iterdir()} >= {
        f"{revision}_{path.replace('/', '_')}" for revision in ("HEAD", "workspace") for path in PICTURES
    }
