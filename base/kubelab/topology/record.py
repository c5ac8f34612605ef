"""The record of a local cluster on disk, and the paths of its files.

::

    $KUBELAB_HOME/last-started                    the name of the cluster that `up` started last
    $KUBELAB_HOME/clusters/NAME/cluster.yaml      this record
                               /pki /config /logs /etcd /runtime /kubelet
    /run/kubelab/ID/supervisor.sock               sockets, process records and namespaces: gone after a reboot
                   /processes /ns /tunnels.json

``ID`` is eight hexadecimal digits, because a unix socket's path has room for 108 bytes only.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubelab.files import atomicfile, statefile

DEFAULT_NAME = "kubelab"
RUN_ROOT = Path("/run/kubelab")
MAX_NODES = 200
CONTROL_PLANES = (1, 3, 5)  # etcd's members: an even number survives no more failures than one less
DEFAULT_WORKERS = 2
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


# Without the record a cluster cannot be found again; a user who has a copy of the file can put it back.
REMEDY = "put the file back as it was, or remove the cluster's folder to begin with a new one"
COMPOSE = "compose"  # the ``driver`` of a record that is not a local cluster's


class RecordError(Exception):
    """A cluster's name or record that cannot be used; the message says which file or name, and why."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node of a local cluster. The first ones are the control planes."""

    name: str
    address: str
    control_plane: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A local cluster as ``cluster.yaml`` describes it.

    ``api_ports`` are ports of 127.0.0.1, one for each control plane's api-server. ``settings`` are what the user has
    configured, by component: ``{"controller-manager": {"nodeMonitorGracePeriod": "4s"}}``.
    """

    home: Path
    name: str
    id: str
    node_names: tuple[str, ...]
    api_ports: tuple[int, ...]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    https_ports: tuple[int, ...] = ()
    """The same for their REST API; empty in a record that was written before there was one."""

    @classmethod
    def new(
        cls,
        home: Path,
        name: str,
        nodes: int | None = None,
        *,
        control_planes: int = 1,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Record:
        """Describe a cluster that is not there yet: ``cp-1``, …, ``node-1``, …, and free ports of 127.0.0.1.

        ``nodes`` counts all of them; by default there are two besides the control planes. Raises RecordError.
        """
        check_name(name)
        if control_planes not in CONTROL_PLANES:
            raise RecordError(
                f"a cluster has 1, 3 or 5 control planes, not {control_planes}: etcd goes on while more than half of "
                "its members do, so an even number survives no more failures than one less"
            )
        nodes = control_planes + DEFAULT_WORKERS if nodes is None else nodes
        if not 1 <= nodes <= MAX_NODES:
            raise RecordError(f"a cluster has 1 to {MAX_NODES} nodes, not {nodes}")
        if nodes < control_planes:
            raise RecordError(
                f"{control_planes} control planes are {control_planes} nodes, but only {nodes} are wanted"
            )
        planes = tuple(f"cp-{n + 1}" for n in range(control_planes))
        workers = tuple(f"node-{n + 1}" for n in range(nodes - control_planes))
        ports = free_ports(2 * control_planes)
        return cls(
            home=home,
            name=name,
            id=secrets.token_hex(4),
            node_names=planes + workers,
            api_ports=ports[:control_planes],
            settings=settings or {},
            https_ports=ports[control_planes:],
        )

    @classmethod
    def load(cls, home: Path, name: str) -> Record | None:
        """Read a cluster's record; None when there is no such cluster. Raises RecordError for a broken one."""
        body = read_body(home, name)
        if body is None:
            return None
        path = home / "clusters" / name / "cluster.yaml"
        if body.get("driver") == COMPOSE:
            raise RecordError(_elsewhere(name, body))
        try:
            record = cls(
                home=home,
                name=name,
                id=str(body["id"]),
                node_names=tuple(str(node) for node in body["nodes"]),
                api_ports=tuple(int(port) for port in body.get("apiServerPorts") or [body["apiServerPort"]]),
                settings={str(name): dict(keys) for name, keys in (body.get("settings") or {}).items()},
                https_ports=tuple(int(port) for port in body.get("httpsPorts") or []),
            )
        except statefile.UNREADABLE as err:
            raise RecordError(f"{path}: not a cluster's record ({err!r}); {REMEDY}") from err
        if not re.fullmatch(r"[0-9a-f]{8}", record.id):
            raise RecordError(f"{path}: id must be eight hexadecimal digits; {REMEDY}")
        if not 1 <= len(record.api_ports) <= len(record.node_names):
            raise RecordError(f"{path}: apiServerPorts: expected a port for each control plane; {REMEDY}")
        if len(record.https_ports) not in (0, len(record.api_ports)):
            raise RecordError(f"{path}: httpsPorts: expected a port for each control plane; {REMEDY}")
        return record

    def save(self) -> None:
        """Write the record in one step."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body: dict[str, Any] = {
            "name": self.name,
            "id": self.id,
            "nodes": list(self.node_names),
            "apiServerPorts": list(self.api_ports),
            "httpsPorts": list(self.https_ports),
        }
        if self.settings:
            body["settings"] = {name: dict(keys) for name, keys in self.settings.items()}
        atomicfile.write(self.file, yaml.safe_dump(body, sort_keys=False))

    @property
    def nodes(self) -> tuple[NodeRecord, ...]:
        """Every node with its address, which never changes."""
        planes = len(self.api_ports)
        return tuple(NodeRecord(n, f"192.168.49.{2 + i}", i < planes) for i, n in enumerate(self.node_names))

    @property
    def control_planes(self) -> tuple[NodeRecord, ...]:
        """The nodes that have an etcd member, an api-server, a scheduler and a controller-manager."""
        return self.nodes[: len(self.api_ports)]

    @property
    def servers(self) -> str:
        """Where the api-servers speak gRPC on this machine, as URLs."""
        return ",".join(f"https://127.0.0.1:{port}" for port in self.api_ports)

    @property
    def https_server(self) -> str:
        """The URL of the cluster's REST API on this machine; the tunnel behind it leads to any api-server that
        answers."""
        return f"https://127.0.0.1:{self.https_ports[0]}" if self.https_ports else ""

    @property
    def all_api_ports(self) -> tuple[int, ...]:
        """All ports of this machine that lead to an api-server."""
        return self.api_ports + self.https_ports

    @property
    def folder(self) -> Path:
        return self.home / "clusters" / self.name

    @property
    def file(self) -> Path:
        """Where this record is kept."""
        return self.folder / "cluster.yaml"

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
    def tunnels_socket(self) -> Path:
        """The control socket of the tunnels' process."""
        return self.run / "tunnels.sock"

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


