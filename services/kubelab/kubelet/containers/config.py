"""From a pod to what the CRI is asked for: sandbox and container configurations. Pure but for ``resolv.conf``,
which is given as text.

https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence
from dataclasses import dataclass, field
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity
from kubelab.apimachinery.core.qos import pod_qos
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers import hosts
from kubelab.kubelet.containers.environment import expand_all
from kubelab.kubelet.containers.mounts import volume_mounts
from kubelab.kubelet.containers.security import NodeSecurity, container_security, sandbox_security, sysctls
from kubelab.kubelet.cri.views import (
    CONTAINER_NAME_LABEL,
    GRACE_ANNOTATION,
    HASH_ANNOTATION,
    MESSAGE_PATH_ANNOTATION,
    MESSAGE_POLICY_ANNOTATION,
    POD_NAME_LABEL,
    POD_NAMESPACE_LABEL,
    POD_UID_LABEL,
    RESTART_COUNT_ANNOTATION,
    ContainerView,
    PodView,
    container_hash,
)

CPU_PERIOD_MICROSECONDS = 100_000
MIN_CPU_QUOTA_MICROSECONDS = 1000
MIN_CPU_SHARES, MAX_CPU_SHARES = 2, 262_144
MAX_NAMESERVERS, MAX_SEARCHES = 3, 32  # what resolvers read of resolv.conf
_PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What of the node goes into its pods, or is asked before it takes one."""

    node_name: str
    node_ip: str
    log_root: Path
    memory_bytes: int = 0
    allocatable: Mapping[str, str] = field(default_factory=dict[str, str])
    """What pods may ask for together, by resource; what is not told is not bounded."""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = ""
    """The text of the node's own ``/etc/resolv.conf``."""
    hosts: str = ""
    """The text of the node's own ``/etc/hosts``."""
    security: NodeSecurity = field(default_factory=NodeSecurity)
    pod_pids_limit: int = -1
    """Processes and threads of a pod together; -1 is without a limit."""


@dataclass(frozen=True, slots=True)
class ContainerInput:
    """Everything a container's configuration is made from."""

    pod: core_pb2.Pod
    container: core_pb2.Container
    attempt: int
    image_ref: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    image: cri.Image = field(default_factory=cri.Image)
    """What the runtime knows of the image: whose user it names."""
    hosts: Path | None = None
    """A file that is mounted at /etc/hosts."""
    users: int = 0
    """The first number of the pod's own users, 0 where it has the machine's."""
    message: Path | None = None
    """A file for the termination message, mounted where the container wants it."""
    volumes: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """The folders of the pod's volumes, by name."""
    sub_paths: Mapping[int, Path] = field(default_factory=dict[int, Path])
    """Where parts of them are, by the number of the container's mount."""


def log_directory(root: Path, pod: core_pb2.Pod) -> Path:
    """``<root>/<namespace>_<name>_<uid>``"""
    meta = pod.metadata
    return root / f"{meta.namespace}_{meta.name}_{meta.uid}"


def log_file(root: Path, pod: PodView, attempt: ContainerView) -> Path:
    """``<root>/<namespace>_<name>_<uid>/<container>/<attempt>.log``, if the runtime does not say otherwise."""
    if attempt.log_path:
        return Path(attempt.log_path)
    return root / f"{pod.namespace}_{pod.name}_{pod.uid}" / attempt.name / f"{attempt.attempt}.log"


