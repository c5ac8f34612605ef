"""One cluster for all programs of other people, and the places where they keep their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import fetch, program
from tests.e2e.terminal import Terminal, take_down

# The versions of kubectl and helm; the nightly target names more of them.
VERSIONS = os.environ.get("KUBELAB_CLIENT_VERSIONS", "v35").split()
IMAGES = {
    "kubelab/sh:1": 'FROM host\nCMD ["sleep", "100000"]\nSTOPSIGNAL SIGKILL\n',
    "kubelab/web:1": 'FROM host\nCMD ["python3", "-m", "http.server", "8080"]\nSTOPSIGNAL SIGKILL\n',
}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A cluster of two nodes. Its kubeconfig is what every program reads; their caches are in a home of its own."""
    terminal = Terminal(
        tmp_path_factory.mktemp("home"),
        f"clients-{os.getpid()}",
        tmp_path_factory.mktemp("terminal"),
        roles={"cp-1": "control-plane", "node-1": "<none>"},
    )
    terminal.environment["HOME"] = str(terminal.home)
    try:
        terminal.type(f"kubelab up --name {terminal.cluster} --nodes 2", deadline=180)
        for image, dockerfile in IMAGES.items():
            terminal.type(f"kubelab image build -t {image} -f - .", stdin=dockerfile)
        yield terminal
    finally:
        take_down(terminal)


@pytest.fixture(scope="session", params=VERSIONS)
def tools(request: pytest.FixtureRequest, lab: Terminal) -> Terminal:
    """The same terminal, in which ``kubectl`` and ``helm`` are those of one version."""
    version: str = request.param
    fetch(version)
    found = program("kubectl", version)
    assert found is not None
    lab.environment["PATH"] = os.pathsep.join(
        [str(found.parent), *(p for p in lab.environment["PATH"].split(os.pathsep) if Path(p).parent.name != "clients")]
    )
    return lab
