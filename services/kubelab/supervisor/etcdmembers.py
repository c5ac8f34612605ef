"""The start of a local cluster's etcd members: the flags of each, and the handling of lost data.

The script ``etcd-member`` beside this module decides how a member starts, here and in containers: with its data,
joining the others anew, or beginning a cluster. :func:`look` asks the same script before anything is started, so that
``up`` says at once what will happen, and refuses where no majority of the members has data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from kubelab.supervisor import processes
from kubelab.supervisor.zygote import SpawnRequest
from kubelab.topology.components import GROUPS, PORTS
from kubelab.topology.record import DEFAULT_NAME, NodeRecord, Record

SCRIPT = Path(__file__).with_name("etcd-member")
TRIES = 20  # a second apart, for a majority of the other members: they need five to let one join
PORT, PEER_PORT = PORTS["etcd"]
# One member needs no patience with others: it elects itself within a quarter of a second, instead of one to two. More
# ticks a second would be quicker still, but cost a percent of a core at rest. Several members keep etcd's defaults,
# https://etcd.io/docs/v3.4/tuning/: a leader that is silent for a second on a busy machine is not a dead one.
TICK_MS, ELECTION_MS = (50, 100), (250, 1000)
SNAPSHOT_COUNT = 10_000  # entries kept in memory; the default of 100,000 is made for larger machines
QUOTA_BYTES = 2 * 1024**3


class DataLost(Exception):
    """Too many members have lost their data; the message says which, and what to do."""


def process(node: NodeRecord) -> str:
    """Name the process of a node's member."""
    return f"etcd@{node.name}"


def client_url(node: NodeRecord) -> str:
    """The URL of a node's member for clients."""
    return f"https://{node.address}:{PORT}"


def spawn_request(record: Record, node: NodeRecord) -> SpawnRequest:
    """Say how a node's member is started."""
    several = len(record.control_planes) > 1
    certificate, authority = str(record.pki / process(node)), str(record.pki / "etcd-ca.crt")
    client, peer = client_url(node), _peer_url(node)
    flags = {
        "listen-client-urls": f"{client},https://127.0.0.1:{PORT}",
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-cluster-token": record.id,
        "cert-file": f"{certificate}.crt",
        "key-file": f"{certificate}.key",
        "client-cert-auth": "true",
        "trusted-ca-file": authority,
        "peer-cert-file": f"{certificate}.crt",
        "peer-key-file": f"{certificate}.key",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": authority,
        "heartbeat-interval": str(TICK_MS[several]),
        "election-timeout": str(ELECTION_MS[several]),
        "snapshot-count": str(SNAPSHOT_COUNT),
        "quota-backend-bytes": str(QUOTA_BYTES),
        "logger": "zap",
        "log-outputs": "stderr",
        "log-level": "warn",
    }
    program = shutil.which("etcd") or "/usr/bin/etcd"
    path = f"{Path(program).parent}:{os.environ.get('PATH', os.defpath)}"
    return SpawnRequest(
        name=process(node),
        argv=(*_script(record, node), "--", *(f"--{flag}={value}" for flag, value in flags.items())),
        records=str(record.processes),
        program="/bin/sh",
        group=GROUPS["etcd"],
        environment={"GOMAXPROCS": str(min(2, os.cpu_count() or 1)), "GOGC": "50", "PATH": path},
    )


def look(record: Record) -> str:
    """Check the data of all members before they start. Returns a notice for the user, ``""`` when nothing is lost.

    Where all members have lost their data, a new cluster is made ready; what is left of the old one stays beside it, in
    ``etcd/NAME.lost``. Raises DataLost where some members have data, but no majority.
    """
    members = record.control_planes
    if any(processes.read(record.processes, process(node)) for node in members):
        return ""  # the supervisor before has left them running
    states = {node.name: _state(record, node) for node in members}
    lost = [name for name, state in states.items() if state == "lost"]
    whole = [name for name, state in states.items() if state == "whole"]
    if not lost:
        return ""
    message = f"The data of {_listed(lost)} are gone ({_folders(record, lost)})"
    if not whole:
        for node in members:
            _set_aside(record, node)
        return f"{message}: the cluster begins anew, without any object"
    if len(whole) > len(members) // 2:
        return f"{message}: {'it joins' if len(lost) == 1 else 'they join'} the other members of etcd anew"
    raise DataLost(
        f"{message}, and {_listed(whole)} alone {'is' if len(whole) == 1 else 'are'} no majority of {len(members)} "
        f"members: put the folders back, or begin with an empty cluster: {_anew(record)}"
    )


def _script(record: Record, node: NodeRecord) -> tuple[str, ...]:
    """The script and its own options."""
    planes = record.control_planes
    pki = record.pki
    return (
        str(SCRIPT),
        f"--name={node.name}",
        f"--data-dir={_data(record, node.name)}",
        f"--peer={_peer_url(node)}",
        f"--others={' '.join(client_url(other) for other in planes if other != node)}",
        f"--initial-cluster={','.join(f'{plane.name}={_peer_url(plane)}' for plane in planes)}",
        f"--begun={_begun(record, node)}",
        f"--cacert={pki / 'etcd-ca.crt'}",
        f"--cert={pki / 'etcd-healthcheck-client.crt'}",
        f"--key={pki / 'etcd-healthcheck-client.key'}",
        f"--tries={TRIES}",
        f"--anew={_anew(record)}",
    )


def _state(record: Record, node: NodeRecord) -> str:
    """``whole``, ``lost`` or ``new``."""
    if not _begun(record, node).exists():
        return "new"
    command = ["/bin/sh", *_script(record, node), "--look"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _set_aside(record: Record, node: NodeRecord) -> None:
    data = _data(record, node.name)
    remains = data.with_name(f"{node.name}.lost")
    if data.is_dir() and any(data.iterdir()):
        shutil.rmtree(remains, ignore_errors=True)
        data.rename(remains)
    _begun(record, node).unlink(missing_ok=True)


def _data(record: Record, name: str) -> Path:
    return record.folder / "etcd" / name


def _begun(record: Record, node: NodeRecord) -> Path:
    """The mark that a member has had data; not beside them, because it is there when they are gone."""
    return record.config / f"{process(node)}.begun"


def _peer_url(node: NodeRecord) -> str:
    return f"https://{node.address}:{PEER_PORT}"


def _anew(record: Record) -> str:
    return "kubelab down --delete" + ("" if record.name == DEFAULT_NAME else f" --name {record.name}")


def _listed(names: list[str]) -> str:
    return " and ".join(f"etcd@{name}" for name in names)


def _folders(record: Record, names: list[str]) -> str:
    return ", ".join(str(_data(record, name)) for name in names)
