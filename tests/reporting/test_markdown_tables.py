import math

import pytest

from nasir.reporting.tables import fact, number, psnr, ssim, table


def test_psnr_has_two_decimals_and_ssim_four():
    assert psnr(26.7749) == "26.77"
    assert ssim(0.76354) == "0.7635"
    assert number(12345.678, 1) == "12,345.7"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="finite numbers only"):
        number(value, 2)
    with pytest.raises(ValueError, match="finite numbers only"):
        fact(float(value))


def test_a_table_aligns_numbers_and_keeps_bars_and_lines_inside_cells():
    assert table(("name", "dB"), [("a|b", "1.00"), ("two\nlines", "2.00")], numbers=("dB",)) == "\n".join(
        ["| name | dB |", "| --- | ---: |", "| a\\|b | 1.00 |", "| two lines | 2.00 |"]
    )


def test_facts_are_written_for_a_reader():
    assert fact(True) == "yes"
    assert fact(1234567) == "1,234,567"
    assert fact(0.123456) == "0.1235"
    assert fact([1, 1.5, 2]) == "1, 1.5, 2"
    assert fact({"psnr_db": 22.5, "sigmas": [30, 50]}) == "psnr_db 22.5, sigmas 30, 50"
    assert fact(None) == "none"
    assert fact("irnas") == "irnas"
