"""Decimal numerals in files that others wrote."""

import time

import pytest

from pneumojax.numerals import decimal, probability


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.25", 0.25), ("1.", 1.0), (".5", 0.5), ("-1e-7", -1e-7), ("007", 7.0), ("1.5E+2", 150.0)],
)
def test_a_plain_decimal_numeral_is_read(text, value):
    assert decimal(text) == value


@pytest.mark.parametrize(
    "text", ["", ".", "0_1", "nan", " 1", "1 ", "٣", "1e", "1.2.3", "0x1", "--1"]
)
def test_any_other_text_is_refused(text):
    with pytest.raises(ValueError, match="is not a plain decimal number"):
        decimal(text)


def test_a_probability_beyond_its_range_is_refused():
    assert probability("1") == 1
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        probability("1.0000001")


def test_a_long_text_is_refused_in_time_that_grows_with_its_length_alone():
    text = "0" * 200_000 + "x"
    began = time.process_time()
    with pytest.raises(ValueError, match="is not a plain"):
        decimal(text)
    # Half a minute with a pattern that can match each digit in two ways; some milliseconds now.
    assert time.process_time() - began < 1
