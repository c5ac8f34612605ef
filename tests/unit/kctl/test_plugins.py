"""Plugins: programs on PATH that are commands of kctl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from kubelab.kctl import plugins
from tests.unit.kctl.conftest import Shell


def program(folder: Path, name: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


@pytest.fixture
def ran(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """PATH with plugins; what would have become of kctl is noted."""
    for name in ("kctl-foo", "kubectl-foo", "kubectl-foo-bar", "kubectl-a_b", "kctl-get"):
        program(tmp_path / "bin", name)
    shell.environ["PATH"] = f"{tmp_path / 'none'}:{tmp_path / 'bin'}"
    noted: list[Sequence[str]] = []

    def note(path: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        noted.append([Path(path).name, *argv[1:]])

    monkeypatch.setattr(plugins.os, "execve", note)
    return noted


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("foo", ["kctl-foo"]),
        ("foo bar baz", ["kubectl-foo-bar", "baz"]),
        ("foo baz --x", ["kctl-foo", "baz", "--x"]),
        ("foo --x bar", ["kctl-foo", "--x", "bar"]),
        ("a-b c", ["kubectl-a_b", "c"]),
    ],
)
def test_a_plugin_runs(shell: Shell, ran: list[Sequence[str]], line: str, expected: list[str]) -> None:
    shell(*line.split(" "))
    assert ran == [expected]


@pytest.mark.parametrize("line", ["get pods", "nope", "--help foo", "../bin/kctl-foo"])
def test_other_words_are_no_plugin(shell: Shell, ran: list[Sequence[str]], line: str) -> None:
    shell(*line.split(" "))
    assert ran == []


def test_list(shell: Shell, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shell.environ["PATH"] = f"{first}:{second}"
    assert shell("plugin", "list").stderr == "error: unable to find any kubectl plugins in your PATH\n"
    program(first, "kubectl-foo")
    listed = shell("plugin", "list")
    assert listed.stdout == f"The following compatible plugins are available:\n\n{first}/kubectl-foo\n"
    assert (listed.code, listed.stderr) == (0, "")
    program(second, "kubectl-foo")
    program(second, "kctl-version", 0o644)
    listed = shell("plugin", "list", "--name-only")
    assert listed.stdout.splitlines()[2:] == ["kubectl-foo", "kctl-version", "kubectl-foo"]
    assert listed.stderr.splitlines() == [
        '  - warning: kctl-version overwrites existing command: "kctl version"',
        f"  - warning: {second}/kctl-version identified as a kubectl plugin, but it is not executable",
        f"  - warning: {second}/kubectl-foo is overshadowed by a similarly named plugin: {first}/kubectl-foo",
        "error: 3 plugin warnings were found",
    ]
    assert listed.code == 1
