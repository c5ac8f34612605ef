"""Rules of the house that no linter knows: they are read off the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((*(ROOT / "clients").rglob("*.py"), *(ROOT / "services").rglob("*.py")))
CLOCK = ROOT / "clients/kubelab/apimachinery/clock.py"

# Calls that read the machine's time or wait by it. Whoever needs one is given a Clock.
TIME = {"time.time", "time.monotonic", "time.sleep", "asyncio.sleep", "datetime.now", "datetime.datetime.now"}


def calls(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_packages_span_folders_so_none_has_an_init_file() -> None:
    assert names([path for path in SOURCES if path.name == "__init__.py"]) == []


def test_time_comes_from_the_clock() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in SOURCES
        if path != CLOCK
        for line, name, call in calls(path)
        if name in TIME and not (name == "asyncio.sleep" and ast.unparse(call.args[0]) == "0")
    ]
    assert found == []


def test_every_task_has_an_owner() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line, name, _ in calls(path)
        if name == "asyncio.create_task"
    ]
    assert found == []


def test_errors_are_told_apart_by_type_and_never_by_their_text() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.In) for op in node.ops)
        if "str(err)" in ast.unparse(node) or "str(error)" in ast.unparse(node)
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["unit", "integration", "e2e"])
def test_tests_wait_for_conditions(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in (ROOT / "tests" / folder).rglob("*.py")
        for line, name, call in calls(path)
        if name in ("time.sleep", "asyncio.sleep") and (not call.args or ast.unparse(call.args[0]) != "0")
    ]
    assert found == []
