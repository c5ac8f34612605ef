"""``python -m kubelab.kubelet``: configuration, clients, loops, run."""

from __future__ import annotations

import asyncio
import functools
import sys
from ipaddress import IPv4Network

from kubelab.auth import methods
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.dependencies import Dependencies, dependencies
from kubelab.kubelet.logs.rotation import Limits, LogRotation
from kubelab.kubelet.node.lease import NodeLease
from kubelab.kubelet.node.routes import KernelRoutes, Router
from kubelab.kubelet.node.statusmanager import NodeStatusManager
from kubelab.kubelet.pods.manager import PodManager
from kubelab.kubelet.streaming.commands import Commands
from kubelab.kubelet.streaming.pages import Pages
from kubelab.kubelet.streaming.portforward import PortForwarder
from kubelab.kubelet.streaming.server import KubeletServicer
from kubelab.rpc.kubelet.v1 import kubelet_pb2_grpc


async def run(config: KubeletConfig, env: Environment) -> None:
    async with dependencies(config, env) as deps:
        manager, status = PodManager(deps), NodeStatusManager(deps)
        manager.on_runtime_changed(status.runtime_changed)
        rotation, lease, router = _log_rotation(deps, manager), _node_lease(deps, status), _router(deps)
        commands = Commands(manager, deps.runtime, deps.clock)
        forwarder = PortForwarder(manager, deps.runtime, deps.clock)
        pages = Pages(config, lambda: env.health.serving, env.metrics, deps.informers.pods.list)
        servicer = KubeletServicer(manager, deps.records, deps.clock, config.log_dir, commands, forwarder, pages)
        add = functools.partial(kubelet_pb2_grpc.add_KubeletServicer_to_server, servicer)
        async with env.serve(add, rights=methods.KUBELET), asyncio.TaskGroup() as group:
            loops = {
                "events": deps.recorder.run(),
                "node": status.run(),
                "nodes-informer": deps.informers.nodes.run(),
                "pods-informer": deps.informers.pods.run(),
                "services-informer": deps.informers.services.run(),
                "pods": manager.run(),
                "statuses": deps.statuses.run(),
                "log-rotation": rotation.run(),
                "lease": _when_registered(status, lease),
                **({"routes": router.run()} if config.routes else {}),
            }
            tasks = [group.create_task(loop, name=title) for title, loop in loops.items()]
            if not config.routes:
                env.log.info("the node's routes are written by another component")
            await env.stop.wait()  # containers run on: the kubelet that comes after adopts them
            for task in tasks:
                task.cancel()


async def _when_registered(status: NodeStatusManager, lease: NodeLease) -> None:
    await status.wait_registered()  # the lease names its node as its owner
    await lease.run()


def _log_rotation(deps: Dependencies, manager: PodManager) -> LogRotation:
    config = deps.config
    return LogRotation(
        manager.running_logs,
        deps.runtime.reopen_log,
        Limits.of(config),
        clock=deps.clock,
        log=deps.log,
        period=config.container_log_monitor_interval,
    )


def _node_lease(deps: Dependencies, status: NodeStatusManager) -> NodeLease:
    return NodeLease(
        deps.client,
        deps.facts.name,
        lambda: status.node,
        clock=deps.clock,
        log=deps.log,
        duration_seconds=deps.config.node_lease_duration_seconds,
        renew_seconds=deps.config.node_lease_renew_interval,
    )


def _router(deps: Dependencies) -> Router:
    config = deps.config
    return Router(
        deps.informers.nodes,
        deps.facts.name,
        deps.facts.ip,
        KernelRoutes(),
        pods=IPv4Network(config.cluster_cidr),
        mask=config.node_cidr_mask_size,
        node_network=config.node_network,
        clock=deps.clock,
        log=deps.log,
        metrics=deps.metrics,
    )


COMPONENT = Component("kubelet", KubeletConfig, run)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
