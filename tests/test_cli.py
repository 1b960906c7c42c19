"""`nasir` and `python -m stages` as a person meets them."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from nasir.cli import main
from nasir.data.pictures.images import save_png
from nasir.files import read_csv, read_json
from nasir.inference import model

ROOT = Path(__file__).parents[1]


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


NASIR = ("-c", "from nasir.cli import main; main()")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from nasir.spaces import irnas
    from nasir.spaces.cells.genotype import Edge, Genotype
    from nasir.spaces.cells.section import CellsSizes

    genotype = Genotype(
        space="irnas",
        cells=(((Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="skip")),),),
        path=(0,),
        width_factors=(1.0, 2.0, 4.0),
        residual=True,
        activation="relu",
    )
    sizes = CellsSizes(width=2, stem_channels=3, aspp_channels=0, aspp_rates=())
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("trained") / "model"
    network = irnas.SPACE.build(genotype, sizes, channels=1)
    network.output[1].reset_parameters()  # it starts at zero
    weights = {"best": network.state_dict()}
    model.save(path, irnas.SPACE.to_json(genotype), sizes, 1, "denoise", 50.0, weights)
    return path


@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 3)], ids=["grey", "colour"])
def test_restore_writes_an_image_of_the_same_size(folder, tmp_path, shape):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "in.png")
    out = tmp_path / "out.png"
    run = call(*NASIR, "restore", str(tmp_path / "in.png"), "--model", str(folder), "--sigma", "50", "--out", str(out))
    assert run.returncode == 0, run.stderr
    assert np.array(Image.open(out)).shape == shape
    assert "9x13, restored at sigma 50" in run.stdout


def test_restore_cuts_a_large_image_and_says_so(folder, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)).save(tmp_path / "in.png")
    words = (*NASIR, "restore", str(tmp_path / "in.png"), "--model", str(folder), "--sigma", "50", "--out")
    whole = call(*words, str(tmp_path / "whole.png"), "--tile", "0")
    cut = call(*words, str(tmp_path / "cut.png"), "--tile", "20")
    wrong = call(*words, str(tmp_path / "wrong.png"), "--tile", "-3")

    # input, stem, one 3x3 in the cell, output: 4 pixels
    assert cut.stdout.endswith("50x40, restored at sigma 50 in 6 tiles of up to 20x20 pixels with a halo of 4\n")
    assert whole.stdout.endswith("50x40, restored at sigma 50\n")
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("whole", "cut")]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1  # rounding of a half-way value
    assert wrong.returncode == 2 and "--tile" in wrong.stderr and not (tmp_path / "wrong.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "nosuch.png"}, "nosuch.png must be an image file"),
        ({"--sigma": "30"}, "trained for sigma 50, got 30"),
        ({"--model": "nosuch"}, "got no model.json there"),
        ({"--out": "out.jpg"}, "--out must end in .png"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_no_file(folder, tmp_path, change, message):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "in.png")
    options = {"--model": str(folder), "--sigma": "50", "--out": str(tmp_path / "out.png")} | change
    image = options.pop("image", str(tmp_path / "in.png"))
    if options["--out"] == "out.jpg":
        options["--out"] = str(tmp_path / "out.jpg")
    run = call(*NASIR, "restore", image, *[word for pair in options.items() for word in pair])
    assert run.returncode == 2
    assert run.stderr.startswith("error: ") and message in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_restore_takes_the_shipped_network_that_fits_and_says_which(tmp_path):
    noisy = np.clip(np.random.default_rng(0).normal(128, 52, (40, 50)), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "in.png")
    found = call(*NASIR, "restore", str(tmp_path / "in.png"), "--out", str(tmp_path / "out.png"))
    assert "restored at sigma 50, by clipped8-bsd500-50 (noise of 48.9" in found.stdout and "estimated)" in found.stdout
    assert np.asarray(Image.open(tmp_path / "out.png")).std() < 0.3 * noisy.std()
    words = (*NASIR, "restore", str(tmp_path / "in.png"), "--overwrite", "--out", str(tmp_path / "out.png"))
    given = call(*words, "--sigma", "66")
    assert given.stdout.endswith("restored at sigma 70, by clipped8-bsd500-70 (noise of 66.0 given)\n")
    named = call(*words, "--model", "overnight-bsd500-70")
    assert named.stdout.endswith("restored at sigma 70\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "deblur"), "network's task must be one of ['camera', 'denoise', 'derain'], got 'deblur'"),
        (("--task", "derain", "--sigma", "20"), "--sigma is the level of noise to remove, got it with --task derain"),
        (
            ("--task", "derain", "--model", "irnas-rain800"),
            "--task chooses among the shipped networks, got --model, too",
        ),
        (("--sigma", "inf"), "--sigma must be auto or a finite number of grey levels, 0 or more, got inf"),
        (("--device", "foo"), "device must be one of ['auto', 'cpu', 'cuda'], got 'foo'"),
        (("--device", "CPU"), "device must be one of ['auto', 'cpu', 'cuda'], got 'CPU'"),
        (("--model", "overnight-bsd500-70", "--sigma", "50"), "trained for sigma 70, got 50"),
    ],
)
def test_restore_refuses_options_that_do_not_go_together(monkeypatch, capsys, tmp_path, words, message):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "in.png")
    arguments = ["nasir", "restore", str(tmp_path / "in.png"), "--out", str(tmp_path / "out.png"), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    assert message in capsys.readouterr().err and not (tmp_path / "out.png").exists()


def test_a_network_for_colour_takes_a_grey_picture_too(monkeypatch, tmp_path):
    Image.fromarray(np.full((16, 1), 99, np.uint8)).save(tmp_path / "in.png")  # one pixel wide: no noise is estimated
    arguments = ["nasir", "restore", str(tmp_path / "in.png"), "--out", str(tmp_path / "out.png"), "--task", "derain"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (16, 1, 3)


def save_flat(folder, level, names="a", shape=(12, 15)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full(shape, level, np.uint8)).save(folder / f"{name}.png")
    return str(folder)


def score(monkeypatch, *arguments):
    """`nasir score` in this process: its exit status 0, or the error's text where it is 2."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["nasir", "score", *arguments])
    monkeypatch.setattr(sys, "stderr", said)
    with pytest.raises(SystemExit, match=r"^[02]$") as end:
        main()
    return end.value.code and said.getvalue().rstrip("\n")


