"""CSV, JSON and lists of pictures between steps, drawn at random, whole and damaged."""

import csv
import io
import json
from pathlib import Path

import pytest
from drawn_inputs import TEXTS, VALUES, changed, damaged, read_or_refused, tried
from hypothesis import assume, given
from hypothesis import strategies as st

from nasir.data import manifest, split_lists
from nasir.data.manifest import Entry
from nasir.data.pictures import listing
from nasir.data.pictures.listing import Picture
from nasir.files import read_csv, read_json, to_float, to_int, write_csv, write_json
from nasir.reporting import history

PARTS = ("w", "a", "v", "test", "leaks")

ENTRIES = [
    Entry(path=f"{split}/{name}.png", split=split, bytes=9, sha256="0" * 64, width=4, height=5, mode="L")
    for split, name in (("train", "a"), ("train", "b"), ("test", "c"))
]

PICTURES = [
    Picture(
        name=entry.name, split=entry.split, group=entry.name, also_in="", clean=entry.path, degraded="", layout="files",
        width=4, height=5,
    )
    for entry in ENTRIES
]  # fmt: skip

CELLS = st.one_of(
    TEXTS, st.text(alphabet='",\n\r;\0 a', max_size=6), st.sampled_from(["1", "-1", "1e999", "nan", "９", "1_0"])
)
"""What may stand in a table, so that there is something to quote."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("drawn")


@st.composite
def tables(draw: st.DrawFn, whole: bytes) -> bytes:
    """A table with other cells, rows or bytes."""
    rows = list(csv.reader(io.StringIO(whole.decode())))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(draw(changed(rows, CELLS | st.lists(CELLS, max_size=4))))
    return draw(
        st.one_of(st.just(text.getvalue().encode(errors="surrogatepass")), damaged(whole), st.binary(max_size=40))
    )


@tried(150)
@given(data=st.data())
def test_rows_that_were_written_are_read_back_equal(place, data):
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.text(alphabet='",\n\r;\0 a', max_size=6)
    columns = data.draw(st.lists(texts.map("a{}".format), min_size=1, max_size=4, unique=True))
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, texts)), min_size=1, max_size=4))
    write_csv(place / "rows.csv", rows, columns)

    assert read_or_refused(lambda: read_csv(place / "rows.csv", columns)) == rows


@tried(100)
@given(number=st.floats() | st.integers())
def test_a_number_that_was_written_is_read_back_equal(place, number):
    write_csv(place / "numbers.csv", [{"a": number}], ["a"])
    [row] = read_csv(place / "numbers.csv")
    read = to_int if isinstance(number, int) else to_float

    assert repr(read_or_refused(lambda: read(row, "a", place / "numbers.csv"))) == repr(number)


@tried(150)
@given(data=st.data())
def test_any_manifest_is_read_or_refused_by_its_name(place, data):
    manifest.write(place / "manifest.csv", ENTRIES)
    (place / "manifest.csv").write_bytes(data.draw(tables((place / "manifest.csv").read_bytes())))

    found = read_or_refused(lambda: manifest.read(place / "manifest.csv"))

    if found is not None:
        manifest.write(place / "again.csv", found)
        assert manifest.read(place / "again.csv") == found
        assert all((place / entry.path).resolve().is_relative_to(place.resolve()) for entry in found)


@tried(150)
@given(data=st.data())
def test_any_list_of_pictures_is_read_or_refused(place, data):
    listing.write(place, PICTURES)
    (place / listing.FILE).write_bytes(data.draw(tables((place / listing.FILE).read_bytes())))

    found = read_or_refused(lambda: listing.read(place))

    if found is not None:
        (place / "again").mkdir(exist_ok=True)
        listing.write(place / "again", found)
        assert listing.read(place / "again") == found


@tried(150)
@given(data=st.data())
def test_any_history_is_read_or_refused_by_its_name(place, data):
    whole = b"step,metric,value\n1,train_loss,0.5\n2,train_loss,0.4\n2,psnr_db,27.5\n"
    (place / "history.csv").write_bytes(data.draw(tables(whole)))

    read_or_refused(lambda: history.read(place / "history.csv"), r"history\.csv")


@tried(150)
@given(data=st.data())
def test_any_split_is_lists_of_different_pictures_or_is_refused_by_its_name(place, data):
    whole = {"seed": 0, "exclude_leaks": True} | {part: [f"{part}/1", f"{part}/2"] for part in PARTS}
    value = data.draw(changed(whole, VALUES | st.lists(TEXTS, max_size=3)))
    text = json.dumps(value).encode()
    (place / "split.json").write_bytes(data.draw(st.one_of(st.just(text), damaged(text))))

    found = read_or_refused(lambda: split_lists.read(place / "split.json", PARTS), r"split\.json")

    if found is not None:
        assert list(found) == list(PARTS)
        assert all(len({*names}) == len(names) for names in found.values())


@tried(150)
@given(value=VALUES)
def test_a_value_that_was_written_is_read_back_equal(place, value):
    try:
        write_json(place / "value.json", value)
    except ValueError:
        assume(False)  # infinity and NaN, which JSON does not have

    assert repr(read_or_refused(lambda: read_json(place / "value.json"))) == repr(value)


@tried(150)
@given(text=st.one_of(VALUES.map(lambda value: json.dumps(value).encode()).flatmap(damaged), st.binary(max_size=40)))
def test_any_text_is_json_that_is_read_or_is_refused_by_its_name(place, text):
    (place / "text.json").write_bytes(text)

    read_or_refused(lambda: read_json(place / "text.json"), r"text\.json")
