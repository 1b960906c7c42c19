"""index.html in a real browser: nothing is complained of, slider and zoom answer mouse and keyboard, light, dark and a phone."""

import re
import shutil
from collections.abc import Iterator

import pytest
from finished_run import render, write_run
from study_folder import NETWORKS, write_study

pytest.importorskip("vl_convert", reason="no vl-convert-python (pip install '.[pipeline]')")
driver = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install '.[browser]')")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip("no Chromium (apt-get install chromium)", allow_module_level=True)

pytestmark = pytest.mark.slow  # a browser is started

DRAWN = "scheme => document.documentElement.dataset.drawn === scheme"
SHOT = "#shot-worst"
MOST = 10_000_000  # bytes
PATIENCE = 300_000  # milliseconds, of a machine that has much else to do


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    write_run(folder / "runs")
    write_study(folder / "studies", "search-mine", NETWORKS)
    render(folder / "runs", folder / "reports", studies=folder / "studies")
    assert (folder / "reports/index.html").stat().st_size < MOST
    return (folder / "reports/index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["driver.Browser"]:
    with driver.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=BROWSER, args=flags)
        yield opened
        opened.close()


class Visit:
    """A page that has been opened, and all that the browser said."""

    def __init__(self, browser: "driver.Browser", address: str, **options: object) -> None:
        options = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"} | options
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self._ask(request.url))
        self.page.goto(address)
        if options.get("java_script_enabled", True):
            self.page.wait_for_function(DRAWN, arg=options["color_scheme"])

    def _ask(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.said.append(f"request: {url[:100]}")


@pytest.fixture(scope="module")
def visit(browser: "driver.Browser", address: str) -> Visit:
    return Visit(browser, address)


@pytest.fixture
def page(visit: Visit) -> Iterator["driver.Page"]:
    """The page as it is when it was opened, but for what a test undoes itself."""
    yield visit.page
    visit.page.locator(SHOT).get_by_role("button", name="Whole picture").click()
    assert visit.said == []


def transforms(page: "driver.Page") -> set[str]:
    """How the eight pictures of a test image lie: six panels and the two that are compared."""
    images = page.locator(f"{SHOT} .pane img")
    assert images.count() == 8
    return set(images.evaluate_all("images => images.map(image => image.style.transform)"))


def split(page: "driver.Page") -> float:
    """The share of the left picture that is seen, in percent."""
    clip = page.locator(f"{SHOT} .over").evaluate("layer => layer.style.clipPath")
    return 100 - float(re.search(r"0(?:px)? ([\d.]+)%", clip)[1])


def middle(page: "driver.Page", selector: str) -> tuple[float, float]:
    place = page.locator(selector).first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_every_chart_is_drawn_with_a_description_and_nothing_is_complained_of(page):
    plots = page.locator(".chart .plot")

    assert plots.count() == 14  # scores 2, images 1, search 2, choices 2, training 4, study 3
    assert page.locator(".chart .plot svg").count() == 14
    said = [plots.nth(number).get_attribute("aria-label") for number in range(14)]
    scores = [f"{protocol}: mean PSNR with its 95 % interval" for protocol in ("whole", "overlap")]
    assert said[:3] == [*scores, "whole: PSNR of every test image"]
    assert all(said) and len(set(said)) >= 11  # three charts of the search are called as those of the training


def test_the_slider_answers_the_keyboard(page):
    slider = page.get_by_role("slider", name=re.compile("Divider")).first
    slider.focus()
    slider.press("Home")
    assert split(page) == 0
    slider.press("ArrowRight")
    assert split(page) == 1
    slider.press("End")
    assert split(page) == 100


def test_the_divider_is_dragged_with_the_mouse_and_the_slider_follows(page):
    page.get_by_role("slider", name=re.compile("Divider")).first.fill("50")
    x, y = middle(page, f"{SHOT} .divider")
    width = page.locator(f"{SHOT} .compare .pane").bounding_box()["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width / 4, y, steps=4)
    page.mouse.up()
    page.mouse.move(x, y)

    assert split(page) == pytest.approx(75, abs=0.5)
    assert float(page.locator(f"{SHOT} input[type=range]").input_value()) == pytest.approx(75, abs=1)


def test_all_panels_are_zoomed_and_moved_together_with_the_keyboard(page):
    shot = page.locator(SHOT)
    shot.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    # 1.5 * 1.5 = 2.25 times around the middle: the left edge lies (2.25 - 1) / 2 = 62.5 % to the left.
    assert transforms(page) == {"translate(-62.5%, -62.5%) scale(2.25)"}
    assert shot.locator("output").inner_text() == "225 %"
    page.keyboard.press("ArrowLeft")  # by 15 % of a pane
    assert transforms(page) == {"translate(-47.5%, -62.5%) scale(2.25)"}
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert transforms(page) == {"translate(0%, 0%) scale(1)"}
    page.keyboard.press("ArrowDown")
    assert transforms(page) == {"translate(0%, 0%) scale(1)"}  # of a whole picture there is nothing beside


def test_all_panels_are_zoomed_and_moved_together_with_the_mouse(page):
    page.locator(SHOT).get_by_role("button", name="zoom in").click()
    assert transforms(page) == {"translate(-25%, -25%) scale(1.5)"}
    x, y = middle(page, f"{SHOT} .panels .pane")
    width = page.locator(f"{SHOT} .panels .pane").first.bounding_box()["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width / 10, y, steps=2)
    page.mouse.up()
    [moved] = transforms(page)
    assert float(re.search(r"translate\(([-\d.]+)%", moved)[1]) == pytest.approx(-15, abs=0.5)

    page.mouse.dblclick(x, y)
    [nearer] = transforms(page)
    assert nearer.endswith("scale(3)")


def test_other_pictures_can_be_compared(page):
    choice = page.locator(SHOT).get_by_label("Right picture", exact=True)
    before = page.locator(f"{SHOT} .under img").get_attribute("src")
    choice.select_option(label="clean")

    panel = page.locator(f"{SHOT} .panels [data-panel=clean]").get_attribute("src")
    assert page.locator(f"{SHOT} .under img").get_attribute("src") == panel != before
    choice.select_option(label="restored")


def test_a_classical_denoiser_s_picture_can_stand_beside_the_network_s(page):
    choice = page.locator(SHOT).get_by_label("Left picture", exact=True)
    assert choice.locator("option").all_inner_texts() == [
        "noisy", "total variation", "non-local means", "restored", "clean", "error",
    ]  # fmt: skip
    choice.select_option(label="total variation")
    panel = page.locator(f"{SHOT} .panels [data-panel=tv]").get_attribute("src")
    assert page.locator(f"{SHOT} .over img").get_attribute("src") == panel
    choice.select_option(label="noisy")


def test_other_test_images_are_shown_one_at_a_time_by_keyboard(page):
    items = page.locator(".gallery .item")
    choice = page.get_by_label("Test image", exact=True)
    assert items.count() == 2 and [item.is_visible() for item in items.all()] == [True, False]
    page.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    assert [item.is_visible() for item in items.all()] == [False, True]
    assert choice.input_value() == "1" and items.last.locator(".tools").count() == 1
    page.keyboard.press("Enter")  # behind the last comes the first
    assert [item.is_visible() for item in items.all()] == [True, False]
    choice.select_option(label="Place 3 of 2: test/g, 25.50 dB")
    assert items.last.is_visible()
    page.get_by_role("button", name="Previous").click()


def test_a_chart_s_numbers_are_a_table_that_the_keyboard_opens(page):
    summary = page.locator(".charts[data-charts=images] summary")
    summary.focus()
    page.keyboard.press("Enter")

    table = page.locator(".charts[data-charts=images] table")
    table.wait_for()
    assert table.locator("th").all_inner_texts()[:3] == ["rank", "image", "found network, dB"]
    assert table.locator("tbody tr").first.locator("td").all_inner_texts()[:3] == ["1", "test/f", "23.567"]
    page.keyboard.press("Enter")


def test_a_point_says_what_it_is_where_the_mouse_points(page):
    point = page.locator(".charts[data-charts=images] .mark-symbol.role-mark path").first
    point.scroll_into_view_if_needed()
    point.hover()

    tip = page.locator("#vg-tooltip-element")
    tip.wait_for()
    assert tip.locator("td.value").all_inner_texts() == ["test/f", "found network", "23.567"]
    page.mouse.move(0, 0)


def test_the_page_turns_dark_with_a_button_and_its_charts_with_it(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    words = "getComputedStyle(document.querySelector('.chart svg .role-title text')).fill"
    light = page.evaluate(ground), page.evaluate(words)
    page.get_by_role("button", name="Show the page dark").click()
    page.wait_for_function(DRAWN, arg="dark")
    assert page.evaluate(ground) == "rgb(21, 24, 28)"
    assert page.evaluate(words) != light[1]
    page.get_by_role("button", name="Show the page light").click()
    page.wait_for_function(DRAWN, arg="light")
    assert (page.evaluate(ground), page.evaluate(words)) == light


def test_a_phone_in_the_dark_shows_the_page_without_scrolling_sideways(browser, address):
    phone = Visit(browser, address, viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)

    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    widest = "Math.max(...[...document.querySelectorAll('.chart svg')].map(svg => svg.getBoundingClientRect().width))"
    assert 300 < phone.page.evaluate(widest) <= 390
    assert phone.said == []
    phone.context.close()


def test_a_browser_that_runs_no_script_shows_pictures_and_figures(browser, address):
    plain = Visit(browser, address, java_script_enabled=False)

    assert plain.page.locator(f"{SHOT} .panels img").count() == 6
    assert plain.page.locator(".gallery .item").last.is_visible()
    assert plain.page.locator("img.paper").count() >= 4
    assert plain.page.get_by_text("This browser runs no script").is_visible()
    assert not plain.page.get_by_role("button").count()
    plain.context.close()
