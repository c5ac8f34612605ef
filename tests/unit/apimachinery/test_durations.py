"""Go's durations, and what only looks like one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import durations
from kubelab.apimachinery.durations import DurationError


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5s", 5 * 10**9),
        ("2m", 120 * 10**9),
        ("1h2m3.5s", 3723_500_000_000),
        ("100ms", 10**8),
        ("-3s", -3 * 10**9),
        ("+3s", 3 * 10**9),
        (".5s", 5 * 10**8),
        ("1.s", 10**9),
        ("1µs", 1000),
        ("1μs", 1000),
        ("1us1ns", 1001),
        ("0.1ns", 0),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert durations.parse_nanoseconds(text) == nanoseconds
    assert durations.parse(text) == nanoseconds / 1e9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("1x", 'time: unknown unit "x" in duration "1x"'),
        ("1 s", 'time: unknown unit " s" in duration "1 s"'),
        ("--3s", 'time: invalid duration "--3s"'),
        ("1..5s", 'time: missing unit in duration "1..5s"'),
        ("\u0663s", 'time: invalid duration "\u0663s"'),
        ("nan", 'time: invalid duration "nan"'),
        ("1_0s", 'time: unknown unit "_" in duration "1_0s"'),
        ("9999999999999999999h", 'time: invalid duration "9999999999999999999h"'),
        ("1" * 100 + "s", f'time: invalid duration "{"1" * 64}..."'),
    ],
)
def test_what_is_none(text: str, message: str) -> None:
    with pytest.raises(DurationError) as told:
        durations.parse(text)
    assert str(told.value) == message


@pytest.mark.parametrize(("text", "seconds"), [("2", 2), ("0.5", 0.5), ("-4", -4), ("1m30s", 90), ("500ms", 0.5)])
def test_configurations_may_leave_the_unit_out(text: str, seconds: float) -> None:
    assert durations.parse_or_seconds(text) == seconds


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "5_0", "1e3", "", " 1", "0x10", "\u0661"])
def test_configurations_take_no_other_numbers(text: str) -> None:
    with pytest.raises(DurationError):
        durations.parse_or_seconds(text)


@given(st.lists(st.tuples(st.integers(0, 9999), st.sampled_from(["ns", "us", "ms", "s", "m", "h"])), min_size=1))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    units = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    if len(text) <= 64:
        assert durations.parse_nanoseconds(text) == sum(Fraction(number) * units[unit] for number, unit in parts)


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3661, "1h1m1s")])
def test_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert durations.format_seconds(seconds) == text
