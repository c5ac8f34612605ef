"""Quantities: exact, in canonical form, rounded as upstream rounds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import quantity

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-2", "e+1"]
NUMBERS = st.from_regex(r"[+-]?([0-9]{1,6}(\.[0-9]{0,4})?|\.[0-9]{1,4})", fullmatch=True)
QUANTITIES = st.builds(str.__add__, NUMBERS, st.sampled_from(SUFFIXES))


@given(QUANTITIES)
def test_the_canonical_form_keeps_the_amount(text: str) -> None:
    form = quantity.canonical(text)
    assert quantity.parse(form) == quantity.parse(text)
    assert quantity.canonical(form) == form
    assert "." not in form
    assert not form.startswith("+")


@given(QUANTITIES)
def test_what_is_stored_is_no_less_and_no_finer_than_thousandths(text: str) -> None:
    exact, kept = quantity.parse(text), quantity.parse(quantity.stored(text))
    assert (kept * 1000).denominator == 1
    assert 0 <= abs(kept) - abs(exact) < Fraction(1, 1000)
    assert quantity.stored(quantity.stored(text)) == quantity.stored(text)


@given(QUANTITIES)
def test_values_round_away_from_zero(text: str) -> None:
    exact = quantity.parse(text)
    assert 0 <= abs(quantity.value(text)) - abs(exact) < 1
    assert 0 <= abs(quantity.milli_value(text)) - min(abs(exact * 1000), quantity.MAX) < 1


@given(QUANTITIES, QUANTITIES)
def test_order_and_sums(one: str, other: str) -> None:
    left, right = quantity.parse(one), quantity.parse(other)
    assert quantity.compare(one, other) == (left > right) - (left < right) == -quantity.compare(other, one)
    assert quantity.parse(quantity.add(one, other)) == max(-quantity.MAX, min(left + right, quantity.MAX))


@given(st.text(alphabet="0123456789.+-eEinumkKMGTP ", max_size=8))
def test_every_text_is_read_or_refused(text: str) -> None:
    told = ""
    try:
        exact = quantity.parse(text)
    except quantity.QuantityError as err:
        told = str(err)
    else:
        assert quantity.parse(quantity.canonical(text)) == exact
    assert told in ("", quantity.FORMAT_MESSAGE, quantity.NUMERIC_MESSAGE, quantity.SUFFIX_MESSAGE)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "0"),
        ("0", "0"),
        ("-0Mi", "0"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1024Mi", "1Gi"),
        ("1023Mi", "1023Mi"),
        ("0.5Ki", "512"),
        ("1500m", "1500m"),
        ("1000m", "1"),
        ("+1", "1"),
        ("1000000", "1M"),
        ("1e3", "1e3"),
        ("12e4", "120e3"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-1500m", "-1500m"),
        ("8Ei", "9223372036854775807"),
        ("100E", "9223372036854775807"),
        ("1e999", "9223372036854775807"),
        ("-1e999", "-9223372036854775807"),
    ],
)
def test_canonical_forms(text: str, form: str) -> None:
    assert quantity.canonical(text) == form


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("much", "FORMAT"),
        (" 1", "FORMAT"),
        ("1 Gi", "FORMAT"),
        ("1KB", "FORMAT"),
        ("--1", "FORMAT"),
        ("1.2.3", "NUMERIC"),
        (".", "NUMERIC"),
        ("1ki", "SUFFIX"),
        ("1e", "SUFFIX"),
        ("1mm", "SUFFIX"),
        ("1e9999", "SUFFIX"),
        ("9" * 257, "NUMERIC"),
        ("9" * 5000, "NUMERIC"),
        ("0." + "9" * 5000, "NUMERIC"),
        ("much" * 5000, "NUMERIC"),
    ],
)
def test_what_is_none(text: str, told: str) -> None:
    with pytest.raises(quantity.QuantityError) as caught:
        quantity.parse(text)
    assert str(caught.value) == getattr(quantity, f"{told}_MESSAGE")
