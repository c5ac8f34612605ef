"""Two api-servers on one real etcd, in this process, and clients that speak gRPC with mTLS to them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.server import MESSAGE_OPTIONS, ApiServer
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.client.client import Client
from kubelab.client.transport import Connections
from kubelab.component.config import TLS
from kubelab.component.serving import Health, serve_grpc
from kubelab.rpc.channels import TLSIdentity
from tests.support.etcd import Etcd
from tests.support.pki import TestAuthority


@dataclass
class ApiServers:
    """``a`` and ``b`` are an administrator's clients, one for each server."""

    authority: TestAuthority
    apis: list[ApiServer]
    ports: list[int]
    a: Client = field(init=False)
    b: Client = field(init=False)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def connect(
        self, common_name: str, organization: str = "", *, server: int | None = 0, process: str = ""
    ) -> Client:
        """A client of one server, or of all of them; it calls itself ``test``, whatever its certificate says."""
        files = self.authority.issue(common_name, organization, process=process)
        identity = TLSIdentity.from_files(files.ca, files.certificate, files.key)
        clock = SystemClock()
        addresses = [f"127.0.0.1:{port}" for port in (self.ports if server is None else [self.ports[server]])]
        connections = Connections.secure(addresses, identity, caller="test", clock=clock, server_name="")
        return await self._stack.enter_async_context(Client(connections, clock=clock, caller="test"))

    async def close(self) -> None:
        await self._stack.aclose()


Start = Callable[..., Any]


@pytest.fixture
async def start(etcd_server: Etcd, authority: TestAuthority, tmp_path: Path) -> AsyncIterator[Start]:
    """Start api-servers on the test's etcd; keywords go into their configuration. ``etcd`` has the address by which
    each of them reaches it, if not all directly."""
    async with contextlib.AsyncExitStack() as stack:

        async def run(count: int = 2, *, etcd: Sequence[str] = (), **settings: Any) -> ApiServers:
            serving = authority.issue("kube-apiserver")
            tls = TLS(ca=serving.ca, certificate=serving.certificate, key=serving.key)
            client = etcd_server.client
            running = ApiServers(authority, [], [])
            for n in range(count):
                clock = SystemClock()
                settings.setdefault("audit_log", tmp_path / "audit" / "audit.log")
                config = ApiServerConfig(**settings)
                address = etcd[n] if etcd else etcd_server.address
                store = EtcdStore([address], clock=clock, tls=EtcdTLS(client.ca, client.certificate, client.key))
                api = ApiServer(
                    config,
                    store,
                    process=f"api-server@cp-{n + 1}",
                    clock=clock,
                    metrics=CollectorRegistry(),
                )
                await stack.enter_async_context(api.running())
                served = await stack.enter_async_context(
                    serve_grpc("127.0.0.1:0", [api.add_to], tls=tls, health=Health(), options=MESSAGE_OPTIONS)
                )
                stack.callback(api.reflector.close_watches)
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