def test_score_prints_a_table_and_writes_csv_and_json(monkeypatch, capsys, tmp_path):
    # 10 grey levels: 20 log10(255 / 10) = 28.13 dB; 20 levels: 22.11 dB; Y has 219/255 of the difference: + 1.32 dB
    clean = save_flat(tmp_path / "clean", 100, "ab", (12, 15, 3))
    restored = save_flat(tmp_path / "restored", 110, "ab", (12, 15, 3))
    noisy = save_flat(tmp_path / "noisy", 120, "ab", (12, 15, 3))
    files = ("--csv", str(tmp_path / "out" / "scores.csv"), "--json", str(tmp_path / "out" / "scores.json"))

    assert score(monkeypatch, "--restored", restored, "--clean", clean, "--noisy", noisy, *files) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["image", *["PSNR"] * 3, *["SSIM"] * 6]
    assert lines[1] == ["rgb", "y", "grey"] * 3
    assert lines[2] == ["dB"] * 3 + ["padded"] * 3 + ["valid"] * 3
    assert [line[0] for line in lines[3:]] == ["a", "noisy", "gain", "b", "noisy", "gain", "mean", "noisy", "gain", "2"]
    assert lines[9][2:5] == ["28.13", "29.45", "28.13"]
    assert lines[10][1:4] == ["22.11", "23.43", "22.11"]
    assert lines[11] == ["gain", "6.02", "6.02", "6.02"]
    rows = read_csv(tmp_path / "out" / "scores.csv")
    assert [row["name"] for row in rows] == ["a", "b", "mean"]
    value = read_json(tmp_path / "out" / "scores.json")
    assert value["noisy"] == noisy and value["mean"]["colour"] == 2
    assert float(rows[0]["psnr_y_db"]) == value["images"][0]["psnr_y_db"] == pytest.approx(28.1308 + 1.3219, abs=1e-4)
    assert value["mean"]["gain_rgb_db"] == pytest.approx(6.0206, abs=1e-4)