def read_body(home: Path, name: str) -> Mapping[str, Any] | None:
    """Read ``cluster.yaml`` of any cluster; None when there is none. Raises RecordError."""
    check_name(name)
    path = home / "clusters" / name / "cluster.yaml"
    try:
        return statefile.read(path, statefile.mapping, remedy=REMEDY)
    except statefile.BrokenFile as err:
        if isinstance(err.__cause__, PermissionError):
            raise RecordError(f"{home} belongs to another user: type the same with sudo KUBELAB_HOME={home}") from err
        raise RecordError(str(err)) from err


def _elsewhere(name: str, body: Mapping[str, Any]) -> str:
    """Say where a cluster is started and stopped that is not this machine's processes."""
    compose = f"docker compose --project-directory {body.get('projectDirectory', '.')}"
    return (
        f'cluster "{name}" is made of containers, which docker compose starts and stops:\n'
        f"  {compose} up -d      start it\n"
        f"  {compose} stop       stop it; its objects are kept\n"
        f"  {compose} down -v    remove it\n"
        f"For a cluster of this machine's own processes add: --name {DEFAULT_NAME}"
    )


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
    """Say whether a process could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Find different ports of 127.0.0.1 that are free now."""
    with contextlib.ExitStack() as open_ones:
        probes = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(int(probe.getsockname()[1]) for probe in probes)
