"""The client library for Node.js, doing what its README shows: read, write, watch, informers, scale, logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import FOLDER
from tests.e2e.terminal import Terminal

SCRIPT = Path(__file__).parent / "node" / "operations.mjs"
LIBRARY = FOLDER / "node" / "node_modules" / "@kubernetes" / "client-node" / "dist" / "index.js"
NAMESPACE = "nodejs"
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here"),
    pytest.mark.skipif(not LIBRARY.exists(), reason="make test installs @kubernetes/client-node where npm is there"),
]


@pytest.fixture(scope="module")
def seen(lab: Terminal) -> Iterator[dict[str, Any]]:
    lab.type(f"kctl create namespace {NAMESPACE}")
    try:
        yield json.loads(lab.type(f"node {SCRIPT} {LIBRARY} {NAMESPACE}", deadline=120).stdout)
    finally:
        lab.type(f"kctl delete namespace {NAMESPACE} --wait=false")


def test_objects_and_pages(seen: dict[str, Any]) -> None:
    assert seen["pages"] == [["a"], ["b"]]
    assert seen["patched"] == {"x": "1", "y": "2"}


def test_errors_have_their_codes_and_reasons(seen: dict[str, Any]) -> None:
    assert seen["errors"] == [[404, "NotFound"], [409, "AlreadyExists"], [409, "Conflict"], [422, "Invalid"]]


def test_objects_of_any_kind_are_applied_and_listed(seen: dict[str, Any]) -> None:
    assert seen["applied"] == [["by-node", "Apply"]]
    assert seen["listed"] == ["a", "applied", "b"]


def test_an_informer_follows(seen: dict[str, Any]) -> None:
    assert seen["events"] == [["add", "b"], ["update", "b"], ["delete", "b"]]


def test_workloads_and_logs(seen: dict[str, Any]) -> None:
    assert (seen["available"], seen["scaled"]) == (1, 2)
    assert seen["log"] == "hello\n"