def test_score_of_many_images_shows_the_worst_and_the_best(monkeypatch, capsys, tmp_path):
    names = "abcdefghijklmnopqrstu"
    folders = ("--restored", save_flat(tmp_path / "restored", 110, names), "--clean")
    folders += (save_flat(tmp_path / "clean", 100, names),)
    save_flat(tmp_path / "restored", 120, "m")
    save_flat(tmp_path / "restored", 100, "c")

    assert score(monkeypatch, *folders) == 0
    short = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in short[3:5]] == [["worst:", "m", "22.11"], ["best:", "c", "inf"]]
    assert short[5].split()[:2] == ["mean", "inf"]
    assert short[6:] == ["21 images; worst and best by PSNR of grey; --all shows every image."]

    assert score(monkeypatch, *folders, "--all") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[3:]] == [*names, "mean", "21"]


def test_score_says_which_means_are_over_colour_alone(monkeypatch, capsys, tmp_path):
    for role, level in (("restored", 110), ("clean", 100)):
        save_flat(tmp_path / role, level, "ab")
        save_flat(tmp_path / role, level, "c", (12, 15, 3))

    assert score(monkeypatch, "--restored", str(tmp_path / "restored"), "--clean", str(tmp_path / "clean")) == 0

    out = capsys.readouterr().out
    assert out.endswith("3 images; the means of rgb and y are over the 1 colour images alone.\n")
    assert [len(line.split()) for line in out.splitlines()[3:7]] == [4, 4, 10, 10]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--clean": "nosuch"}, "clean must be a folder of images, got nothing at nosuch"),
        ({"--clean": "restored"}, "restored and clean must be two folders"),
        ({"--noisy": "other"}, "b.png of other (none in clean); a.png of clean (none in other)"),
        ({"--csv": "scores.txt"}, "--csv must name a file that ends in .csv, got scores.txt"),
        ({"--json": "scores.csv"}, "--json must name a file that ends in .json, got scores.csv"),
        ({"--csv": "restored/a.png/scores.csv"}, "a.png/scores.csv cannot be written (Not a directory)"),
    ],
)
def test_a_wrong_score_gets_one_line_and_no_file(monkeypatch, tmp_path, change, message):
    monkeypatch.chdir(tmp_path)
    save_flat(Path("restored"), 110), save_flat(Path("clean"), 100), save_flat(Path("other"), 100, "b")
    options = {"--restored": "restored", "--clean": "clean", "--csv": "scores.csv", "--json": "scores.json"} | change

    error = score(monkeypatch, *[word for pair in options.items() for word in pair])

    assert message in error and "\n" not in error
    assert not list(tmp_path.glob("scores*"))


