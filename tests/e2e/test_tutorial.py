"""docs/tutorial.md, typed from its first command to its last: what is printed is what stands there.

The Korean document has the same commands and outputs (tests/unit/test_walkthrough.py).
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import ROOT, Terminal, eventually, take_down
from tests.support.walkthrough import Step, difference, steps

pytestmark = pytest.mark.root

DOCUMENT = ROOT / "docs" / "tutorial.md"
# A look may come too early for what it shows, and is repeated, as a reader would; all else is typed once.
LOOKS = ("kctl get", "kctl describe", "kctl logs", "kubelab service", "kubelab status", "kubelab flow", "curl", "for ")
# Where a pod or a role is, the document cannot say.
NODES_VARY = ("kctl get pods -o wide", "kubelab flow", "kubelab status", "kctl get lease", "kubelab node")
CURL = f"""#!{sys.executable}
import sys, urllib.request as r
print(r.build_opener(r.ProxyHandler({{}})).open(sys.argv[-1], timeout=10).read().decode(), end="")
"""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Terminal]:
    """A shell in a folder with the examples, in which no cluster has been started."""
    terminal = Terminal(tmp_path / "home", f"tutorial-{os.getpid()}", tmp_path / "reader")
    (terminal.folder / "examples").symlink_to(ROOT / "examples")
    if not shutil.which("curl"):
        curl = tmp_path / "bin" / "curl"
        curl.parent.mkdir()
        curl.write_text(CURL)
        curl.chmod(curl.stat().st_mode | stat.S_IXUSR)
        terminal.environment["PATH"] = f"{curl.parent}:{terminal.environment['PATH']}"
    try:
        yield terminal
    finally:
        take_down(terminal)


@pytest.mark.timeout(600)  # a hundred commands and two clusters: 50 s on a machine that is not busy
def test_every_command_prints_what_the_tutorial_says(reader: Terminal) -> None:
    for step in steps(DOCUMENT.read_text()):
        follow(reader, step)


def follow(reader: Terminal, step: Step) -> None:
    """Type a command, and compare."""

    def look() -> bool:
        typed = reader.type(f"({step.command}) 2>&1", code=None, deadline=180)
        vary = step.command.startswith(NODES_VARY)
        told = difference(step.output, typed.stdout, cluster=reader.cluster, nodes_vary=vary)
        assert not told, f"{DOCUMENT.name}:{step.line}: $ {step.command}\n{told}"
        return True

    if step.command.startswith(LOOKS):
        eventually(look, within=60)
    else:
        look()
