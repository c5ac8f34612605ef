"""Times and ages: as RFC 3339 and as kubectl writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import timestamps

MINUTE, HOUR, DAY = 60, 3600, 86400
MOMENTS = st.integers(0, 4_000_000_000)


@given(MOMENTS)
def test_what_is_written_reads_back(seconds: int) -> None:
    time = timestamps.to_time(seconds)
    assert timestamps.parse_time(timestamps.format_time(time)) == time
    assert timestamps.from_time(time) == seconds


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"),
        ("2024-05-01T12:00:00.999Z", "2024-05-01T12:00:00Z"),
    ],
)
def test_in_any_zone(text: str, read: str) -> None:
    assert timestamps.format_time(timestamps.parse_time(text)) == read


@pytest.mark.parametrize("text", ["", "now", "2024-05-01", "2024-05-01T12:00:00", "2024-13-01T12:00:00Z"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time as RFC 3339 writes it"):
        timestamps.parse_time(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (-0.5, "0s"),
        (0, "0s"),
        (25.9, "25s"),
        (2 * MINUTE - 1, "119s"),
        (2 * MINUTE, "2m"),
        (4 * MINUTE + 32, "4m32s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE + 5, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + MINUTE, "3h1m"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (27 * HOUR, "27h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + HOUR, "2d1h"),
        (8 * DAY + HOUR, "8d"),
        (2 * 365 * DAY - 1, "729d"),
        (2 * 365 * DAY, "2y"),
        (3 * 365 * DAY + 5 * DAY, "3y5d"),
        (8 * 365 * DAY + 5 * DAY, "8y"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert timestamps.human_duration(seconds) == text


@given(st.floats(0, 10 * 365 * DAY))
def test_every_age_is_short(seconds: float) -> None:
    assert len(timestamps.human_duration(seconds)) <= 6
