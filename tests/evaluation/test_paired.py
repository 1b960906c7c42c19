"""Two files of scores beside each other."""

import pytest

from nasir.evaluation.paired import read
from nasir.evaluation.statistics import mean_interval
from nasir.files import write_csv, write_text


def write(path, values, **more):
    """A file of scores: image -> PSNR, under further columns that are the same in every row."""
    rows = [more | {"name": name, "psnr_db": value} for name, value in values.items()]
    write_csv(path, rows, [*more, "name", "psnr_db"])
    return path


A = {"a": 30.0, "b": 28.0, "c": 25.0, "d": 20.0}
B = {"a": 29.0, "b": 28.0, "c": 25.5, "d": 19.5}


def test_wins_and_the_mean_difference_of_invented_scores(tmp_path):
    found = read((write(tmp_path / "a.csv", A), write(tmp_path / "b.csv", dict(reversed(B.items())))))

    # 1, 0, -0.5 and 0.5: mean 0.25; two wins, one loss, one tie
    assert found.comparison.difference == mean_interval([1.0, 0.0, -0.5, 0.5])
    assert found.comparison.difference.mean == pytest.approx(0.25)
    assert found.wins == (2, 1)
    assert found.ranked() == ["c", "b", "d", "a"]
    assert (found.measure, found.protocol, found.methods) == ("psnr_db", None, (None, None))


def test_of_several_protocols_and_methods_the_usual_ones_are_taken_or_those_asked_for(tmp_path):
    rows = [
        {"method": method, "protocol": protocol, "name": name, "psnr_db": value + shift}
        for method, shift in (("noisy", -10), ("nasir", 0))
        for protocol in ("overlap", "whole")
        for name, value in A.items()
    ]
    several = tmp_path / "several.csv"
    write_csv(several, rows, list(rows[0]))
    one = write(tmp_path / "one.csv", B, protocol="whole")

    usual = read((several, one))
    asked = read((several, several), protocol="overlap", methods=("nasir", "noisy"))

    assert (usual.protocol, usual.methods) == ("whole", ("nasir", None))
    assert usual.comparison.difference.mean == pytest.approx(0.25)
    assert asked.comparison.difference.mean == pytest.approx(10)
    with pytest.raises(
        ValueError, match=r"the protocol must be one of \['whole'\], which are in .*one.csv, got 'half'"
    ):
        read((one, one), protocol="half")
    with pytest.raises(
        ValueError, match=r"the method must be one of \['noisy', 'nasir'\].*got 'tv'; choose one of them"
    ):
        read((several, one), methods=("tv", None))
    with pytest.raises(ValueError, match=r"under one protocol, got 'half' in .*half.csv and 'whole' in .*one.csv"):
        read((write(tmp_path / "half.csv", A, protocol="half"), one))


def test_scores_of_folders_are_compared_on_rgb_where_all_are_in_colour_and_their_mean_is_no_image(tmp_path):
    def folder(name, shift, kind):
        rows = [
            {
                "name": image,
                "kind": kind,
                "psnr_rgb_db": value + shift if kind == "colour" else "",
                "psnr_grey_db": value,
            }
            for image, value in A.items()
        ]
        rows.append({"name": "mean", "kind": "mean", "psnr_rgb_db": "", "psnr_grey_db": 25.75})
        write_csv(tmp_path / name, rows, list(rows[0]))
        return tmp_path / name

    colour = read((folder("a.csv", 2, "colour"), folder("b.csv", 0, "colour")))
    grey = read((tmp_path / "a.csv", folder("g.csv", 0, "grey")))

    assert colour.measure == "psnr_rgb_db" and colour.comparison.difference.mean == pytest.approx(2)
    assert list(colour.scores) == list(A)
    assert grey.measure == "psnr_grey_db" and grey.comparison.difference.mean == 0


def test_images_that_one_file_lacks_are_named_up_to_five(tmp_path):
    more = A | {f"more{number}": 1.0 for number in range(7)}
    with pytest.raises(ValueError) as error:
        read((write(tmp_path / "a.csv", A | {"z": 1.0}), write(tmp_path / "b.csv", more)))
    assert str(error.value) == (
        f"both files must have scores of the same images, but {tmp_path}/a.csv lacks more0, more1, "
        f"more2, more3, more4 and 2 more; {tmp_path}/b.csv lacks z; score both on one set."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,psnr_db\na,1\n", r"must have a column 'name' and scores, got the columns \['image', 'psnr_db'\]"),
        ("name,psnr_db\na,1\na,2\n", "must have one row for each image, got two of 'a'"),
        ("name,psnr_db\na,1\nb\n", "row 3 of .*x.csv must have 2 values, as its header, got others"),
        ("name,psnr_db\na,1\nb,1,2\n", "row 3 of .*x.csv must have 2 values, as its header, got others"),
        ("name,psnr_db\na,1\nb,x\n", "psnr_db of b in .*x.csv must be a number, got 'x'"),
        ("name,psnr_db\na,1\nb,inf\n", "psnr_db of b in .*x.csv must be finite, got inf; equal images"),
        ("name,ssim\na,1\nb,1\n", r"the measure must be one of \['ssim'\].*got None; choose one"),
        ("name,psnr_db\na,1\n", "an interval needs at least two values, got 1"),
        ("name,psnr_db\n", "must hold at least one row"),
    ],
)
def test_what_is_no_table_of_scores_is_refused_by_name(tmp_path, text, message):
    write_text(tmp_path / "x.csv", text)
    with pytest.raises(ValueError, match=message):
        read((tmp_path / "x.csv", tmp_path / "x.csv"))


def test_a_measure_that_is_not_there_is_refused_with_the_known_ones(tmp_path):
    path = write(tmp_path / "a.csv", A)
    assert read((path, path), measure="psnr_db").comparison.wilcoxon_p == 1
    with pytest.raises(ValueError, match=r"the measure must be one of \['psnr_db'\], which .*got 'ssim'"):
        read((path, path), measure="ssim")


def test_a_picture_is_no_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(ValueError, match=r"a.csv must be a CSV file of UTF-8 text, got 'utf-8' codec"):
        read((tmp_path / "a.csv", tmp_path / "a.csv"))
