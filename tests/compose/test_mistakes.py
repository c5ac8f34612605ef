"""What a person gets wrong with Docker, and what they are told: exit code 1, the reason and what to type."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelab.client.kubeconfig import Kubeconfig
from tests.compose.project import Project, docker
from tests.e2e.terminal import ROOT, Terminal, eventually

OURS = Path(sys.executable).parent
FIND = f"kubelab compose kubeconfig --project-directory {ROOT}"


@pytest.fixture
def other(tag: str, tmp_path: Path) -> Iterator[Project]:
    """Another project of the same folder, of which nothing has been started."""
    project = Project(f"t{os.getpid()}x", tmp_path / "other", settings={"KUBELAB_TAG": tag})
    yield project
    project.down()


@pytest.fixture
def shell(tmp_path: Path) -> Terminal:
    """A shell that knows of no cluster."""
    return Terminal(tmp_path / "home", "compose", tmp_path)


def test_no_docker(shell: Terminal) -> None:
    assert 'error: the program "docker" is not installed' in shell.type(f"PATH={OURS} {FIND}", code=1).stderr


def test_no_daemon(shell: Terminal) -> None:
    refused = shell.type(f"DOCKER_HOST=unix:///nowhere.sock {FIND}", code=1).stderr
    assert "Cannot connect to the Docker daemon at unix:///nowhere.sock" in refused
    assert "set DOCKER_HOST" in refused


def test_a_docker_that_is_too_old(shell: Terminal, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho \'{"Version": "19.03.15", "Arch": "amd64"}\'\n')
    program.chmod(0o755)
    refused = shell.type(f"PATH={program.parent}:{OURS} {FIND}", code=1).stderr
    assert "error: Docker 19.03.15 is too old: kubelab needs 20.10 or newer" in refused


def test_a_folder_without_a_project(shell: Terminal, tmp_path: Path) -> None:
    refused = shell.type(f"kubelab compose kubeconfig --project-directory {tmp_path}", code=1).stderr
    assert f"no docker compose project of {tmp_path} is running" in refused
    assert f"docker compose --project-directory {tmp_path} up -d" in refused


def test_a_name_that_is_not_known(shell: Terminal) -> None:
    assert 'cluster "compose" not found' in shell.type("kubelab status", code=1).stderr
    assert 'no compose cluster "compose" is known' in shell.type("kubelab compose forget", code=1).stderr


def test_up_and_down_are_docker_composes(project: Project, terminal: Terminal) -> None:
    for command in ("up", "down", "down --delete"):
        refused = terminal.type(f"kubelab {command}", code=1).stderr
        assert 'cluster "compose" is made of containers, which docker compose starts and stops' in refused
        assert f"docker compose --project-directory {ROOT} up -d" in refused


def test_a_kubeconfig_that_is_out_of_date(project: Project, terminal: Terminal) -> None:
    path = project.folder / "home" / "kubeconfig"
    good = path.read_text()
    port = Kubeconfig.load(path).access().servers[0].rpartition(":")[2]
    path.write_text(good.replace(f"127.0.0.1:{port}", "127.0.0.1:1"))
    refused = terminal.type("kubelab service kubernetes", code=1).stderr
    assert 'context "compose" is out of date: it names 127.0.0.1:1' in refused
    assert "type: kubelab compose kubeconfig" in refused
    terminal.type(f"{FIND} --project {project.name}")
    assert path.read_text() == good


def test_a_port_that_is_taken(other: Project, shell: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other.settings["KUBELAB_API_PORT"] = str(port)
        told = other.compose("up", "-d", "--no-build", "api-server", code=None, deadline=120)
        assert told.returncode != 0
        refused = shell.type(f"{FIND} --project {other.name}", code=1).stderr
        assert f"127.0.0.1:{port}" in refused
        assert "If a port is taken, choose another: KUBELAB_API_PORT=" in refused


def test_volumes_of_another_version(other: Project, shell: Terminal) -> None:
    other.compose("up", "-d", "--no-build", "pki")
    eventually(lambda: "exited" in docker("inspect", "--format", "{{.State.Status}}", other.container("pki")))
    image = docker("inspect", "--format", "{{.Image}}", other.container("pki")).strip()
    stale = "echo '0 '$(uname -m)' v0.0.1' >/v/layout"
    docker("run", "--rm", "--user", "0", "-v", f"{other.name}_authority:/v", "--entrypoint", "sh", image, "-c", stale)
    other.compose("up", "-d", "--no-build", "pki")
    eventually(
        lambda: "exited 1" in docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", other.container("pki"))
    )
    refused = shell.type(f"{FIND} --project {other.name}", code=1).stderr
    assert "the certificates could not be made" in refused
    assert "laid out by kubelab v0.0.1" in refused


def test_a_tunnel_goes_in_by_a_node_that_answers(project: Project, terminal: Terminal) -> None:
    terminal.type("kctl create service nodeport late --tcp=80:8080")
    project.compose("pause", "node-1")
    try:
        assert terminal.url("late").startswith("http://127.0.0.1:")
    finally:
        project.compose("unpause", "node-1")
