"""Keyed noise is a function of its key, bit for bit; training noise of its generator."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from nasir.data import noise
from nasir.data.noise import add_keyed_noise, add_noise, digest, field
from nasir.data.pictures.images import load_grey
from nasir.evaluation.metrics import psnr

ROOT = Path(__file__).resolve().parents[2]
DATASETS = Path(os.environ.get("NASIR_TEST_DATASETS", ROOT.parent / "shared" / "datasets"))


def draw_digest(name: str) -> str:
    return hashlib.sha256(field((1, 40, 50), name, 50, 0).tobytes()).hexdigest()


NAMES = [f"test/{number}" for number in range(8)]


def test_key_is_the_first_half_of_the_sha256_of_a_json_list():
    key = hashlib.sha256(b'["test/100007", "50", 0, null]').digest()[:16]
    words = np.frombuffer(key, dtype="<u8")  # Philox takes its key as two 64-bit words, the low one first
    expected = np.random.Generator(np.random.Philox(key=words)).standard_normal((1, 5, 7))

    drawn = field((1, 5, 7), "test/100007", 50, 0)

    assert drawn.dtype == np.float32
    assert np.array_equal(drawn, expected.astype(np.float32))


def test_philox_gives_the_raw_bits_that_its_authors_publish():
    # Random123's known answers for philox4x64-10 with counter 0 and key 0. NumPy counts up before its first block.
    generator = np.random.Philox(key=0, counter=2**256 - 1)

    assert [hex(word) for word in generator.random_raw(4)] == [
        "0x16554d9eca36314c",
        "0xdb20fe9d672d0fdc",
        "0xd7e772cee186176b",
        "0x7e68b68aec7ba23b",
    ]


def test_equal_sigmas_of_different_types_share_a_key():
    assert np.array_equal(field((4, 4), "a", 50, 0), field((4, 4), "a", 50.0, 0))


@pytest.mark.parametrize(
    "other",
    [("b", 50, 0, None), ("a", 30, 0, None), ("a", 50, 1, None), ("a", 50, 0, 0), ("a", 50, 0, 1), ('a", "50', 50, 0)],
)
def test_every_part_of_the_key_changes_the_field(other):
    first, second = field((64, 64), "a", 50, 0), field((64, 64), *other)

    # independent fields: correlation 0 with standard error 1 / 64
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / 64


def test_field_is_the_same_bit_for_bit_in_threads_and_in_any_order():
    expected = [draw_digest(name) for name in NAMES]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(draw_digest, NAMES)) == expected
    assert [draw_digest(name) for name in reversed(NAMES)] == expected[::-1]


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_large_image_is_drawn_and_added_to_piece_by_piece_with_the_same_bits(monkeypatch, piece):
    clean = torch.linspace(0, 1, 3 * 11 * 7).reshape(3, 7, 11).transpose(1, 2)  # in memory the other way round
    whole = add_keyed_noise(clean, "a", 50, 0)

    monkeypatch.setattr(noise, "PIECE", piece)

    assert torch.equal(add_keyed_noise(clean, "a", 50, 0), whole)


def test_field_is_the_same_bit_for_bit_in_worker_processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as workers:
        assert list(workers.map(draw_digest, NAMES)) == [draw_digest(name) for name in NAMES]


def test_noisy_image_is_the_same_bit_for_bit_in_a_fresh_process_with_other_threads():
    clean = (torch.arange(3 * 32 * 48).reshape(3, 32, 48) % 256).float() / 255
    code = (
        "import torch; torch.set_num_threads(2); from nasir.data.noise import add_keyed_noise, digest; "
        "clean = (torch.arange(3 * 32 * 48).reshape(3, 32, 48) % 256).float() / 255; "
        "print(digest(add_keyed_noise(clean, 'test/é', 50.0, 7, patch=3)))"
    )

    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == digest(add_keyed_noise(clean, "test/é", 50, 7, patch=3))


def test_field_has_the_moments_of_a_standard_normal():
    n = field((1000, 1000), "moments", 50, 0).astype(np.float64)

    # standard errors for a million draws: 1/1000 of the mean, 1/1414 of the deviation, sqrt(15)/1000 of the third
    # moment, sqrt(96)/1000 of the fourth
    assert abs(n.mean()) < 4 / 1000
    assert abs(n.std() - 1) < 4 / 1414
    assert abs((n**3).mean()) < 4 * np.sqrt(15) / 1000
    assert abs((n**4).mean() - 3) < 4 * np.sqrt(96) / 1000
    assert abs((n[:, 1:] * n[:, :-1]).mean()) < 4 / 1000  # neighbours are independent


def test_keyed_noise_is_clean_plus_sigma_over_255_times_the_field():
    clean = torch.full((1, 2, 2), 0.25)
    n = field((1, 2, 2), "a", 51, 0)

    noisy = add_keyed_noise(clean, "a", 51, 0)  # 51 / 255 = 0.2

    assert noisy.dtype == torch.float32
    assert noisy.numpy() == pytest.approx(0.25 + 0.2 * n, abs=1e-7)


def test_keyed_noise_is_neither_clipped_nor_quantised():
    noisy = add_keyed_noise(torch.zeros(1, 64, 64), "a", 50, 0)

    assert noisy.min() < -0.4
    assert (noisy < 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert len(noisy.unique()) > 4000


def test_sigma_zero_changes_nothing():
    clean = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    assert torch.equal(add_keyed_noise(clean[0], "a", 0, 0), clean[0])
    assert torch.equal(add_noise(clean, 0, torch.Generator().manual_seed(1)), clean)


def test_training_noise_has_each_image_own_sigma():
    clean = torch.full((3, 1, 200, 200), 0.5, dtype=torch.float64)

    noisy = add_noise(clean, torch.tensor([0.0, 30.0, 70.0]), torch.Generator().manual_seed(0))

    # the deviation of 40,000 draws has a relative standard error of 1 / sqrt(80,000)
    measured = (noisy - clean).std(dim=(1, 2, 3)) * 255
    assert measured.tolist() == pytest.approx([0, 30, 70], rel=4 / np.sqrt(80_000))


def test_training_noise_comes_from_its_generator_alone():
    clean = torch.full((2, 1, 8, 8), 0.5)
    add = partial(add_noise, clean, 50.0)
    state = torch.random.get_rng_state()

    first, again = add(torch.Generator().manual_seed(3)), add(torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)

    assert torch.equal(first, again)
    assert torch.equal(first, add(generator))
    assert not torch.equal(first, add(generator))
    assert torch.equal(state, torch.random.get_rng_state())


def test_digest_is_of_little_endian_float32_row_by_row():
    image = torch.tensor([[[0.0, 1.0], [-2.0, 0.5]]])
    expected = bytes.fromhex("000000000000803f000000c00000003f")

    assert digest(image) == hashlib.sha256(expected).hexdigest()
    assert digest(image.transpose(1, 2).contiguous().transpose(1, 2)) == digest(image)


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        (torch.full((1, 2, 2), 200.0), r"clean must lie in \[0, 1\], got values from 200 to 200; divide 8-bit images"),
        (torch.full((1, 2, 2), -0.1), r"clean must lie in \[0, 1\], got values from -0.1"),
        (torch.full((1, 2, 2), float("nan")), r"clean must lie in \[0, 1\], got values from nan"),
        (torch.zeros((1, 2, 2), dtype=torch.uint8), "clean must hold floats .* got torch.uint8; convert it"),
    ],
)
def test_clean_images_off_the_scale_are_refused(clean, message):
    with pytest.raises(ValueError, match=message):
        add_keyed_noise(clean, "a", 50, 0)
    with pytest.raises(ValueError, match=message):
        add_noise(clean[None], 50, torch.Generator())


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_impossible_sigma_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be 0 or more, in 8-bit grey levels"):
        field((2, 2), "a", sigma, 0)
    with pytest.raises(ValueError, match="sigma must be 0 or more, in 8-bit grey levels"):
        add_noise(torch.zeros(1, 1, 2, 2), sigma, torch.Generator())


def test_one_sigma_for_each_image_or_one_for_all():
    with pytest.raises(ValueError, match=r"sigma must be one number or have shape \(2,\).* got \(3,\)"):
        add_noise(torch.zeros(2, 1, 4, 4), torch.tensor([1.0, 2.0, 3.0]), torch.Generator())


def test_noisy_bsds500_test_images_score_14_90_db_once_clipped():
    paths = sorted((DATASETS / "bsds500" / "images" / "test").glob("*.jpg"))
    if len(paths) != 200:
        pytest.skip(f"needs the 200 test images of BSDS500 under {DATASETS}; set NASIR_TEST_DATASETS")
    scores = []
    for path in paths:
        clean = torch.from_numpy(load_grey(path)).float()[None] / 255
        noisy = add_keyed_noise(clean, f"test/{path.stem}", 50, 0)
        scores.append(psnr(noisy.clamp(0, 1)[None], clean[None]).item())

    assert np.mean(scores) == pytest.approx(14.90, abs=0.02)
