"""The pictures of one task of a study, in one process, with their checks."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nasir.data.pictures.images import save_png
from nasir.files import read_json, write_text
from nasir.settings import Settings, change, resolve
from stages.tables import data

pytest.importorskip("great_expectations")

# Of what Great Expectations stands on.
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[3]
NAMES = [f"train/{i}" for i in range(4)] + ["test/0", "test/1"]


def picture(seed: int) -> np.ndarray:
    """Texture and boxes: what keypoints are found in."""
    rng = np.random.default_rng(seed)
    field = sum(s * gaussian_filter(rng.standard_normal((120, 160)), s) for s in (2, 6))
    canvas = 128 + 40 * field / field.std()
    for _ in range(30):
        top, left = rng.integers(0, 110), rng.integers(0, 150)
        canvas[top : top + rng.integers(5, 40), left : left + rng.integers(5, 40)] += rng.normal(0, 30)
    return np.clip(canvas, 0, 255).astype(np.uint8)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of six images of one's own."""
    monkeypatch.setenv("NASIR_TRACKING", str(tmp_path / "tracking"))
    monkeypatch.setenv("NASIR_SEND", "later")
    for number, name in enumerate(NAMES):
        save_png(tmp_path / f"own/{name}.png", picture(number))
    write_text(tmp_path / "known.csv", "dataset,name,also_in\nother,train/0,elsewhere\n")
    params = {"dataset": "folder", "task": "denoise", "folder": str(tmp_path / "own"), "layout": "clean", "sigma": 50}
    params |= {"space": "irnas", "seed": 0, "profile": "demo"}
    return change(resolve(params, ROOT / "profiles"), ["audit.planted=2"], "settings.yaml")


def run(settings: Settings, place: Path) -> None:
    data.run(settings=settings, shipped=place, known=place / "known.csv", images=place / "images", out=place / "out")


def test_the_pictures_are_verified_listed_split_and_audited(settings, tmp_path):
    run(settings, tmp_path)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audit", "checks", "pictures", "split"]
    checks = {path.stem: read_json(path)["success"] for path in (tmp_path / "out/checks").iterdir()}
    assert checks == dict.fromkeys(("download", "pair", "split", "audit"), True)
    parts = read_json(tmp_path / "out/split/split.json")
    assert sorted(parts["w"] + parts["a"] + parts["v"] + parts["test"]) == sorted(NAMES)
    assert (tmp_path / "images/manifest.csv").is_file()


def test_a_leak_into_the_test_images_stops_it(settings, tmp_path):
    save_png(tmp_path / "own/test/1.png", np.ascontiguousarray(picture(2)[:, ::-1]))  # train/2, mirrored

    with pytest.raises(ValueError, match=r"is_known fails for train/2 = test/1|is_known fails for test/1 = train/2"):
        run(settings, tmp_path)
    assert read_json(tmp_path / "out/checks/split.json")["success"] is True
    assert read_json(tmp_path / "out/checks/audit.json")["success"] is False


def test_what_was_brought_is_not_made_again_unless_a_check_failed_or_a_setting_changed(settings, tmp_path, monkeypatch):
    made, run_all = [], data.run
    monkeypatch.setattr(data, "run", lambda **given: (made.append(given["settings"]), run_all(**given)))
    monkeypatch.setattr(data.entries, "OF_TASK", ("download", "pair", "split"))  # the audit takes long

    def bring(with_settings: Settings) -> None:
        place = {name: tmp_path / name for name in ("images", "out")}
        data.bring(settings=with_settings, shipped=tmp_path, known=tmp_path / "known.csv", **place)

    bring(settings)
    bring(settings)
    bring(change(settings.values, ["search.steps=7"], "settings.yaml"))
    assert made == [settings]
    other = change(settings.values, ["split.w=0.4"], "settings.yaml")
    monkeypatch.setattr(data.checking, "check", lambda *given: (_ for _ in ()).throw(ValueError("a leak")))
    for _ in range(2):  # the first failure leaves nothing that the second call takes for done
        with pytest.raises(ValueError, match="a leak"):
            bring(other)
    assert made == [settings, other, other]
