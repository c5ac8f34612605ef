"""A control plane in this process: real etcd, a real api-server, and as many schedulers and controller-managers as a
test starts, each over gRPC with its own certificate. A test's own kubelet says that pods run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import NODES, PODS, Resource
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.server import MESSAGE_OPTIONS, ApiServer
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.client.transport import Connections
from kubelab.component.config import TLS
from kubelab.component.environment import Environment
from kubelab.component.leading import LeaderElectionConfig
from kubelab.component.serving import Health, serve_grpc
from kubelab.controllermanager import __main__ as controllermanager
from kubelab.controllermanager.config import ControllerManagerConfig, NodeLifecycleConfig
from kubelab.rpc.channels import TLSIdentity
from kubelab.scheduler import __main__ as scheduler
from kubelab.scheduler.config import SchedulerConfig
from tests.support import objects as make
from tests.support.etcd import Etcd
from tests.support.pki import TestAuthority

CLOCK = SystemClock()
M = TypeVar("M", bound=Message)


@dataclass
class ControlPlane:
    """``admin`` may do everything; ``start_*`` give what stops the process again."""

    authority: TestAuthority
    port: int
    stack: contextlib.AsyncExitStack
    admin: Client = field(init=False)

    def connect(self, user: str, group: str = "") -> Client:
        files = self.authority.issue(user, group)
        identity = TLSIdentity.from_files(files.ca, files.certificate, files.key)
        address = f"127.0.0.1:{self.port}"
        connections = Connections.secure([address], identity, caller=user, clock=CLOCK, server_name="")
        return Client(connections, clock=CLOCK, caller=user)

    async def _start(self, work: Callable[[Client], Awaitable[None]], user: str) -> Callable[[], Awaitable[None]]:
        client = self.connect(user)

        async def run() -> None:
            async with client:
                await work(client)

        task = asyncio.ensure_future(run())

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self.stack.push_async_callback(stop)
        return stop

    async def start_scheduler(self, name: str = "scheduler@cp-1") -> Callable[[], Awaitable[None]]:
        election = LeaderElectionConfig(lease_duration=3, renew_deadline=2, retry_period=0.2)
        config = SchedulerConfig(name=name, leader_election=election, pod_initial_backoff=0.1, pod_max_backoff=0.5)
        env = Environment(config, "scheduler", registry=CollectorRegistry())
        return await self._start(lambda client: scheduler.work(config, env, client), "system:kube-scheduler")

    async def start_controllers(
        self, name: str = "controller-manager@cp-1", *, grace: float = 40
    ) -> Callable[[], Awaitable[None]]:
        config = ControllerManagerConfig(
            name=name,
            leader_election=LeaderElectionConfig(lease_duration=3, renew_deadline=2, retry_period=0.2),
            node_lifecycle=NodeLifecycleConfig(node_monitor_grace_period=grace, node_eviction_rate=10),
        )
        config.pod_gc.node_quarantine = 0.5
        env = Environment(config, "controller-manager", registry=CollectorRegistry())
        user = "system:kube-controller-manager"
        return await self._start(lambda client: controllermanager.work(config, env, client), user)

    async def add_node(self, name: str) -> None:
        """Register a node that says it is ready."""
        node = make.node(name)
        await self.admin.create(core_pb2.Node(metadata=node.metadata))
        await self.post_status(name, node.status)

    async def post_status(self, name: str, status: core_pb2.NodeStatus) -> None:
        """Be a node's kubelet."""
        while True:
            node = await self.admin.get(NODES, name)
            node.status.CopyFrom(status)
            try:
                await self.admin.update_status(node)
            except Conflict:  # the controllers write to nodes, too
                continue
            return

    async def start_kubelets(self) -> None:
        """Do every kubelet's part: bound pods run and are ready, deleted ones end."""
        watched = Informer(self.admin, PODS)
        changed: asyncio.Queue[core_pb2.Pod] = asyncio.Queue()
        watched.add_handler(on_add=changed.put_nowait, on_update=lambda _, new: changed.put_nowait(new))

        async def serve() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(watched.run())
                while True:
                    pod = await changed.get()
                    with contextlib.suppress(NotFound, Conflict):
                        await self._as_kubelet(pod)

        task = asyncio.ensure_future(serve())

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self.stack.push_async_callback(stop)

    async def _as_kubelet(self, pod: core_pb2.Pod) -> None:
        meta = pod.metadata
        if not pod.spec.nodeName or pod.spec.nodeName == "silent":
            return
        if meta.HasField("deletionTimestamp"):
            await self.admin.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid)
        elif pod.status.phase == "Pending":
            running = deep_copy(pod)
            running.status.phase = "Running"
            running.status.podIP = f"10.244.{hash(meta.uid) % 250}.{hash(meta.name) % 250 + 1}"
            running.status.conditions.add(type="Ready", status="True")
            await self.admin.update_status(running)

    async def until(
        self, resource: Resource[M], condition: Callable[[list[M]], object], namespace: str = "default"
    ) -> None:
        """Wait until the objects of a namespace are as they should be; asked again after every change of one."""
        async with asyncio.timeout(30):
            while True:
                listed = await self.admin.list(resource, namespace)
                if condition(listed.items):
                    return
                changes = self.admin.watch(resource, namespace, resource_version=listed.resource_version)
                async for event in changes:
                    if event.object is not None:
                        break
                await changes.aclose()

    async def nodes(self) -> dict[str, core_pb2.Node]:
        return {node.metadata.name: node for node in (await self.admin.list(NODES)).items}


@pytest.fixture
async def plane(etcd_server: Etcd, authority: TestAuthority, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """An empty cluster with an api-server."""
    serving, client = authority.issue("kube-apiserver"), etcd_server.client
    store = EtcdStore([etcd_server.address], clock=CLOCK, tls=EtcdTLS(client.ca, client.certificate, client.key))
    api = ApiServer(
        ApiServerConfig(audit_log=tmp_path / "audit" / "audit.log"),
        store,
        process="api-server@cp-1",
        clock=CLOCK,
        metrics=CollectorRegistry(),
    )
    tls = TLS(ca=serving.ca, certificate=serving.certificate, key=serving.key)
    async with contextlib.AsyncExitStack() as outer:
        await outer.enter_async_context(api.running())
        served = await outer.enter_async_context(
            serve_grpc("127.0.0.1:0", [api.add_to], tls=tls, health=Health(), options=MESSAGE_OPTIONS)
        )
        outer.callback(api.reflector.close_watches)
        stack = await outer.enter_async_context(contextlib.AsyncExitStack())
        plane = ControlPlane(authority, served.port, stack)
        plane.admin = await stack.enter_async_context(plane.connect("kubernetes-admin", "system:masters"))
        yield plane
