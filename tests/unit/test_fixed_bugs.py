"""The page of fixed bugs names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"`(tests/\S+?\.py)::(\w+)`", (ROOT / "docs/fixed-bugs.md").read_text())


def test_the_page_names_tests() -> None:
    assert NAMED


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_it_exists(file: str, test: str) -> None:
    assert re.search(rf"def {test}\(", (ROOT / file).read_text())
