"""The files of each process in a cluster of containers. Pure.

Every process has a folder of its own, with only its own certificate, key and configuration::

    OUT/authority/                          the authorities' keys, and what an administrator needs
    OUT/control-plane/scheduler@cp-1/       config.yaml kubeconfig server-name ca.crt client.* serving.*
    OUT/control-plane/api-server@cp-1/      config.yaml server-name ca.crt serving.* kubelet-client.* etcd-ca.crt etcd.*
                                            sa.key client-cas.crt
    OUT/control-plane/controller-manager@cp-1/  as the scheduler's, and client-ca.crt client-ca.key
    OUT/control-plane/etcd@cp-1/            ca.crt tls.crt tls.key
    OUT/node-1/etc/kubelet/                 config.yaml kubeconfig server-name ca.crt client.* serving.*

A folder of the control plane has the nftables rules of its container too (``listeners.nft``): a control plane is no
node, so no node's agent writes them.

``OUT/control-plane`` is mounted at ``/etc/kubelab``, ``OUT/node-1`` at ``/var/lib/kubelab``. In the control plane each
process has a user of its own, and only that user may read its folder.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath as Path
from typing import Any

import yaml

from kubelab.client.kubeconfig import API_SERVER_NAME
from kubelab.linux import nftables
from kubelab.pki.certificates import CLIENT_AUTHORITIES, CLIENT_AUTHORITY, TOKEN_KEY, serving
from kubelab.topology import listeners
from kubelab.topology.components import GROUPS, PORTS, server_name
from kubelab.topology.record import NodeRecord
from kubelab.topology.reservedports import METRICS_PORT

CONTROL_PLANE, STATE = Path("/etc/kubelab"), Path("/var/lib/kubelab")
LOAD_BALANCER = "haproxy"
LISTENERS = "listeners.nft"  # what deploy/images/bounded gives to nft
COMPONENTS = ("etcd", "api-server", "scheduler", "controller-manager")
# The last part of a control-plane container's address, for cp-1; that of cp-2 is one more.
HOSTS = {"etcd": 11, "api-server": 21, "scheduler": 31, "controller-manager": 41}
WORKER_HOST = 100  # node-1 is .101
API_PORT, HTTPS_PORT = PORTS["api-server"]


@dataclass(frozen=True, slots=True)
class CertificateLayout:
    """A cluster of containers. ``network`` is its /24; ``control_planes`` are at least as many as will ever be up."""

    network: ipaddress.IPv4Network
    control_planes: int
    workers: int

    @property
    def nodes(self) -> tuple[NodeRecord, ...]:
        """Its nodes. A control plane's address is its api-server's: each of its processes has one of its own."""
        planes = tuple(
            NodeRecord(f"cp-{n}", self.address("api-server", n), control_plane=True)
            for n in range(1, self.control_planes + 1)
        )
        workers = tuple(NodeRecord(f"node-{n}", self.worker_address(n)) for n in range(1, self.workers + 1))
        return planes + workers

    def address(self, component: str, number: int) -> str:
        """The address of the n-th etcd, api-server, …."""
        return str(self.network[HOSTS[component] + number - 1])

    def worker_address(self, number: int) -> str:
        """The address of the n-th worker."""
        return str(self.network[WORKER_HOST + number])

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Further names of api-servers and etcd members, by process."""
        names: dict[str, tuple[str, ...]] = {}
        for n in range(1, self.control_planes + 1):
            for component in ("api-server", "etcd"):
                names[f"{component}@cp-{n}"] = (service(component, n), self.address(component, n))
            names[f"api-server@cp-{n}"] += (LOAD_BALANCER,)
        return names


@dataclass(frozen=True, slots=True)
class Folder:
    """A process's folder: texts, and copies of certificates by their name here. ``owner`` is a user and a group."""

    path: Path
    owner: int
    texts: Mapping[str, str]
    copies: Mapping[str, str]


def service(component: str, number: int) -> str:
    """Name a container: ``api-server``, ``api-server-2``."""
    return component if number == 1 else f"{component}-{number}"


def folders(cluster: CertificateLayout) -> list[Folder]:
    """Lay out every process's folder, relative to OUT."""
    result: list[Folder] = []
    for n in range(1, cluster.control_planes + 1):
        for component in COMPONENTS:
            name = f"{component}@cp-{n}"
            home = CONTROL_PLANE / name
            texts, copies = _files(cluster, name, home, _control_plane(cluster, component, n, home))
            texts[LISTENERS] = nftables.script(listeners.limits(cluster.network)).decode()
            result.append(Folder(Path("control-plane") / name, GROUPS[component], texts, copies))
    for n in range(1, cluster.workers + 1):
        for component in ("kubelet", "kube-proxy", "runtime"):
            name, home = f"{component}@node-{n}", STATE / "etc" / component
            config = _node(f"node-{n}", cluster.worker_address(n), component)
            texts, copies = _files(cluster, name, home, config)
            result.append(Folder(Path(f"node-{n}") / "etc" / component, 0, texts, copies))
    return result


