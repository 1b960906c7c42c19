import io
from pathlib import Path

import numpy as np
from PIL import Image

from nasir.reporting.html import shots
from nasir.reporting.run.record import PANELS

MOST = 1_000_000  # bytes


def files(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.png" for name in PANELS}


def write(folder: Path, height: int, width: int) -> dict[str, np.ndarray]:
    """Noise in colour, which no PNG makes smaller; the clean one is flat but for its lower right corner."""
    generator = np.random.default_rng(0)
    pictures = {name: generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for name in PANELS}
    pictures["clean"][: height - 64] = 128
    pictures["clean"][:, : width - 64] = 128
    folder.mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    return pictures


def test_small_pictures_are_the_files_as_they_are(tmp_path):
    write(tmp_path / "worst", 80, 96)

    [shot] = shots.load([files(tmp_path / "worst")], MOST)

    assert (shot.width, shot.height, shot.is_detail) == (96, 80, False)
    assert all(shot.pictures[name] == (tmp_path / f"worst/{name}.png").read_bytes() for name in PANELS)


def test_pictures_that_are_too_many_bytes_are_cut_where_the_clean_one_has_most_detail(tmp_path):
    # Three noisy pictures of 128 x 128 x 3 bytes are 147 kB; of 192 x 192 they are 332 kB.
    pictures = write(tmp_path / "worst", 300, 400)

    [shot] = shots.load([files(tmp_path / "worst")], 200_000)

    assert (shot.width, shot.height, shot.is_detail) == (128, 128, True)
    for name, picture in pictures.items():
        with Image.open(io.BytesIO(shot.pictures[name])) as cut:
            found = np.asarray(cut.convert("RGB"))
        assert np.array_equal(found, picture[172:300, 272:400]), name


def test_where_not_even_small_squares_of_all_fit_the_first_ones_do(tmp_path):
    for name in "abc":
        write(tmp_path / name, 130, 130)
    folders = [files(tmp_path / name) for name in "abc"]

    assert len(shots.load(folders, 600_000)) == 3  # 150 kB each
    assert len(shots.load(folders, 400_000)) == 2
    assert len(shots.load(folders, 100)) == 1
    assert shots.load([], 100) == []


def test_a_picture_is_described_in_words_and_shown_without_a_file(tmp_path):
    write(tmp_path / "worst", 8, 12)
    [shot] = shots.load([files(tmp_path / "worst")], MOST)

    html = shots.to_html(shot, "worst", 'test/"a"', {name: f"{name}, 1 dB" for name in PANELS})

    assert html.count("<img ") == html.count('src="data:image/png;base64,') == 4
    assert 'alt="test/&quot;a&quot;: restored, 1 dB"' in html and "aspect-ratio: 12 / 8" in html
