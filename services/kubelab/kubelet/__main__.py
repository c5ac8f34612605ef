"""``python -m kubelab.kubelet``: configuration, clients, loops, run."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import NODES, PODS, SERVICES
from kubelab.auth import methods
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.client.informer import Informer
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.kubelet import node as nodes
from kubelab.kubelet.address import own_address
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.cri import Runtime
from kubelab.kubelet.lease import NodeLease
from kubelab.kubelet.logrotation import Limits, LogRotation
from kubelab.kubelet.machine import Machine, read_machine
from kubelab.kubelet.manager import PodManager
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.kubelet.node import NodeFacts
from kubelab.kubelet.nodeagent import NodeAgent
from kubelab.kubelet.podconfig import NodeSettings
from kubelab.kubelet.records import CallRecords
from kubelab.kubelet.routes import KernelRoutes, Router
from kubelab.kubelet.security import NodeSecurity
from kubelab.kubelet.server import KubeletServicer
from kubelab.kubelet.state import Kit
from kubelab.kubelet.statusmanager import StatusManager
from kubelab.kubelet.telling import PodEvents
from kubelab.kubelet.userranges import UserRanges
from kubelab.rpc.kubelet.v1 import kubelet_pb2_grpc


@dataclass(frozen=True)
class Informers:
    """What is watched: the pods of this node, every node, every service."""

    pods: Informer[core_pb2.Pod]
    nodes: Informer[core_pb2.Node]
    services: Informer[core_pb2.Service]


async def run(config: KubeletConfig, env: Environment) -> None:
    name = config.node_name or env.node
    machine, resolv_conf, hosts = await asyncio.to_thread(_read_files, config, name)
    metrics, records = KubeletMetrics.on(env.registry), CallRecords()
    async with env.client() as client, _runtime(config, env, metrics, records) as runtime:
        ip = config.node_ip or own_address(config.kubeconfig)
        facts = NodeFacts(
            name=name,
            ip=ip,
            port=int(config.bind_address.rpartition(":")[2]),
            machine=machine,
            max_pods=config.max_pods,
            labels=dict(config.node_labels),
        )
        settings = NodeSettings(
            node_name=name,
            node_ip=ip,
            log_root=config.log_dir,
            memory_bytes=machine.memory_bytes,
            allocatable=nodes.allocatable(facts),
            cluster_dns=tuple(config.cluster_dns),
            cluster_domain=config.cluster_domain,
            resolv_conf=resolv_conf,
            hosts=hosts,
            pod_pids_limit=config.pod_pids_limit,
            security=NodeSecurity(
                apparmor=machine.apparmor,
                seccomp_root=config.state_dir / "seccomp",
                seccomp_default=config.seccomp_default,
                unsafe_sysctls=tuple(config.allowed_unsafe_sysctls),
            ),
        )
        informers = _informers(client, env, name)
        recorder = EventRecorder(client, "kubelet", name, env.clock, log=env.log)
        statuses = StatusManager(client, clock=env.clock, log=env.log, metrics=metrics)
        manager = _pods(config, env, settings, facts, client, runtime, informers, recorder, statuses, metrics)
        agent = _node(config, env, facts, client, runtime, informers, recorder)
        manager.on_runtime_moved(agent.runtime_moved)
        rotation = LogRotation(
            manager.running_logs,
            runtime.reopen_log,
            Limits.of(config),
            clock=env.clock,
            log=env.log,
            period=config.container_log_monitor_interval,
        )
        lease = NodeLease(
            client,
            name,
            lambda: agent.node,
            clock=env.clock,
            log=env.log,
            duration_seconds=config.node_lease_duration_seconds,
            renew_seconds=config.node_lease_renew_interval,
        )
        router = Router(
            informers.nodes,
            name,
            ip,
            KernelRoutes(),
            pods=IPv4Network(config.cluster_cidr),
            mask=config.node_cidr_mask_size,
            node_network=config.node_network,
            clock=env.clock,
            log=env.log,
            metrics=metrics,
        )
        servicer = KubeletServicer(manager, records, env.clock, config.log_dir)
        add = functools.partial(kubelet_pb2_grpc.add_KubeletServicer_to_server, servicer)
        async with env.serve(add, rights=methods.KUBELET), asyncio.TaskGroup() as group:
            loops = {
                "events": recorder.run(),
                "node": agent.run(),
                "nodes-informer": informers.nodes.run(),
                "pods-informer": informers.pods.run(),
                "services-informer": informers.services.run(),
                "pods": manager.run(),
                "statuses": statuses.run(),
                "log-rotation": rotation.run(),
                "lease": _when_registered(agent, lease),
                **({"routes": router.run()} if config.routes else {}),
            }
            tasks = [group.create_task(loop, name=title) for title, loop in loops.items()]
            if not config.routes:
                env.log.info("routes are somebody else's")
            await env.stop.wait()  # containers run on: the kubelet that comes after adopts them
            for task in tasks:
                task.cancel()


async def _when_registered(agent: NodeAgent, lease: NodeLease) -> None:
    await agent.wait_registered()  # the lease names its node as its owner
    await lease.run()


def _read_files(config: KubeletConfig, name: str) -> tuple[Machine, str, str]:
    """The machine, and the texts of its /etc/resolv.conf and /etc/hosts."""
    config.log_dir.mkdir(parents=True, exist_ok=True)
    config.state_dir.mkdir(parents=True, exist_ok=True)
    texts = [path.read_text() if path.exists() else "" for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"))]
    return read_machine(config.state_dir, name), texts[0], texts[1]


@contextlib.asynccontextmanager
async def _runtime(
    config: KubeletConfig, env: Environment, metrics: KubeletMetrics, records: CallRecords
) -> AsyncGenerator[Runtime]:
    runtime = Runtime(
        config.runtime_socket,
        process=env.name,
        clock=env.clock,
        metrics=metrics,
        records=records,
        request_timeout=config.runtime_request_timeout,
        pull_timeout=config.image_pull_timeout,
    )
    try:
        yield runtime
    finally:
        await runtime.close()


def _informers(client: Client, env: Environment, name: str) -> Informers:
    return Informers(
        pods=Informer(
            client,
            PODS,
            field_selector=f"spec.nodeName={name}",
            clock=env.clock,
            registry=env.registry,
            log=env.log,
        ),
        nodes=Informer(client, NODES, clock=env.clock, registry=env.registry, log=env.log),
        services=Informer(client, SERVICES, clock=env.clock, registry=env.registry, log=env.log),
    )


def _pods(
    config: KubeletConfig,
    env: Environment,
    settings: NodeSettings,
    facts: NodeFacts,
    client: Client,
    runtime: Runtime,
    informers: Informers,
    recorder: EventRecorder,
    statuses: StatusManager,
    metrics: KubeletMetrics,
) -> PodManager:
    manager = PodManager(
        informers.pods,
        runtime,
        clock=env.clock,
        log=env.log,
        relist_seconds=config.relist_period,
        safety_relist_seconds=config.safety_relist_period,
        workers=config.workers,
    )
    manager.use(
        Kit(
            client=client,
            runtime=runtime,
            statuses=statuses,
            events=PodEvents(recorder),
            config=config,
            node=settings,
            users=UserRanges(config.state_dir / "users.json", config.max_pods),
            services=informers.services.list,
            clock=env.clock,
            log=env.log,
            metrics=metrics,
            wake=manager.wake,
            spawn=manager.spawn,
            labels=functools.partial(_labels, informers.nodes, facts),
            synced=informers.services.wait_synced,
        )
    )
    return manager


def _labels(informer: Informer[core_pb2.Node], facts: NodeFacts) -> Mapping[str, str]:
    node = informer.get(facts.name)
    return node.metadata.labels if node is not None else nodes.labels(facts)


def _node(
    config: KubeletConfig,
    env: Environment,
    facts: NodeFacts,
    client: Client,
    runtime: Runtime,
    informers: Informers,
    recorder: EventRecorder,
) -> NodeAgent:
    return NodeAgent(
        client,
        runtime,
        informers.nodes,
        recorder,
        facts,
        clock=env.clock,
        log=env.log,
        state_dir=config.state_dir,
        look_seconds=config.node_status_update_frequency,
        report_seconds=config.node_status_report_frequency,
        runtime_grace_seconds=config.runtime_grace_period,
    )


COMPONENT = Component("kubelet", KubeletConfig, run)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