def sandbox_config(pod: core_pb2.Pod, node: NodeSettings, attempt: int, users: int = 0) -> cri.PodSandboxConfig:
    """Describe the pod's namespaces, names, ports and log directory. ``users`` is the first number of its own users, 0
    for a pod that has the machine's. ConfigError where its names are too long."""
    meta = pod.metadata
    config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=meta.name, uid=meta.uid, namespace=meta.namespace, attempt=attempt),
        hostname=hosts.hostname(pod, node.node_name, node.cluster_domain),
        log_directory=str(log_directory(node.log_root, pod)),
        dns_config=dns_config(pod, node),
        labels={**meta.labels, **_pod_labels(pod)},
        annotations=dict(meta.annotations),
    )
    config.linux.security_context.CopyFrom(sandbox_security(pod, users))
    config.linux.sysctls.update(sysctls(pod))
    config.linux.cgroup_parent = cgroup_parent(pod)
    config.linux.resources.CopyFrom(pod_resources(pod, node))
    for container in pod.spec.containers:
        for port in container.ports:
            config.port_mappings.add(
                protocol=_PROTOCOLS.get(port.protocol or "TCP", cri.TCP),
                container_port=port.containerPort,
                host_port=0 if pod.spec.hostNetwork else port.hostPort,
                host_ip=port.hostIP,
            )
    return config


def container_config(given: ContainerInput, node: NodeSettings) -> cri.ContainerConfig:
    """Describe one attempt of a container. ConfigError where the node cannot find what it asks for."""
    pod, container = given.pod, given.container
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=container.name, attempt=given.attempt),
        image=cri.ImageSpec(image=given.image_ref),
        command=expand_all(container.command, given.environment),
        args=expand_all(container.args, given.environment),
        working_dir=container.workingDir,
        envs=[cri.KeyValue(key=k, value=v) for k, v in given.environment.items()],
        labels={**_pod_labels(pod), CONTAINER_NAME_LABEL: container.name},
        annotations={
            HASH_ANNOTATION: container_hash(container),
            RESTART_COUNT_ANNOTATION: str(given.attempt),
            GRACE_ANNOTATION: str(pod.spec.terminationGracePeriodSeconds),
        },
        log_path=f"{container.name}/{given.attempt}.log",
        stdin=container.stdin,
        stdin_once=container.stdinOnce,
        tty=container.tty,
    )
    config.linux.resources.CopyFrom(resources(pod, container, node.memory_bytes))
    config.linux.security_context.CopyFrom(container_security(pod, container, node.security, given.image, given.users))
    config.mounts.extend(volume_mounts(pod, container, given.volumes, given.sub_paths))
    own = {mount.container_path for mount in config.mounts}
    if given.hosts is not None and "/etc/hosts" not in own:
        config.mounts.add(container_path="/etc/hosts", host_path=str(given.hosts))
    if given.message is not None and container.terminationMessagePath not in own:
        config.annotations[MESSAGE_PATH_ANNOTATION] = container.terminationMessagePath
        config.annotations[MESSAGE_POLICY_ANNOTATION] = container.terminationMessagePolicy
        config.mounts.add(container_path=container.terminationMessagePath, host_path=str(given.message))
    return config


