"""What every test gets: an exception that a loop would only log and count fails the test that made it happen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubelab.client import bugs


@pytest.fixture(autouse=True)
def strict_bugs() -> Iterator[None]:
    bugs.set_strict(True)
    yield
    bugs.set_strict(False)
