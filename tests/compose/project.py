"""A docker compose project for tests: names, a network and ports of its own, and nothing left of it at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubelab.cluster.hostroutes import links_to
from kubelab.topology.record import free_ports
from tests.e2e.terminal import ROOT, Terminal, eventually

ROLES = {"node-1": "<none>", "node-2": "<none>", "node-3": "<none>"}
LABEL = "com.docker.compose.project"
UP_SECONDS, DOWN_SECONDS = 300.0, 120.0


def docker(*arguments: str, code: int | None = 0, deadline: float = 120.0, stdin: bytes | None = None) -> str:
    """Run the docker CLI; gives what it printed on stdout."""
    done = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, timeout=deadline, check=False, env=os.environ
    )
    assert code is None or done.returncode == code, f"docker {' '.join(arguments)}: {done.stderr.decode()}"
    return done.stdout.decode()


def free_network() -> str:
    """The first three numbers of a /24 that neither a docker network nor an interface of this machine has."""
    ids = docker("network", "ls", "--quiet").split()
    networks = json.loads(docker("network", "inspect", *ids)) if ids else []
    taken = {config.get("Subnet", "") for network in networks for config in network["IPAM"].get("Config") or []}
    candidates = (f"192.168.{n}" for n in range(60, 250))
    return next(first for first in candidates if f"{first}.0/24" not in taken and not links_to(f"{first}.1"))


def compose_command() -> list[str]:
    """``docker compose``, or ``docker-compose`` where that is what there is."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


@dataclass
class Project:
    """One project, from the ``docker-compose.yml`` of this checkout. ``settings`` are its environment."""

    name: str
    folder: Path
    network: str = field(default_factory=free_network)
    settings: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        api, ha, https, ha_https = free_ports(4)  # docker would give others at every start
        self.settings = {
            "COMPOSE_PROJECT_NAME": self.name,
            "KUBELAB_NETWORK": self.network,
            "KUBELAB_API_PORT": str(api),
            "KUBELAB_HA_PORT": str(ha),
            "KUBELAB_HTTPS_PORT": str(https),
            "KUBELAB_HA_HTTPS_PORT": str(ha_https),
            **self.settings,
        }

    def compose(
        self, *arguments: str, code: int | None = 0, deadline: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Type ``docker compose`` in the checkout's folder."""
        done = subprocess.run(
            [*compose_command(), *arguments],
            cwd=ROOT,
            env={**os.environ, **self.settings},
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
        output = f"compose {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        assert code is None or done.returncode == code, output
        return done

    def up(self, *options: str) -> None:
        self.compose(*options, "up", "-d", "--no-build", deadline=UP_SECONDS)

    def down(self, *options: str) -> None:
        self.compose(*options, "down", "--volumes", "--remove-orphans", "--timeout", "5", deadline=DOWN_SECONDS)
        self.assert_nothing_left()

    def containers(self) -> list[dict[str, Any]]:
        """``docker inspect`` of every container."""
        ids = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.name}").split()
        return json.loads(docker("inspect", *ids)) if ids else []

    def container(self, service: str) -> str:
        """The id of a service's container."""
        container = next(c for c in self.containers() if c["Config"]["Labels"]["com.docker.compose.service"] == service)
        return str(container["Id"])

    def assert_nothing_left(self) -> None:
        """No container, volume or network is there any more."""
        label = f"label={LABEL}={self.name}"
        remaining = [
            docker(*words, "--quiet", "--filter", label)
            for words in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        ]
        assert remaining == ["", "", ""]

    def terminal(self, folder: Path, name: str = "compose") -> Terminal:
        """A shell in which kctl and kubelab mean this project, once it is up."""
        terminal = Terminal(self.folder / "home", name, folder, roles=ROLES, network=self.network)
        terminal.environment |= self.settings
        self.introduce(terminal)
        return terminal

    def introduce(self, terminal: Terminal) -> None:
        """Tell a shell's kctl and kubelab of this project."""
        which = f"--project-directory {ROOT} --project {self.name} --name {terminal.cluster}"
        terminal.type(f"kubelab compose kubeconfig {which} --timeout 90")  # it is to say what is wrong before we do


def all_ready(terminal: Terminal, *, nodes: Sequence[str] = tuple(ROLES)) -> None:
    """Wait until every process is well and every node Ready."""

    def well() -> bool:
        status = terminal.type("kubelab status", code=None)
        rows = terminal.type("kctl get nodes --no-headers", code=None).rows
        assert status.code == 0, str(status)
        assert {row[0]: row[1] for row in rows if len(row) > 1} == dict.fromkeys(nodes, "Ready"), rows
        return True

    eventually(well, within=90, what="every process well, every node Ready")


def clear(terminal: Terminal) -> None:
    """Take away what a chapter has left, in every namespace."""
    terminal.type("kubelab fault heal")
    names = terminal.type("kctl get namespaces --no-headers").rows
    for namespace in (row[0] for row in names if row[0] == "default" or not row[0].startswith(("kube-", "default"))):
        terminal.type(f"kctl delete rc,pod --all -n {namespace}")
        services = terminal.type(f"kctl get services --no-headers -n {namespace}", code=None).rows
        services_text = " ".join(row[0] for row in services if row[0] not in ("kubernetes", ""))
        if services_text:
            terminal.type(f"kctl delete service {services_text} -n {namespace}")
        if namespace != "default":
            terminal.type(f"kctl delete namespace {namespace}")


def node_image(folder: Path, tag: str) -> Path:
    """Make an image called ``node`` of this machine's Node and the libraries that it needs; gives its archive."""
    program = shutil.which("node", path="/usr/bin:/bin")
    assert program
    libraries = [word for word in subprocess.check_output(["ldd", program], text=True).split() if word.startswith("/")]
    files = [program, *libraries]
    packed = subprocess.run(["tar", "-ch", *files], capture_output=True, check=True).stdout
    docker("import", "--change", "ENV PATH=/usr/bin:/bin", "-", tag, stdin=packed)
    archive = folder / "node.tar"
    try:
        docker("save", "--output", str(archive), tag)
    finally:
        docker("rmi", tag)
    return archive
