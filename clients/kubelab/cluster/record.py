"""What the disk knows about a local cluster, and where each of its files is.

::

    $KUBELAB_HOME/kubeconfig
    $KUBELAB_HOME/clusters/NAME/cluster.yaml      this record
                               /pki /config /logs /etcd /runtime /kubelet
    /run/kubelab/ID/supervisor.sock               sockets, process records and namespaces: gone after a reboot
                   /processes /ns /tunnels.json

``ID`` is eight hexadecimal digits, because a unix socket's path has room for 108 bytes only.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

DEFAULT_NAME = "kubelab"
RUN_ROOT = Path("/run/kubelab")
MAX_NODES = 200
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


class RecordError(Exception):
    """A cluster's name or record that cannot be used; the message says which file or name, and why."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a local cluster. The first is the control plane."""

    name: str
    address: str
    control_plane: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A local cluster as ``cluster.yaml`` describes it."""

    home: Path
    name: str
    id: str
    node_names: tuple[str, ...]
    api_port: int

    @classmethod
    def new(cls, home: Path, name: str, nodes: int) -> Record:
        """Describe a cluster that is not there yet: ``cp-1``, ``node-1``, …, and a free port of 127.0.0.1."""
        check_name(name)
        if not 1 <= nodes <= MAX_NODES:
            raise RecordError(f"a cluster has 1 to {MAX_NODES} nodes, not {nodes}")
        names = ("cp-1", *(f"node-{n}" for n in range(1, nodes)))
        return cls(home=home, name=name, id=secrets.token_hex(4), node_names=names, api_port=free_port())

    @classmethod
    def load(cls, home: Path, name: str) -> Record | None:
        """Read a cluster's record; None when there is no such cluster. Raises RecordError for a broken one."""
        check_name(name)
        path = home / "clusters" / name / "cluster.yaml"
        try:
            told: object = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
            raise RecordError(f"{path}: {err}") from err
        try:
            body = cast(dict[str, Any], told)
            record = cls(
                home=home,
                name=name,
                id=str(body["id"]),
                node_names=tuple(str(node) for node in body["nodes"]),
                api_port=int(body["apiServerPort"]),
            )
        except (KeyError, TypeError, ValueError) as err:
            raise RecordError(f"{path}: not a cluster's record ({err!r})") from err
        if not re.fullmatch(r"[0-9a-f]{8}", record.id):
            raise RecordError(f"{path}: id must be eight hexadecimal digits")
        return record

    def save(self) -> None:
        """Write the record in one step."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = {"name": self.name, "id": self.id, "nodes": list(self.node_names), "apiServerPort": self.api_port}
        temporary = self.folder / ".cluster.yaml"
        temporary.write_text(yaml.safe_dump(body, sort_keys=False))
        temporary.replace(self.folder / "cluster.yaml")

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node with its address, which never changes."""
        return tuple(Node(n, f"192.168.49.{2 + i}", i == 0) for i, n in enumerate(self.node_names))

    @property
    def folder(self) -> Path:
        return self.home / "clusters" / self.name

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        return RUN_ROOT / self.id

    @property
    def socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def processes(self) -> Path:
        """One small file per running process: its pid and when that pid began."""
        return self.run / "processes"

    def namespace(self, node: str) -> Path:
        """The network namespace of a node, as a mounted file."""
        return self.run / "ns" / node

    @property
    def host_namespace(self) -> Path:
        """The machine's own network namespace, for image pulls; not in ``ns``, where everything is the cluster's."""
        return self.run / "host-netns"

    def runtime_socket(self, node: str) -> Path:
        return self.run / f"{node}.sock"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"


def check_name(name: str) -> None:
    """Raise RecordError for a name that could not be a folder and a DNS label."""
    if not _NAME.fullmatch(name):
        raise RecordError(
            f'"{name}" cannot name a cluster: use at most 40 lower case letters, digits and "-", '
            "and begin and end with a letter or digit"
        )


def names(home: Path) -> list[str]:
    """Give the name of every cluster that is on disk."""
    folder = home / "clusters"
    return sorted(p.parent.name for p in folder.glob("*/cluster.yaml")) if folder.is_dir() else []


def port_is_free(port: int) -> bool:
    """Could somebody listen on this port of 127.0.0.1 now?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def boot_id() -> str:
    """Name this boot of the machine: process numbers mean nothing after the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Give when a process began, in ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_root() -> bool:
    return os.geteuid() == 0
