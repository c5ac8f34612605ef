"""What the parts of one kubelet share, built in one place: for the process and for the tests alike.

Every part (pods, node, streaming) takes a :class:`Dependencies` and makes none of these things itself. Tests build the
same with a clock, a client and a runtime's socket of their own (:class:`~kubelab.component.environment.Environment`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import NODES, PODS, SERVICES
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.client.informer import Informer
from kubelab.component.environment import Environment
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.containers.config import NodeSettings
from kubelab.kubelet.containers.security import NodeSecurity
from kubelab.kubelet.containers.userranges import UserRanges
from kubelab.kubelet.cri.client import Runtime
from kubelab.kubelet.cri.records import CallRecords
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.kubelet.node import status as nodes
from kubelab.kubelet.node.address import own_address
from kubelab.kubelet.node.machine import Machine, read_machine
from kubelab.kubelet.node.status import NodeFacts
from kubelab.kubelet.pods.events import PodEvents
from kubelab.kubelet.pods.statusmanager import StatusManager
from kubelab.kubelet.volumes.folders import Folders
from kubelab.kubelet.volumes.machine import MachineMounts
from kubelab.kubelet.volumes.objects import WatchedObjects


@dataclass(frozen=True, slots=True)
class Host:
    """What is read of the machine before the kubelet starts: its facts, and the texts of two of its files."""

    machine: Machine
    resolv_conf: str = ""
    hosts: str = ""


@dataclass(frozen=True, slots=True)
class Informers:
    """What is watched: the pods of this node, every node, every service."""

    pods: Informer[core_pb2.Pod]
    nodes: Informer[core_pb2.Node]
    services: Informer[core_pb2.Service]


@dataclass(frozen=True)
class Dependencies:
    """See the module. The word is upstream's (``kubelet.Dependencies``)."""

    config: KubeletConfig
    clock: Clock
    log: FilteringBoundLogger
    metrics: KubeletMetrics
    client: Client
    runtime: Runtime
    informers: Informers
    recorder: EventRecorder
    events: PodEvents
    statuses: StatusManager
    facts: NodeFacts
    node: NodeSettings
    users: UserRanges
    objects: WatchedObjects
    folders: Folders
    machine: MachineMounts
    records: CallRecords

    def node_labels(self) -> Mapping[str, str]:
        """The labels of this node: the informer's, or those that it registers with while the informer has none."""
        node = self.informers.nodes.get(self.facts.name)
        return node.metadata.labels if node is not None else nodes.labels(self.facts)


@contextlib.asynccontextmanager
async def dependencies(
    config: KubeletConfig, env: Environment, host: Host | None = None
) -> AsyncGenerator[Dependencies]:
    """Build them; the body's end closes the clients. ``host`` is read from the machine where it is not given."""
    name = config.node_name or env.node
    host = host or await asyncio.to_thread(read_host, config, name)
    metrics, records = KubeletMetrics.on(env.registry), CallRecords()
    runtime = Runtime(
        config.runtime_socket,
        process=env.name,
        clock=env.clock,
        metrics=metrics,
        records=records,
        request_timeout=config.runtime_request_timeout,
        pull_timeout=config.image_pull_timeout,
    )
    async with env.client() as client, runtime:
        ip = config.node_ip or own_address(config.kubeconfig)
        facts = NodeFacts(
            name=name,
            ip=ip,
            port=int(config.bind_address.rpartition(":")[2]),
            machine=host.machine,
            max_pods=config.max_pods,
            labels=dict(config.node_labels),
        )
        recorder = EventRecorder(client, "kubelet", name, env.clock, log=env.log)
        yield Dependencies(
            config=config,
            clock=env.clock,
            log=env.log,
            metrics=metrics,
            client=client,
            runtime=runtime,
            informers=_informers(client, env, name),
            recorder=recorder,
            events=PodEvents(recorder),
            statuses=StatusManager(client, clock=env.clock, log=env.log, metrics=metrics),
            facts=facts,
            node=_node_settings(config, facts, host),
            users=UserRanges(config.state_dir / "users.json", config.max_pods),
            objects=WatchedObjects(client, clock=env.clock, log=env.log),
            folders=Folders(config.state_dir),
            machine=MachineMounts(config.machine_pid),
            records=records,
        )


def read_host(config: KubeletConfig, name: str) -> Host:
    """Read the machine's facts and files, and make the kubelet's folders. Blocks."""
    config.log_dir.mkdir(parents=True, exist_ok=True)
    config.state_dir.mkdir(parents=True, exist_ok=True)
    texts = [path.read_text() if path.exists() else "" for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"))]
    return Host(read_machine(config.state_dir, name), *texts)


def _informers(client: Client, env: Environment, name: str) -> Informers:
    clock, registry, log = env.clock, env.registry, env.log
    on_node = f"spec.nodeName={name}"
    return Informers(
        pods=Informer(client, PODS, field_selector=on_node, clock=clock, registry=registry, log=log),
        nodes=Informer(client, NODES, clock=clock, registry=registry, log=log),
        services=Informer(client, SERVICES, clock=clock, registry=registry, log=log),
    )


def _node_settings(config: KubeletConfig, facts: NodeFacts, host: Host) -> NodeSettings:
    return NodeSettings(
        node_name=facts.name,
        node_ip=facts.ip,
        log_root=config.log_dir,
        memory_bytes=facts.machine.memory_bytes,
        allocatable=nodes.allocatable(facts),
        cluster_dns=tuple(config.cluster_dns),
        cluster_domain=config.cluster_domain,
        resolv_conf=host.resolv_conf,
        hosts=host.hosts,
        pod_pids_limit=config.pod_pids_limit,
        security=NodeSecurity(
            apparmor=facts.machine.apparmor,
            seccomp_root=config.state_dir / "seccomp",
            seccomp_default=config.seccomp_default,
            unsafe_sysctls=tuple(config.allowed_unsafe_sysctls),
        ),
    )