def resources(pod: core_pb2.Pod, container: core_pb2.Container, memory_bytes: int) -> cri.LinuxContainerResources:
    """Turn requests and limits into shares, quota and bytes, as upstream does; 0 is without a limit."""
    limits, requests = container.resources.limits, container.resources.requests
    cpu_limit = _milli(limits["cpu"].string) if "cpu" in limits else 0
    memory_limit = _bytes(limits["memory"].string) if "memory" in limits else 0
    memory_request = _bytes(requests["memory"].string) if "memory" in requests else memory_limit
    quota = max(cpu_limit * CPU_PERIOD_MICROSECONDS // 1000, MIN_CPU_QUOTA_MICROSECONDS) if cpu_limit else 0
    return cri.LinuxContainerResources(
        cpu_period=CPU_PERIOD_MICROSECONDS,
        cpu_quota=min(quota, quantity.MAX),
        cpu_shares=_shares(_cpu_request(container)),
        memory_limit_in_bytes=memory_limit,
        oom_score_adj=oom_score_adj(pod, memory_request, memory_bytes),
    )


def cgroup_parent(pod: core_pb2.Pod) -> str:
    """The pod's control group, as upstream's cgroupfs driver names it."""
    quality = pod_qos(pod)
    above = "/kubepods" if quality == "Guaranteed" else f"/kubepods/{quality.lower()}"
    return f"{above}/pod{pod.metadata.uid}"


def pod_resources(pod: core_pb2.Pod, node: NodeSettings) -> cri.LinuxContainerResources:
    """What all containers of the pod may use together: a sum where each of them has a limit."""
    each = [resources(pod, container, node.memory_bytes) for container in pod.spec.containers]
    quotas, memory = [one.cpu_quota for one in each], [one.memory_limit_in_bytes for one in each]
    millicores = sum(_cpu_request(container) for container in pod.spec.containers)
    together = cri.LinuxContainerResources(
        cpu_period=CPU_PERIOD_MICROSECONDS,
        cpu_quota=min(sum(quotas), quantity.MAX) if all(quotas) else 0,
        cpu_shares=_shares(millicores),
        memory_limit_in_bytes=min(sum(memory), quantity.MAX) if all(memory) else 0,
    )
    if node.pod_pids_limit > 0:
        together.unified["pids.max"] = str(node.pod_pids_limit)
    return together


def _cpu_request(container: core_pb2.Container) -> int:
    """In thousandths of a core; what is limited and not asked for is asked for in full."""
    limits, requests = container.resources.limits, container.resources.requests
    if "cpu" in requests:
        return _milli(requests["cpu"].string)
    return _milli(limits["cpu"].string) if "cpu" in limits else 0


def _shares(milli: int) -> int:
    return min(max(milli * 1024 // 1000, MIN_CPU_SHARES), MAX_CPU_SHARES)


def oom_score_adj(pod: core_pb2.Pod, memory_request: int, memory_bytes: int) -> int:
    """Say who is killed first when memory runs out: those that asked for nothing."""
    quality = pod_qos(pod)
    if quality == "Guaranteed":
        return -997
    if quality == "BestEffort" or not memory_bytes:
        return 1000
    return min(max(1000 - 1000 * memory_request // memory_bytes, 3), 999)


def dns_config(pod: core_pb2.Pod, node: NodeSettings) -> cri.DNSConfig:
    """Give the pod's resolver: the cluster's where there is one and the policy asks for it, else the node's; and to
    that what the pod has of its own."""
    config = _policy_dns(pod, node)
    pod_dns = pod.spec.dnsConfig
    _set(config.servers, [*config.servers, *pod_dns.nameservers], MAX_NAMESERVERS)
    _set(config.searches, [*config.searches, *pod_dns.searches], MAX_SEARCHES)
    options = {option.partition(":")[0]: option for option in config.options}
    for option in pod_dns.options:
        options[option.name] = f"{option.name}:{option.value}" if option.HasField("value") else option.name
    _set(config.options, options.values(), len(options))
    return config


def _set(words: MutableSequence[str], additions: Iterable[str], most: int) -> None:
    words[:] = list(dict.fromkeys(additions))[:most]


def _policy_dns(pod: core_pb2.Pod, node: NodeSettings) -> cri.DNSConfig:
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "None":
        return cri.DNSConfig()
    host_dns = parse_resolv_conf(node.resolv_conf)
    clustered = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork)
    if not clustered or not node.cluster_dns:
        return host_dns
    domain = node.cluster_domain
    searches = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain, *host_dns.searches]
    return cri.DNSConfig(servers=node.cluster_dns, searches=searches, options=["ndots:5"])


def parse_resolv_conf(text: str) -> cri.DNSConfig:
    """Read resolv.conf(5); of several ``search`` lines the last one counts."""
    config = cri.DNSConfig()
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            config.servers.append(words[1])
        elif words[0] == "search":
            del config.searches[:]
            config.searches.extend(words[1:])
        elif words[0] == "options":
            config.options.extend(words[1:])
    return config


def _pod_labels(pod: core_pb2.Pod) -> dict[str, str]:
    meta = pod.metadata
    return {POD_NAME_LABEL: meta.name, POD_NAMESPACE_LABEL: meta.namespace, POD_UID_LABEL: meta.uid}


def _milli(text: str) -> int:
    return quantity.milli_value(text)


def _bytes(text: str) -> int:
    return quantity.value(text)
