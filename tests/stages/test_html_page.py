"""index.html as text; what a browser makes of it is in test_page_in_browser.py."""

import itertools
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from finished_run import render, write_run
from study_folder import NETWORKS, write_study

from nasir.files import read_json, write_json
from nasir.reporting.html import library, page

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(r"https?:|//|@import|url\(")


@dataclass
class Page(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    text: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    inside: dict[str, str] = field(default_factory=dict)  # of script and style, by their id or name
    _open: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id") or tag if tag in ("script", "style") else None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open] = self.inside.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def charts(self) -> dict:
        return json.loads(self.inside["charts"])


def make(root: Path, out: Path, script: str | None) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "script", lambda: script)
        write_study(out / "studies", "search-mine", NETWORKS)
        render(root, out, studies=out / "studies")
    return Page((out / "index.html").read_text())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original") / "runs"
    write_run(root)
    return root


@pytest.fixture(scope="module")
def whole(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return make(original, tmp_path_factory.mktemp("whole"), "/* the library */")


@pytest.fixture(scope="module")
def plain(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of a machine without the library of charts."""
    return make(original, tmp_path_factory.mktemp("plain"), None)


@pytest.fixture(params=["whole", "plain"])
def either(request: pytest.FixtureRequest) -> Page:
    return request.getfixturevalue(request.param)


def test_the_page_needs_nothing_beside_it(either):
    addresses = [
        value for _, attributes in either.elements for key, value in attributes.items() if key in ("src", "href")
    ]

    assert len(addresses) > 20
    assert [value for value in addresses if not value.startswith(("#", "data:"))] == []
    assert not OUTSIDE.search(either.inside["style"])
    [policy] = [one["content"] for one in either.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert len(either.text) < 1_000_000  # of pictures of 96 x 80 pixels


def test_the_page_is_in_order_for_who_hears_it(either):
    assert either.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in either.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert all(one.get("alt") for one in either.all("img"))
    regions = [one for _, one in either.elements if one.get("tabindex") == "0"]
    assert regions and all(one.get("role") and one.get("aria-label") for one in regions)


def test_every_place_on_the_page_that_is_named_is_there_once(either):
    ids = [one["id"] for _, one in either.elements if "id" in one]
    links = [one["href"][1:] for one in either.all("a") if one["href"].startswith("#")]
    labelled = [one["aria-labelledby"] for _, one in either.elements if "aria-labelledby" in one]

    assert len(ids) == len(set(ids))
    assert set(links) | set(labelled) <= set(ids)
    assert {"scores", "pictures", "architecture", "search", "training", "data", "checks", "receipt"} <= set(links)


def test_pictures_stand_from_the_worst_to_the_best_then_others_each_beside_what_classical_denoisers_make(either):
    shots = [one["id"] for one in either.all("div") if one.get("class") == "shot"]
    panels = [one["data-panel"] for one in either.all("img") if "data-panel" in one]

    assert shots == ["shot-worst", "shot-median", "shot-best", "shot-2", "shot-3"]
    assert panels == ["noisy", "tv", "nlm", "restored", "clean", "error"] * 5
    assert "<figcaption>total variation, 21.00 dB</figcaption>" in either.text
    assert either.all("h4") and "<h4>Place 2 of 2: test/g, 26.00 dB</h4>" in either.text
    assert "do not fit into this page" not in either.text


def test_every_chart_has_its_place_and_its_numbers(whole):
    charts = whole.charts()
    places = [one["data-charts"] for one in whole.all("div") if "data-charts" in one]

    assert sorted(places) == sorted(charts)
    assert set(charts) == {"scores", "images", "search", "choices", "training", "study/search-mine"}
    for chart in (chart for those in charts.values() for chart in those):
        columns = chart["usermeta"]["columns"]
        assert chart["data"]["values"] and all(set(row) <= set(columns) for row in chart["data"]["values"])


def test_scores_have_their_intervals_and_leave_the_input_away(whole):
    # Two images a dB below and above the mean: the bootstrap draws one of them alone every second time.
    first, second = whole.charts()["scores"]

    assert first["title"].startswith("whole") and second["title"].startswith("overlap")
    rows = {row["method"]: row for row in first["data"]["values"]}
    assert set(rows) == {"total variation", "non-local means", "found network"}
    own = rows["found network"]
    assert (own["low"], own["mean"], own["high"]) == pytest.approx((23.567, 24.567, 25.567))


def test_test_images_stand_in_the_order_of_the_found_network(whole):
    [chart] = whole.charts()["images"]

    rows = chart["data"]["values"]
    assert [row["image"] for row in rows] == ["test/f", "test/g"]
    assert [row["nasir"] for row in rows] == pytest.approx([23.567, 25.567])
    assert [row["rank"] for row in rows] == [1, 2]


def test_time_is_a_step_s_share_of_the_training_s(whole):
    # Steps 100, 150 and 200 of 200, in 1,007 seconds.
    chart = whole.charts()["training"][-1]

    hours = [row["hours"] for row in chart["data"]["values"]]
    assert hours == pytest.approx([1007 / 7200, 1007 / 4800, 1007 / 3600], rel=1e-5)
    assert [row["step"] for row in chart["data"]["values"]] == [100, 150, 200]
    assert chart["title"] == "PSNR on V against hours, dB"


def test_the_highest_psnr_is_marked_at_its_hour(whole):
    chart = whole.charts()["training"][-1]
    best = max(chart["data"]["values"], key=lambda row: row["psnr"])

    [mark] = [row for layer in chart["layer"] if "data" in layer for row in layer["data"]["values"]]
    assert mark["hours"] == best["hours"]
    assert mark["guide"] == f"highest: {best['psnr']:.2f} dB"


def test_a_training_that_was_carried_on_has_no_curve_over_time(original, whole, tmp_path):
    path = original / "receipts/retrain.json"
    receipt = read_json(path)
    write_json(path, receipt | {"is_resumed": True})
    resumed = make(original, tmp_path, "")
    write_json(path, receipt)

    titles = [chart["title"] for chart in resumed.charts()["training"]]
    assert titles == [chart["title"] for chart in whole.charts()["training"]][:-1] and len(titles) == 3
    assert page.NO_HOURS in resumed.text and page.NO_HOURS not in whole.text


def test_without_the_library_the_report_s_figures_take_the_places_of_charts(whole, plain):
    assert library.HINT in plain.text.replace("&#x27;", "'") and "not installed" not in whole.text
    assert plain.charts() == {}
    assert not any("data-charts" in one for one in plain.all("div"))
    pictures = {one["alt"] for one in plain.all("img") if "paper" in one.get("class", "").split()}
    assert {"losses and PSNR on V over the steps of the search", "width path and cell"} <= pictures


def test_in_the_dark_the_drawing_turns_dark_and_no_photograph(whole):
    assert [one["alt"] for one in whole.all("img") if "drawing" in one.get("class", "").split()] == [
        "width path and cell"
    ]
    style = Path(page.__file__).with_suffix(".css").read_text()
    assert set(re.findall(r"(img\S*) { filter", style)) == {"img.drawing"}


def test_no_text_ends_the_script_that_it_stands_in():
    held = page._in_script('{"image": "a</script><!--b</SCRIPT >"}')

    assert "</script" not in held.lower() and "<!--" not in held
    assert json.loads(held) == {"image": "a</script><!--b</SCRIPT >"}


def test_the_templates_come_with_the_package():
    text = (ROOT / "pyproject.toml").read_text()

    assert '"nasir.reporting.html" = ["*.html", "*.css", "*.js"]' in text