def test_audit_names_the_pairs_and_ends_with_status_1(tmp_path):
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (20, 24)), np.ones((8, 8))).astype(np.uint8)
    save_png(tmp_path / "a/one.png", blocks)
    save_png(tmp_path / "b/two.png", np.ascontiguousarray(blocks[:, ::-1]))

    run = call(*NASIR, "audit", str(tmp_path / "a"), str(tmp_path / "b"), "--csv", str(tmp_path / "pairs.csv"))
    clean = call(*NASIR, "audit", str(tmp_path / "a"))
    told = call(*NASIR, "audit", str(tmp_path / "a"), str(tmp_path / "b"), "--json")

    assert run.returncode == told.returncode == 1, run.stderr
    [pair] = json.loads(told.stdout)["pairs"]
    assert (pair["first"], pair["second"]) == (str(tmp_path / "a/one.png"), str(tmp_path / "b/two.png"))
    assert pair["correlation"] > 0.999 and pair["how"].startswith("mirrored, scale 1.00")
    assert run.stdout.startswith(f"{tmp_path / 'a/one.png'} = {tmp_path / 'b/two.png'}: correlation 1.000, mirrored")
    [row] = read_csv(tmp_path / "pairs.csv")
    assert row["first"].endswith("one.png") and row["how"].startswith("mirrored, scale 1.00")
    assert (clean.returncode, clean.stdout) == (0, "0 pairs show one picture\n")


def test_audit_of_a_folder_that_is_not_there_says_so_in_one_line(tmp_path):
    run = call(*NASIR, "audit", str(tmp_path / "nosuch"))

    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {tmp_path / 'nosuch'} must be a folder with images")


def test_score_as_a_process_of_its_own(tmp_path):
    arguments = ("--restored", save_flat(tmp_path / "restored", 110), "--clean", save_flat(tmp_path / "clean", 100))
    run = call(*NASIR, "score", *arguments)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-2].split()[:2] == ["mean", "28.13"]


@pytest.mark.parametrize("command", [("-m", "stages", "--help"), (*NASIR, "--help")], ids=["stages", "nasir"])
def test_help_imports_nothing_slow(command):
    # the time itself is printed, not judged: machines differ
    start = time.perf_counter()
    run = call("-X", "importtime", *command)
    print(f"{' '.join(command[-2:])}: {time.perf_counter() - start:.2f} s")
    assert run.returncode == 0
    slow = ("torch", "mlflow", "great_expectations", "dvc", "matplotlib", "scipy", "skimage", "pandas", "numpy")
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert not imported & set(slow)


def write_params(folder: Path, **changes: object) -> str:
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return str(folder / "params.yaml")


def test_a_wrong_profile_is_named_in_one_line(tmp_path):
    params = write_params(tmp_path, profile="nosuch")
    run = call("-m", "stages", "settings", "--params", params, "--out", str(tmp_path / "settings.yaml"))
    assert run.returncode == 1
    assert run.stderr.startswith("error: expected a configuration file at profiles/nosuch.yaml, got nothing there; ")
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "settings.yaml").exists()


def test_a_stage_names_settings_that_are_not_there_in_one_line(tmp_path):
    settings, pictures, out = (str(tmp_path / name) for name in ("nosuch.yaml", "pictures", "out"))
    run = call("-m", "stages", "split", "--settings", settings, "--pictures", pictures, "--out", out)
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: expected a configuration file at {settings}, got nothing there")
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete_and_what(shell, tmp_path):
    # as typer's own scripts ask; the words stand in other variables for bash than for the two others
    words = {"COMP_WORDS": "nasir ex", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "nasir ex"}
    environment = os.environ | words | {"HOME": str(tmp_path), "_NASIR_COMPLETE": f"complete_{shell}"}
    environment |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "PYTHONPATH": str(ROOT)}
    program = "import sys; sys.argv[0] = 'nasir'; from nasir.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert "export" in told.stdout and "restore" not in told.stdout, told.stderr

    environment["_NASIR_COMPLETE"] = f"source_{shell}"
    script = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert f"complete_{shell}" in script.stdout and not list(tmp_path.iterdir())


def test_completion_is_installed_where_the_shell_reads_it(tmp_path):
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    program = "import sys; sys.argv[0] = 'nasir'; from nasir.cli import main; main()"
    words = [sys.executable, "-c", program, "--install-completion", "bash"]
    run = subprocess.run(
        words, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    [script] = [path for path in tmp_path.rglob("nasir.sh")]
    assert str(script) in (tmp_path / ".bashrc").read_text() and "complete_bash" in script.read_text()
