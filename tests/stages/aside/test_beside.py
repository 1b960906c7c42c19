"""The report's page with what other runs restored beside this run's."""

import re
import shutil
from pathlib import Path

import pytest
from finished_run import PARAMS, render, write_run

from nasir.files import read_json, write_json
from stages import __main__ as commands
from stages.aside import beside


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """This run in `runs`, laid out as the pipeline does, its report, and what another one evaluated in `other`."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "runs")
    render(folder / "runs", folder / "reports")
    (folder / "runs/download").rename(folder / "sample")
    (folder / "runs/download").mkdir()
    (folder / "sample").rename(folder / "runs/download/sample")
    (folder / "runs/pictures").rename(folder / "runs/pair")
    (folder / "runs/published.csv").rename(folder / "published.csv")
    shutil.copytree(folder / "runs/evaluate", folder / "other")
    return folder


@pytest.fixture
def place(made, tmp_path):
    return shutil.copytree(made, tmp_path / "place")


def call(place: Path, *given: str) -> str:
    return beside.run(
        given=given, params=PARAMS, runs=place / "runs", published=place / "published.csv",
        studies=place / "reports", out=place / "beside.html",
    )  # fmt: skip


def captions(place: Path, name: str) -> dict[str, str]:
    """Of the pictures of a run, by the id of their test image."""
    shots = re.findall(r'id="shot-(\w+)"(.*?)</div></div>', (place / "beside.html").read_text(), re.DOTALL)
    return {rank: found[0] for rank, html in shots if (found := re.findall(rf"<figcaption>({name}, [^<]*)<", html))}


def test_what_another_run_restored_is_a_picture_of_every_image_that_both_have(place):
    listed = read_json(place / "other/pictures/pictures.json")
    for row in listed:
        row["psnr_db"] += 1
    write_json(place / "other/pictures/pictures.json", listed)

    said = call(place, f"seed 1={place / 'other'}")

    assert said == f"{place / 'beside.html'}: seed 1 at 5 of 5"
    assert captions(place, "seed 1") == {
        "worst": "seed 1, 23.00 dB", "median": "seed 1, 25.57 dB", "best": "seed 1, 28.00 dB", "2": "seed 1, 27.00 dB",
        "3": "seed 1, 26.50 dB",
    }  # fmt: skip


def test_an_image_of_another_clean_picture_is_not_the_same(place):
    shutil.copy(place / "other/pictures/2/clean.png", place / "other/pictures/worst/clean.png")

    assert call(place, f"a={place / 'other'}", f"b={place / 'runs/evaluate'}").endswith("a at 4 of 5, b at 5 of 5")

    assert [*captions(place, "a")] == ["median", "best", "2", "3"] and len(captions(place, "b")) == 5


def test_a_run_without_a_common_image_is_refused(place):
    listed = read_json(place / "other/pictures/pictures.json")
    write_json(place / "other/pictures/pictures.json", [row | {"name": "test/else"} for row in listed])

    with pytest.raises(ValueError, match=r"'a' must have restored test images that this run shows, got none of 5"):
        call(place, f"a={place / 'other'}")
    assert not (place / "beside.html").exists()


@pytest.mark.parametrize("given", ["a", "=x", "a=", "a,b=x", "noisy=x", "a: b=x"])
def test_a_name_that_the_page_cannot_show_is_refused(place, given):
    with pytest.raises(ValueError, match=r"another run must be NAME=FOLDER, .*, got"):
        call(place, given)


def test_one_name_twice_is_refused(place):
    with pytest.raises(ValueError, match="a name of its own"):
        call(place, f"a={place / 'other'}", f"a={place / 'runs/evaluate'}")


def test_a_folder_that_evaluate_did_not_write_is_refused(place):
    with pytest.raises((ValueError, OSError), match=r"pictures\.json"):
        call(place, f"a={place / 'nowhere'}")
    (place / "other/pictures/2/restored.png").unlink()
    with pytest.raises(
        ValueError, match=r"2/restored\.png must be a picture that evaluate wrote, got none; name a folder"
    ):
        call(place, f"a={place / 'other'}")


def test_a_report_that_is_not_there_is_asked_for(place):
    shutil.rmtree(place / "reports/figures")
    with pytest.raises(
        ValueError, match=r"reports must hold the figures of this run's report, got no figures/architecture"
    ):
        call(place, f"a={place / 'other'}")


def test_the_command_is_one_of_the_stages(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["stages", "beside", "--help"])
    with pytest.raises(SystemExit):
        commands.main()
    assert "NAME=FOLDER" in capsys.readouterr().out
