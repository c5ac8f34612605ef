"""Tables: what one object does to its own row, it does not do to the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import PODS
from kubelab.apiserver.registry.tables import FAILED, Tables
from kubelab.apiserver.resources.core import pods
from kubelab.apiserver.resources.storage import Settings
from kubelab.client import runtimeerrors
from tests.support.clock import FakeClock


@pytest.fixture(autouse=True)
def lenient() -> Iterator[None]:
    """As a server runs, not as a test does."""
    runtimeerrors.set_strict(False)
    yield
    runtimeerrors.set_strict(True)


STORAGE = pods.storage(Settings())


def fails_on_b(obj: core_pb2.Pod, now: float) -> list[str]:
    if meta_of(obj).name == "b":
        raise ValueError("a quantity of 5,000 digits")
    return STORAGE.row(obj, now)


def pod(name: str) -> bytes:
    made = core_pb2.Pod()
    made.metadata.name = name
    return made.SerializeToString()


def test_a_row_that_cannot_be_printed_is_shown_as_such() -> None:
    before = runtimeerrors.counts().get("printing a row", 0)
    table = Tables({PODS: replace(STORAGE, row=fails_on_b)}, FakeClock()).make(
        PODS, [pod("a"), pod("b"), pod("c")], meta_pb2.TableOptions(), "1"
    )
    assert [row.cells[0] for row in table.rows] == ["a", "b", "c"]
    assert [set(row.cells[1:]) == {FAILED} for row in table.rows] == [False, True, False]
    assert len({len(row.cells) for row in table.rows}) == 1
    assert runtimeerrors.counts()["printing a row"] == before + 1
