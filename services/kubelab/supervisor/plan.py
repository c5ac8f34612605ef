"""The processes of a cluster, and their configuration files. Pure, except for :func:`write`.

::

    tunnels  from the start: their ports are what `kubelab up` waits at
    cp-N     etcd → api-server → scheduler, controller-manager   and everything below
    node-N   runtime; kubelet and kube-proxy after the api-servers

An arrow means "starts after the other was healthy once", at the first start only. With several control planes etcd's
members begin together: one alone has no majority and is not healthy.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubelab.client.kubeconfig import API_SERVER_NAME
from kubelab.component import config
from kubelab.component.config import ConfigError
from kubelab.pki.certificates import CLIENT_AUTHORITIES, CLIENT_AUTHORITY, TOKEN_KEY, serving
from kubelab.supervisor import etcdmembers
from kubelab.supervisor.health import HealthTarget
from kubelab.supervisor.keeper import ProcessSpec
from kubelab.supervisor.zygote import SpawnRequest
from kubelab.topology.components import GROUPS, PORTS, server_name
from kubelab.topology.record import NodeRecord, Record
from kubelab.topology.settings import merged

API_PORT, HTTPS_PORT = PORTS["api-server"]
TUNNELS = "tunnels"  # the process outside of the nodes whose ports lead into them
TUNNELS_MODULE = "kubelab.tunnels.__main__"
MODULES = {
    "api-server": "kubelab.apiserver.__main__",
    "scheduler": "kubelab.scheduler.__main__",
    "controller-manager": "kubelab.controllermanager.__main__",
    "kubelet": "kubelab.kubelet.__main__",
    "kube-proxy": "kubelab.kubeproxy.__main__",
    "runtime": "kubelab.runtime.__main__",
}


@dataclass(frozen=True)
class ClusterPlan:
    """The processes in the order of :class:`ProcessSpec.after`, and the text of every file."""

    specs: tuple[ProcessSpec, ...]
    files: dict[Path, str]


def plan(record: Record) -> ClusterPlan:
    """Lay a cluster out."""
    specs: list[ProcessSpec] = []
    files: dict[Path, str] = {}
    specs.append(_tunnels(record))
    files[_config_file(record, TUNNELS)] = yaml.safe_dump(_tunnels_config(record), sort_keys=False)
    for node in record.nodes:
        components = ["runtime", "kubelet", "kube-proxy"]
        if node.control_plane:
            specs.append(_etcd(record, node))
            components[:0] = ["api-server", "scheduler", "controller-manager"]
        for component in components:
            name = f"{component}@{node.name}"
            files[_config_file(record, name)] = yaml.safe_dump(_config(record, node, component), sort_keys=False)
            if component not in ("api-server", "runtime"):
                files[record.config / f"{name}.kubeconfig"] = _kubeconfig(record, node, name)
            specs.append(_component(record, node, component))
    return ClusterPlan(tuple(specs), files)


def write(record: Record, files: dict[Path, str]) -> None:
    """Write the configuration; OSError when a folder cannot be written."""
    for folder in (record.config, record.logs, record.folder / "etcd", record.folder / "runtime"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, text in files.items():
        path.write_text(text)
        path.chmod(0o600)


def check(record: Record) -> None:
    """Raise ConfigError for a setting that its component would not take."""
    for component, settings in record.settings.items():
        if component not in MODULES:
            raise ConfigError(f"{component}: unknown component; expected one of {', '.join(sorted(MODULES))}")
        kind = importlib.import_module(MODULES[component]).COMPONENT.config
        config.check(kind, settings, component)


def api_servers(record: Record, node: NodeRecord) -> list[str]:
    """Every api-server as seen from a node: its own first, and from workers each time another one first."""
    planes = record.control_planes
    first = record.nodes.index(node) % len(planes)
    return [f"{plane.address}:{API_PORT}" for plane in (*planes[first:], *planes[:first])]


def _component(record: Record, node: NodeRecord, component: str) -> ProcessSpec:
    name = f"{component}@{node.name}"
    plane = node if node.control_plane else record.control_planes[0]
    after = {"api-server": (f"etcd@{plane.name}",), "runtime": ()}.get(component, (f"api-server@{plane.name}",))
    request = SpawnRequest(
        name=name,
        argv=("--config", str(_config_file(record, name))),
        records=str(record.processes),
        module=MODULES[component],
        group=GROUPS.get(component, 0),
        environment={"KUBELAB_HOST_NETNS": str(record.host_namespace)} if component == "runtime" else {},
    )
    return ProcessSpec(
        name=name,
        component=component,
        node=node.name,
        request=request,
        log=record.log(name),
        namespace=record.namespace(node.name),
        target=_target(record, node, component),
        after=after,
    )


def _config_file(record: Record, name: str) -> Path:
    return record.config / f"{name}.yaml"


def _tunnels(record: Record) -> ProcessSpec:
    """Belongs to no node, and stays in the machine's own network namespace."""
    request = SpawnRequest(
        name=TUNNELS,
        argv=("--config", str(_config_file(record, TUNNELS))),
        records=str(record.processes),
        module=TUNNELS_MODULE,
    )
    target = HealthTarget(f"unix:{record.tunnels_socket}")
    return ProcessSpec(TUNNELS, TUNNELS, "", request, record.log(TUNNELS), None, target)


