"""`nasir restore`: one picture or many, with what belongs to them, and nothing that was there is lost."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from torch import nn

from nasir.cli import main
from nasir.data.pictures import photographs
from nasir.data.pictures.photographs import Photograph
from nasir.inference import model, restoring
from nasir.inference.model import Denoiser


class Halving(nn.Module):
    """A network whose result anybody can work out: half of what comes in."""

    def __init__(self, channels):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(0.5 * torch.eye(channels)[..., None, None])

    def forward(self, noisy):
        return self.layer(noisy)


@pytest.fixture
def loaded(monkeypatch):
    """In place of every network one that halves; the names that were asked for."""
    names = []

    def load(name, device, weights, tile):
        names.append(name)
        sigma = 0.0 if "rain" in name else float(str(name).rpartition("-")[2])
        channels = 3 if "rain" in name else 1
        return Denoiser(network=Halving(channels).eval(), sigma=sigma, channels=channels, tile=tile)

    monkeypatch.setattr(model, "load", load)
    return names


def run(monkeypatch, *words, terminal=False):
    """`nasir restore` in this process: status, and what came to stderr."""
    said = io.StringIO()
    said.isatty = lambda: terminal
    monkeypatch.setattr(sys, "argv", ["nasir", "restore", *map(str, words)])
    monkeypatch.setattr(sys, "stderr", said)
    with pytest.raises(SystemExit, match=r"^[02]$") as end:
        main()
    return end.value.code, said.getvalue()


def save(path, shape=(6, 5), level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, level, np.uint8)).save(path)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_belongs_to_a_picture_is_kept(monkeypatch, loaded, tmp_path, kind):
    rng = np.random.default_rng(0)
    levels, alpha = (rng.integers(0, np.iinfo(kind).max, shape, dtype=kind) for shape in ((6, 5, 3), (6, 5)))
    exif = Image.Exif()
    exif[ExifTags.Base.Model], exif[ExifTags.Base.Orientation] = "a camera", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photographs.save_png(
        tmp_path / "in.png", Photograph(levels=levels, alpha=alpha, profile=profile, exif=exif.tobytes()[6:])
    )

    status, _ = run(monkeypatch, tmp_path / "in.png", "--out", tmp_path / "out.png", "--sigma", 50)

    found = photographs.read(tmp_path / "out.png")
    assert status == 0 and found.levels.dtype == kind and found.profile == profile
    halves = np.rint(levels / 2)  # to even, as the network's exact halves are rounded
    np.testing.assert_array_equal(found.levels, np.rot90(halves, -1))
    np.testing.assert_array_equal(found.alpha, np.rot90(alpha, -1))
    with Image.open(tmp_path / "out.png") as image:
        assert dict(image.getexif()) == {ExifTags.Base.Model: "a camera", ExifTags.Base.Orientation: 1}


def test_a_note_on_a_profile_obeys_nothing_that_stands_in_it(monkeypatch, capsys, loaded, tmp_path):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"\x1b\a\r\0"
    photographs.save_png(tmp_path / "in.png", Photograph(levels=np.zeros((6, 5, 3), np.uint8), profile=bytes(profile)))

    status, error = run(monkeypatch, tmp_path / "in.png", "--out", tmp_path / "out.png", "--sigma", 50)

    out = capsys.readouterr().out
    assert (status, error) == (0, "") and not {"\x1b", "\a", "\r", "\0"} & set(out)
    assert out.endswith(", its ICC profile left out, which is for \\x1b\\x07\\r\\x00\n")


def test_a_folder_goes_on_after_a_bad_file_and_lists_it(monkeypatch, capsys, loaded, tmp_path):
    for name in ("a.png", "sub/b.jpg", "sub/d.tif"):
        save(tmp_path / "in" / name)
    (tmp_path / "in/sub/c.png").write_bytes(b"no picture")
    (tmp_path / "in/notes.txt").touch()
    out = tmp_path / "in/out"  # below what is read

    status, error = run(monkeypatch, tmp_path / "in", tmp_path / "gone.png", "--out", out, "--sigma", 50)

    assert status == 2
    assert error == (
        "2 could not be restored:\n"
        f"  {tmp_path}/in/sub/c.png must be an image that Pillow reads, got other bytes; fetch it again.\n"
        f"  {tmp_path}/gone.png must be an image file, got nothing under that name; check the path.\n"
    )
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == ["a.png", "sub/b.png", "sub/d.png"]
    assert capsys.readouterr().out.endswith(f"3 of 5 pictures restored to {out}\n")
    assert len(loaded) == 1  # once for all


def test_a_folder_of_a_thousand_goes_on_after_five_bad_ones_and_lists_them(monkeypatch, capsys, loaded, tmp_path):
    for number in range(1000):
        save(tmp_path / f"in/{number:03}.png", level=number % 256)
    bad = {
        0: b"",
        250: b"no picture",
        251: (tmp_path / "in/251.png").read_bytes()[:40],
        500: b"\x89PNG",
        999: b"\0" * 99,
    }
    for number, data in bad.items():
        (tmp_path / f"in/{number:03}.png").write_bytes(data)

    status, error = run(monkeypatch, tmp_path / "in", "--out", tmp_path / "out", "--sigma", 50)

    first, *listed = error.splitlines()
    assert status == 2 and first == "5 could not be restored:"
    assert [line.partition(" must be ")[0] for line in listed] == [f"  {tmp_path}/in/{number:03}.png" for number in bad]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 996 and said[-1] == f"995 of 1,000 pictures restored to {tmp_path}/out"
    good = {f"{number:03}.png" for number in range(1000) if number not in bad}
    assert {path.name for path in (tmp_path / "out").iterdir()} == good
    assert np.asarray(Image.open(tmp_path / "out/998.png"))[0, 0] == 115  # half of 998 - 3 * 256


def test_a_pattern_is_the_pictures_that_it_matches(monkeypatch, capsys, loaded, tmp_path):
    for name in ("a.png", "b.png", "c.jpg", "sub/d.png", ".e.png", "[x].png", "x.png"):
        save(tmp_path / "in" / name)
    names = {"*.png": ["[x]", "a", "b", "x"], "?.*": ["a", "b", "c", "x"], "**/*.png": ["[x]", "a", "b", "d", "x"],
             "[x].png": ["[x]"], "[ab].png": ["a", "b"], "s*": ["d"], "**": ["[x]", "a", "b", "c", "d", "x"]}  # fmt: skip

    for number, (pattern, expected) in enumerate(names.items()):
        out = tmp_path / f"out{number}"
        assert run(monkeypatch, tmp_path / "in" / pattern, "--out", out, "--sigma", 50) == (0, ""), pattern
        assert sorted(path.stem for path in out.iterdir()) == expected, pattern

    capsys.readouterr()
    status, _ = run(
        monkeypatch, tmp_path / "in/*.jpg", tmp_path / "in/[ba].png", "--out", tmp_path / "o", "--sigma", 50
    )
    said = capsys.readouterr().out.splitlines()
    assert status == 0 and [line.partition(":")[0][-5:] for line in said[:3]] == ["c.png", "a.png", "b.png"]


def test_tiles_are_those_of_each_picture(monkeypatch, capsys, loaded, tmp_path):
    for name, shape in (("a", (96, 96)), ("b", (48, 48)), ("c", (96, 96))):
        save(tmp_path / f"in/{name}.png", shape)

    run(monkeypatch, tmp_path / "in", "--out", tmp_path / "out", "--sigma", 50, "--tile", 64, "--json")

    tiles = [one["tiles"] for one in json.loads(capsys.readouterr().out)["restored"]]
    assert len(loaded) == 1 and tiles[0].startswith("4 tiles") and tiles[1:] == [None, tiles[0]]


def test_a_program_reads_what_became_of_each_picture(monkeypatch, capsys, loaded, tmp_path):
    save(tmp_path / "in/a.png"), save(tmp_path / "in/b.png"), save(tmp_path / "out/b.png", level=7)
    (tmp_path / "in/c.png").write_bytes(b"no picture")

    status, _ = run(monkeypatch, tmp_path / "in", "--out", tmp_path / "out", "--sigma", 48, "--json")

    told = json.loads(capsys.readouterr().out)
    assert status == 2
    network = {"network": loaded[0], "is_chosen": True, "sigma": 50.0, "noise": 48.0, "is_estimated": False,
               "warning": None}  # fmt: skip
    files = {"source": f"{tmp_path}/in/a.png", "target": f"{tmp_path}/out/a.png", "width": 5, "height": 6}
    assert told["restored"] == [files | network | {"self_ensemble": False, "tiles": None, "notes": []}]
    assert told["kept"] == [f"{tmp_path}/out/b.png"]
    assert [text.partition(" must be ")[0] for text in told["refused"]] == [f"{tmp_path}/in/c.png"]


def test_a_program_reads_of_one_picture_what_it_reads_of_many(monkeypatch, capsys, loaded, tmp_path):
    save(tmp_path / "a.png")

    assert run(monkeypatch, tmp_path / "a.png", "--out", tmp_path / "b.png", "--task", "derain", "--json") == (0, "")

    told = json.loads(capsys.readouterr().out)
    assert (told["refused"], told["kept"]) == ([], [])
    [one] = told["restored"]
    assert (one["target"], one["noise"], one["is_estimated"]) == (str(tmp_path / "b.png"), None, False)


def test_nothing_is_overwritten_unasked(monkeypatch, loaded, tmp_path):
    save(tmp_path / "in/a.png"), save(tmp_path / "in/b.png"), save(tmp_path / "out/a.png", level=7)
    words = (tmp_path / "in", "--out", tmp_path / "out", "--sigma", 50)

    status, error = run(monkeypatch, *words)
    assert status == 2
    assert error == f"1 results are there already ({tmp_path}/out/a.png) and stay; --overwrite replaces them\n"
    assert [np.asarray(Image.open(tmp_path / "out" / name))[0, 0] for name in ("a.png", "b.png")] == [7, 50]

    status, error = run(monkeypatch, tmp_path / "in/a.png", "--out", tmp_path / "out/a.png")
    assert (status, error) == (2, f"error: {tmp_path}/out/a.png must be a new file, got one that is there already; "
                                  "--overwrite replaces it.\n")  # fmt: skip
    assert run(monkeypatch, *words, "--overwrite") == (0, "")
    assert np.asarray(Image.open(tmp_path / "out/a.png"))[0, 0] == 50


def test_two_pictures_for_one_result_are_refused_before_the_work(monkeypatch, loaded, tmp_path):
    save(tmp_path / "in/a.png"), save(tmp_path / "in/a.jpg"), save(tmp_path / "in/b.png")

    status, error = run(monkeypatch, tmp_path / "in", "--out", tmp_path / "out")

    assert status == 2 and not (tmp_path / "out").exists() and not loaded
    assert f"got one for {tmp_path}/in/a.jpg and {tmp_path}/in/a.png ({tmp_path}/out/a.png); rename one" in error


def test_each_pictures_own_noise_chooses_its_network(monkeypatch, capsys, loaded, tmp_path):
    rng = np.random.default_rng(0)
    for name, sigma in (("a", 28), ("b", 50), ("c", 31)):
        levels = np.clip(rng.normal(32768, 257 * sigma, (60, 60)), 0, 65535).astype(np.uint16)
        photographs.save_png(tmp_path / f"{name}.png", Photograph(levels=levels))

    status, _ = run(
        monkeypatch, *(tmp_path / f"{name}.png" for name in "abc"), "--out", tmp_path / "out", "--sigma", "auto"
    )

    said = [line.partition("restored at ")[2][:8] for line in capsys.readouterr().out.splitlines()[:3]]
    assert status == 0 and said == ["sigma 30", "sigma 50", "sigma 30"] and len(loaded) == 2


def test_an_estimate_far_from_all_levels_is_told(monkeypatch, capsys, loaded, tmp_path):
    # the levels are 30, 50 and 70: below 15 and above 105 is far
    rng = np.random.default_rng(0)
    for name, sigma in (("a", 10), ("b", 20), ("c", 100), ("d", 250), ("e", 5)):
        levels = np.clip(rng.normal(32768, 257 * sigma, (200, 200)), 0, 65535).astype(np.uint16)
        photographs.save_png(tmp_path / f"{name}.png", Photograph(levels=levels))

    def words(names):
        return [*(tmp_path / f"{name}.png" for name in names), "--out", tmp_path / names, "--sigma", "auto"]

    status, error = run(monkeypatch, *words("ebac"))
    assert status == 0 and error.startswith(f"warning: {tmp_path}/ebac/e.png: its noise was estimated at 5.")
    low = "far below the shipped networks' lowest level (30): the result is too smooth"
    assert error.endswith(f", {low}; 1 more of 4 are like that\n") and error.count("\n") == 1

    capsys.readouterr()
    status, error = run(monkeypatch, *words("d"), "--json")
    [one] = json.loads(capsys.readouterr().out)["restored"]
    assert status == 0 and error == f"warning: {tmp_path}/d/d.png: {one['warning']}\n"
    assert one["warning"].endswith("far above the shipped networks' highest level (70): the result is still noisy")
    assert run(monkeypatch, *words("bc")) == (0, "")
    assert run(monkeypatch, tmp_path / "a.png", "--out", tmp_path / "o.png", "--sigma", 10) == (0, "")  # as told


def test_a_terminal_sees_how_far_it_is_and_a_file_does_not(monkeypatch, loaded, tmp_path):
    save(tmp_path / "in/a.png"), save(tmp_path / "in/b.png")
    words = (tmp_path / "in", "--out", tmp_path / "out", "--sigma", 50, "--overwrite")

    assert "0/2" in run(monkeypatch, *words, terminal=True)[1]
    assert run(monkeypatch, *words) == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("in", "--out", "a.png"), "--out must be a folder for several pictures, or for a folder of them, got a.png"),
        (("in/a.png", "in/b.png", "--out", "in/a.png"), "--out must be a folder for several pictures"),
        (("empty", "--out", "out"), "in empty, got none; check the path"),
        (("in/a.png", "in/*.gif", "--out", "out"), "in/*.gif must be a file, or a pattern that matches some, got none"),
        (("in", "--out", "out", "--sigma", "x"), "--sigma must be auto or a finite number of grey levels, 0 or more"),
        (("in", "--out", "out", "--sigma", "-1"), "--sigma must be auto or a finite number"),
        (
            ("in", "--out", "out", "--tile", "1.5"),
            "--tile must be auto or a whole number of pixels, 0 or more, got 1.5",
        ),
        (("in", "--out", "out", "--model", "net-50", "--sigma", "auto"), "--sigma auto chooses among the shipped"),
        (
            ("in", "--out", "out", "--model", "net-50", "--sigma", "30"),
            "net-50 was trained for sigma 50, got 30; leave",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(monkeypatch, loaded, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in/a.png"), save(tmp_path / "in/b.png"), (tmp_path / "empty").mkdir()

    status, error = run(monkeypatch, *words)

    assert status == 2 and message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_self_ensemble_is_the_mean_over_all_ways_to_lie():
    # a step to the right: of the 8 variants two each go right, left, up and down; of the 2 one right and one left
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1.0
    around = {(2, 3): 0.25, (2, 1): 0.25, (1, 2): 0.25, (3, 2): 0.25}

    for is_turned, expected in ((True, around), (False, {(2, 3): 0.5, (2, 1): 0.5})):
        found = restoring.self_ensemble(lambda noisy, sigma: noisy.roll(1, -1), is_turned)(image, 50)
        assert {tuple(place): found[0, 0][tuple(place)].item() for place in found[0, 0].nonzero().tolist()} == expected


def test_the_self_ensemble_of_rain_turns_nothing(monkeypatch, capsys, loaded, tmp_path):
    save(tmp_path / "a.png", (6, 5, 3))
    words = (tmp_path / "a.png", "--out", tmp_path / "out", "--task", "derain", "--self-ensemble")

    assert run(monkeypatch, *words) == (0, "")
    assert capsys.readouterr().out.endswith("out/a.png: 5x6, restored at sigma 0, self-ensemble, by clearer-rain800\n")
    assert (np.asarray(Image.open(tmp_path / "out/a.png")) == 50).all()