def _files(
    cluster: CertificateLayout, name: str, home: Path, own_config: Mapping[str, Any] | None
) -> tuple[dict[str, str], dict[str, str]]:
    component = name.partition("@")[0]
    if component == "etcd":
        return {}, {"ca.crt": "etcd-ca.crt", "tls.crt": f"{name}.crt", "tls.key": f"{name}.key"}
    config: dict[str, Any] = {"name": name, **(own_config or {})}
    copies: dict[str, str] = {}
    texts: dict[str, str] = {}
    if component != "runtime":
        clients = CLIENT_AUTHORITIES if component == "api-server" else "ca"
        config["tls"] = _tls(home, clients, "serving")
        copies |= {"ca.crt": "ca.crt", f"{clients}.crt": f"{clients}.crt", **_pair("serving", serving(name))}
        texts["server-name"] = API_SERVER_NAME if component == "api-server" else server_name(name)
    if component == "api-server":
        copies |= {"etcd-ca.crt": "etcd-ca.crt", **_pair("etcd", "apiserver-etcd-client")}
        copies |= _pair("kubelet-client", "apiserver-kubelet-client")
        copies["sa.key"] = f"{TOKEN_KEY}.key"
    elif component != "runtime":
        config["kubeconfig"] = str(home / "kubeconfig")
        texts["kubeconfig"] = kubeconfig(name, home)
        copies |= _pair("client", name)
    if component == "controller-manager":
        copies |= _pair(CLIENT_AUTHORITY, CLIENT_AUTHORITY)
    texts["config.yaml"] = yaml.safe_dump(config, sort_keys=False)
    return texts, copies


def _pair(here: str, there: str) -> dict[str, str]:
    """A certificate with its key, by their names here and in the authority's folder."""
    return {f"{here}.{end}": f"{there}.{end}" for end in ("crt", "key")}


def _tls(home: Path, authority: str, identity: str) -> dict[str, str]:
    return {
        "ca": str(home / f"{authority}.crt"),
        "certificate": str(home / f"{identity}.crt"),
        "key": str(home / f"{identity}.key"),
    }


def _control_plane(cluster: CertificateLayout, component: str, number: int, home: Path) -> dict[str, Any]:
    if component == "controller-manager":
        return {
            "clusterSigningCertFile": str(home / f"{CLIENT_AUTHORITY}.crt"),
            "clusterSigningKeyFile": str(home / f"{CLIENT_AUTHORITY}.key"),
        }
    if component != "api-server":
        return {}
    # Its own member first, then the others; those that are not up are passed over.
    order = [*range(number, cluster.control_planes + 1), *range(1, number)]
    return {
        "etcd": {
            "servers": [f"https://{service('etcd', n)}:2379" for n in order],
            "tls": _tls(home, "etcd-ca", "etcd"),
        },
        "advertiseAddress": f"{cluster.address(component, number)}:{HTTPS_PORT}",
        "metricsAddress": f"0.0.0.0:{METRICS_PORT}",
        "kubeletClient": _tls(home, "ca", "kubelet-client"),
        "serviceAccountSigningKeyFile": str(home / "sa.key"),
        "schedulerAddress": f"{cluster.address('scheduler', number)}:10259",
        "controllerManagerAddress": f"{cluster.address('controller-manager', number)}:10257",
        "auditLog": str(STATE / "audit.log"),
        "workers": 1,
    }


def _node(node: str, address: str, component: str) -> dict[str, Any]:
    run = STATE / "run"
    match component:
        case "kubelet":
            return {
                "nodeName": node,
                "nodeIp": address,
                "runtimeSocket": str(run / "runtime.sock"),
                "stateDir": str(STATE / "kubelet"),
                "machinePid": 1,  # the container of the machine, whose processes the kubelet's container shares
                "logDir": str(STATE / "logs"),
            }
        case "kube-proxy":
            # The api-servers' containers have no routes to the pods, which call them by the service `kubernetes`.
            return {"nodeName": node, "masqueradeOutsidePods": True}
        case _:
            return {
                "socket": str(run / "runtime.sock"),
                "launcherSocket": str(run / "launcher.sock"),
                "stateDir": str(STATE / "runtime"),
                "storeDir": str(STATE / "images"),
            }


def servers() -> Sequence[str]:
    """The api-servers' URLs inside the cluster: the load balancer, then the first api-server."""
    return [f"https://{LOAD_BALANCER}:{API_PORT}", f"https://{service('api-server', 1)}:{API_PORT}"]


def kubeconfig(name: str, home: Path) -> str:
    """The kubeconfig of a process."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kubelab",
                "cluster": {
                    "certificate-authority": str(home / "ca.crt"),
                    "server": ",".join(servers()),
                    "tls-server-name": API_SERVER_NAME,
                },
            }
        ],
        "users": [
            {
                "name": name,
                "user": {"client-certificate": str(home / "client.crt"), "client-key": str(home / "client.key")},
            }
        ],
        "contexts": [{"name": "kubelab", "context": {"cluster": "kubelab", "user": name}}],
        "current-context": "kubelab",
    }
    return yaml.safe_dump(document, sort_keys=False)
