"""Two api-servers on one real etcd, in this process, and clients that speak gRPC with mTLS to them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.server import MESSAGE_OPTIONS, ApiServer
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.client.channels import Identity
from kubelab.client.client import Client
from kubelab.client.transport import Connections
from kubelab.component.config import TLS
from kubelab.component.serving import Health, serve_grpc
from kubelab.testing.etcd import Etcd
from kubelab.testing.pki import TestAuthority


class PlainRules:
    """The least that the registry needs: what these tests show does not depend on any resource's own rules."""

    def __init__(self, resource: Resource[Message]) -> None:
        self.resource = resource

    def default(self, obj: Any) -> None:
        if isinstance(obj, core_pb2.Namespace):
            obj.metadata.labels["kubernetes.io/metadata.name"] = obj.metadata.name

    def prepare_for_create(self, obj: Any) -> None:
        obj.metadata.generation = 1
        if isinstance(obj, core_pb2.Namespace):
            obj.status.phase = "Active"
            obj.spec.finalizers[:] = ["kubernetes"]

    def prepare_for_update(self, obj: Any, old: Any) -> None:
        if "status" in obj.DESCRIPTOR.fields_by_name:
            obj.status.CopyFrom(old.status)

    def prepare_for_status_update(self, obj: Any, old: Any) -> None:
        obj.spec.CopyFrom(old.spec)

    def validate(self, obj: Any) -> list[Cause]:
        if isinstance(obj, core_pb2.Pod) and not obj.spec.containers:
            return [Cause("spec.containers", "Required value", "FieldValueRequired")]
        return []

    def validate_update(self, obj: Any, old: Any) -> list[Cause]:
        return self.validate(obj)

    def validate_status_update(self, obj: Any, old: Any) -> list[Cause]:
        return []

    def selectable_fields(self, obj: Any) -> Mapping[str, str]:
        fields = {"metadata.name": obj.metadata.name, "metadata.namespace": obj.metadata.namespace}
        if isinstance(obj, core_pb2.Pod):
            fields |= {"spec.nodeName": obj.spec.nodeName, "status.phase": obj.status.phase}
        if isinstance(obj, core_pb2.Namespace):
            fields["status.phase"] = obj.status.phase
        return fields

    def graceful_delete_seconds(self, obj: Any, options: meta_pb2.DeleteOptions) -> int | None:
        if not isinstance(obj, core_pb2.Pod):
            return None
        if not obj.spec.nodeName:
            return 0
        return options.gracePeriodSeconds if options.HasField("gracePeriodSeconds") else 30


@dataclass
class ApiServers:
    """``a`` and ``b`` are an administrator's clients, one for each server."""

    authority: TestAuthority
    apis: list[ApiServer]
    ports: list[int]
    a: Client = field(init=False)
    b: Client = field(init=False)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def connect(self, common_name: str, organization: str = "", *, server: int = 0) -> Client:
        files = self.authority.issue(common_name, organization)
        identity = Identity.from_files(files.ca, files.certificate, files.key)
        clock = SystemClock()
        address = f"127.0.0.1:{self.ports[server]}"
        connections = Connections.secure([address], identity, caller="test", clock=clock, server_name="")
        return await self._stack.enter_async_context(Client(connections, clock=clock, caller="test"))

    async def close(self) -> None:
        await self._stack.aclose()


Start = Callable[..., Any]


@pytest.fixture
async def start(etcd_server: Etcd, authority: TestAuthority, tmp_path: Path) -> AsyncIterator[Start]:
    """Start api-servers on the test's etcd; keywords go into their configuration."""
    async with contextlib.AsyncExitStack() as stack:

        async def run(count: int = 2, **settings: Any) -> ApiServers:
            serving = authority.issue("kube-apiserver")
            tls = TLS(ca=serving.ca, certificate=serving.certificate, key=serving.key)
            client = etcd_server.client
            running = ApiServers(authority, [], [])
            for n in range(count):
                clock = SystemClock()
                settings.setdefault("audit_log", tmp_path / "audit" / "audit.log")
                config = ApiServerConfig(**settings)
                store = EtcdStore(
                    [etcd_server.address], clock=clock, tls=EtcdTLS(client.ca, client.certificate, client.key)
                )
                api = ApiServer(
                    config,
                    store,
                    process=f"api-server@cp-{n + 1}",
                    rules={r.plural: PlainRules(r) for r in scheme.ALL},
                    row=lambda _resource, obj, _now: [obj.metadata.name],  # pyright: ignore
                    clock=clock,
                    metrics=CollectorRegistry(),
                )
                await stack.enter_async_context(api.running())
                served = await stack.enter_async_context(
                    serve_grpc("127.0.0.1:0", [api.add_to], tls=tls, health=Health(), options=MESSAGE_OPTIONS)
                )
                stack.callback(api.feed.close_watches)
                running.apis.append(api)
                running.ports.append(served.port)
            stack.push_async_callback(running.close)
            running.a = await running.connect("kubernetes-admin", "system:masters")
            running.b = await running.connect("kubernetes-admin", "system:masters", server=count - 1)
            return running

        yield run


@pytest.fixture
async def servers(start: Start) -> AsyncIterator[ApiServers]:
    running = await start()
    yield running
    for api in running.apis:
        for cache in api.caches.values():
            cache.check_invariants()