def _tunnels_config(record: Record) -> dict[str, Any]:
    return {
        "name": TUNNELS,
        "socket": str(record.tunnels_socket),
        "namespaces": {node.name: str(record.namespace(node.name)) for node in record.nodes},
    }


def _target(record: Record, node: NodeRecord, component: str) -> HealthTarget:
    if component == "runtime":
        return HealthTarget(f"unix:{record.runtime_socket(node.name)}")
    return HealthTarget(
        f"{node.address}:{PORTS[component][0]}",
        record.pki / "ca.crt",
        record.pki / "supervisor.crt",
        record.pki / "supervisor.key",
        API_SERVER_NAME if component == "api-server" else server_name(f"{component}@{node.name}"),
    )


def control_group(record: Record) -> str:
    """Name the control group below which those of the cluster's nodes are."""
    return f"kubelab/{record.name}-{record.id}"


def _etcd(record: Record, node: NodeRecord) -> ProcessSpec:
    name = etcdmembers.process(node)
    target = HealthTarget(
        f"{node.address}:{etcdmembers.PORT}",
        record.pki / "etcd-ca.crt",
        record.pki / "etcd-healthcheck-client.crt",
        record.pki / "etcd-healthcheck-client.key",
    )
    request = etcdmembers.spawn_request(record, node)
    return ProcessSpec(name, "etcd", node.name, request, record.log(name), record.namespace(node.name), target)


def _tls(record: Record, identity: str, authority: str = "ca") -> dict[str, str]:
    return {
        "ca": str(record.pki / f"{authority}.crt"),
        "certificate": str(record.pki / f"{identity}.crt"),
        "key": str(record.pki / f"{identity}.key"),
    }


def _config(record: Record, node: NodeRecord, component: str) -> dict[str, Any]:
    name = f"{component}@{node.name}"
    base: dict[str, Any] = {"name": name}
    if component != "runtime":
        clients = CLIENT_AUTHORITIES if component == "api-server" else "ca"
        base["tls"] = _tls(record, serving(name), clients)
    if component not in ("api-server", "runtime"):
        base["kubeconfig"] = str(record.config / f"{name}.kubeconfig")
    return merged({**base, **_own_config(record, node, component)}, record.settings.get(component, {}))


def _own_config(record: Record, node: NodeRecord, component: str) -> dict[str, Any]:
    """The part of a component's configuration that only it has."""
    match component:
        case "api-server":
            return {
                "etcd": {
                    "servers": _etcd_servers(record, node),
                    "tls": _tls(record, "apiserver-etcd-client", "etcd-ca"),
                },
                "advertiseAddress": f"{node.address}:{HTTPS_PORT}",
                "kubeletClient": _tls(record, "apiserver-kubelet-client"),
                "serviceAccountSigningKeyFile": str(record.pki / f"{TOKEN_KEY}.key"),
                "auditLog": str(record.logs / f"audit@{node.name}.log"),
                "workers": 1,  # a second one would cost 24 MB, and on two cores it has no core to itself
            }
        case "controller-manager":
            return {
                "clusterSigningCertFile": str(record.pki / f"{CLIENT_AUTHORITY}.crt"),
                "clusterSigningKeyFile": str(record.pki / f"{CLIENT_AUTHORITY}.key"),
            }
        case "kubelet":
            return {
                "nodeName": node.name,
                "nodeIp": node.address,
                "runtimeSocket": str(record.runtime_socket(node.name)),
                "stateDir": str(record.folder / "kubelet" / node.name),
                "logDir": str(record.logs / "pods" / node.name),
                **_pod_ranges(record),
            }
        case "kube-proxy":
            return {"nodeName": node.name}
        case "runtime":
            return {
                "socket": str(record.runtime_socket(node.name)),
                "stateDir": str(record.folder / "runtime" / node.name),
                "storeDir": str(record.folder / "images"),
                "cgroup": f"{control_group(record)}/{node.name}",
            }
        case _:
            return {}


def _pod_ranges(record: Record) -> dict[str, Any]:
    """Kubelets route what the controller-manager gives out: its settings are theirs."""
    settings = record.settings.get("controller-manager", {})
    return {key: settings[key] for key in ("clusterCidr", "nodeCidrMaskSize") if key in settings}


def _etcd_servers(record: Record, node: NodeRecord) -> list[str]:
    """Every member, the node's own first."""
    others = [plane for plane in record.control_planes if plane != node]
    return [etcdmembers.client_url(plane) for plane in (node, *others)]


def _kubeconfig(record: Record, node: NodeRecord, name: str) -> str:
    server = ",".join(f"https://{address}" for address in api_servers(record, node))
    cluster = {
        "certificate-authority": str(record.pki / "ca.crt"),
        "server": server,
        "tls-server-name": API_SERVER_NAME,
    }
    user = {
        "client-certificate": str(record.pki / f"{name}.crt"),
        "client-key": str(record.pki / f"{name}.key"),
    }
    context = {"cluster": record.name, "user": name}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": record.name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": record.name, "context": context}],
        "current-context": record.name,
    }
    return yaml.safe_dump(document, sort_keys=False)
