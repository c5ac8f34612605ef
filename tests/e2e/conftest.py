"""A whole cluster for each module, and the tutorial's files to type about."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import OWN_FILES, SHARED_FILES, Terminal, Tutorial, take_down


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def terminal(
    request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal]:
    """A cluster that only this module uses, of three nodes or as its ``UP`` says; gone without a trace at the end."""
    name = "t" + re.sub(r"[^a-z0-9]+", "-", request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_").lower())
    terminal = Terminal(home, f"{name[:20]}-{os.getpid()}", tmp_path_factory.mktemp("terminal"))
    try:
        options = getattr(request.module, "UP", "")
        terminal.type(f"kubelab up --name {terminal.cluster} {options}", deadline=180)
        yield terminal
    finally:
        take_down(terminal)


@pytest.fixture(scope="module", params=["own", "shared"])
def tutorial(request: pytest.FixtureRequest, terminal: Terminal) -> Tutorial:
    """The chapter's files: the project's own, and the tutorial's where they are there (they need Node).

    The tutorial's app takes no notice of SIGTERM, so that each of its pods is killed when its thirty seconds are over.
    A module that has seen that often enough gives the image another ``STOP_SIGNAL``.
    """
    files = OWN_FILES
    if request.param == "shared":
        files = SHARED_FILES
        if not files.is_dir():
            pytest.skip("the tutorial's own files are not beside this checkout")
        if not shutil.which("node", path="/usr/bin:/bin"):
            pytest.skip("the tutorial's app needs /usr/bin/node")
    assets = terminal.folder / "assets"
    assets.unlink(missing_ok=True)
    assets.symlink_to(files)
    own_cluster = request.param == "own"
    tutorial = Tutorial(
        terminal,
        image="kubelab/hello:v-1.0.0" if own_cluster else "kim0lil/80700:v-1.0.0",
        base="" if own_cluster else "node=host",
    )
    tutorial.build(stop_signal=getattr(request.module, "STOP_SIGNAL", ""))
    return tutorial
