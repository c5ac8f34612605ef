"""The table of conformance tests: every one is there once, and what is claimed is shown by something that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "conformance.md").read_text()
ROWS = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in PAGE.splitlines() if "[Conformance]" in line]


def test_every_test_has_a_status_and_a_reason() -> None:
    assert len({name for _, name, *_ in ROWS}) == len(ROWS) == 311
    assert {status for _, _, status, _ in ROWS} <= {"claimed", "failed", "left out"}
    assert [name for _, name, _, why in ROWS if not why] == []


def test_what_is_claimed_is_shown() -> None:
    shown = {why.strip("`") for _, _, status, why in ROWS if status == "claimed"}
    assert [path for path in sorted(shown) if not (ROOT / path).exists()] == []


def test_the_numbers_above_the_table_are_those_of_the_table() -> None:
    for status, word in (("claimed", "Claimed"), ("left out", "Left out")):
        count = sum(row[2] == status for row in ROWS)
        assert f"**{word}** ({count})" in PAGE
