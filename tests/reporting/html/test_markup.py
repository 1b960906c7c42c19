from nasir.reporting.html import markup


def to_html(text: str, **places: str) -> str:
    figures = {f"figures/{name}.png": lambda alt, place=place: place.format(alt=alt) for name, place in places.items()}
    return markup.to_html(text, "Scores", figures, {"figures/a.svg": "data:image/svg+xml;base64,AA=="})


def test_a_table_can_be_scrolled_with_the_keyboard_and_says_what_it_is_of():
    html = to_html("| a | b |\n| --- | ---: |\n| x | 1 |")

    assert html.startswith('<div class="scroll" role="region" tabindex="0" aria-label="Scores, table"><table>')
    assert html.endswith("</table></div>") and '<td style="text-align:right">1</td>' in html


def test_what_a_file_is_called_is_no_mark_of_the_page():
    html = to_html("<script>alert(1)</script>\n\n`<b>` and <img src=x onerror=alert(1)>\n\n| a |\n| --- |\n| <i>x |")

    for mark in ("<script", "<b>", "<img", "<i>"):
        assert mark not in html
    assert "&lt;script&gt;" in html and "&lt;img src=x" in html


def test_what_the_report_folds_away_stays_folded():
    text = "<details><summary>3 pairs</summary>\n\n| a |\n| --- |\n| 1 |\n\n</details>"

    html = to_html(text)

    assert html.startswith("<details><summary>3 pairs</summary>") and html.rstrip().endswith("</details>")


def test_a_fold_with_a_mark_in_its_words_is_text():
    assert "<details" not in to_html("<details><summary>a <b>x</b></summary>")


def test_an_image_alone_gives_way_to_what_stands_in_its_place_and_another_is_left_out():
    html = to_html(
        "![loss *and* PSNR](figures/search.png)\n\ntext\n\n![x](figures/other.png)", search="<hr title='{alt}'>"
    )

    assert html.count("<hr") == 1 and "title='loss *and* PSNR'" in html
    assert "<img" not in html and "other" not in html and "<p>text</p>" in html


def test_a_link_within_the_page_stays_one_to_a_file_downloads_it_and_of_others_the_text_remains():
    html = to_html("[checks](#checks), [SVG](figures/a.svg), [DATASETS.md](../DATASETS.md), [far](https://example.org)")

    assert '<a href="#checks">checks</a>' in html
    assert '<a href="data:image/svg+xml;base64,AA==" download="a.svg">SVG</a>' in html
    assert html.count("<a ") == 2 and "DATASETS.md" in html and "far" in html and "example.org" not in html


def test_a_heading_can_be_linked_as_on_a_code_host():
    assert to_html("### Published values") == '<h3 id="published-values">Published values</h3>\n'
    assert markup.slug("Worst: `test/a`") == "worst-testa"
