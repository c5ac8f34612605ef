"""The api-server: the only process that talks to etcd. ``python -m kubelab.apiserver --config FILE``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator

from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.server import MESSAGE_OPTIONS, ApiServer
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.component.component import Component
from kubelab.component.environment import Environment


async def run(config: ApiServerConfig, env: Environment) -> None:
    """Serve until told to stop."""
    tls = config.etcd.tls
    servers = [server.partition("://")[2] or server for server in config.etcd.servers]
    store = EtcdStore(servers, clock=env.clock, tls=EtcdTLS(tls.ca, tls.certificate, tls.key) if tls else None)
    server = ApiServer(config, store, process=env.name, clock=env.clock, metrics=env.registry)
    env.health.note = lambda: server.space.note
    async with (
        server.running(),
        env.serve(server.add_to, options=MESSAGE_OPTIONS, rights=None),
        _serving_http(config, env, server),
    ):
        async with asyncio.TaskGroup() as group:
            report = group.create_task(server.report(env.health.set_serving), name="health")
            await env.stop.wait()
            report.cancel()
        await env.health.set_serving(False)
        await server.drain()


@contextlib.asynccontextmanager
async def _serving_http(config: ApiServerConfig, env: Environment, server: ApiServer) -> AsyncGenerator[None]:
    """Serve the HTTP front while the body runs, where it is wanted."""
    address = config.http_bind_address
    if not address:
        yield
        return
    from kubelab.apiserver.httpfront.server import serve_http

    front = server.http_front(env.metrics)
    async with serve_http(address, front, tls=config.tls, share_port=env.workers > 1):
        env.log.info("serving", address=address, protocol="https")
        yield


COMPONENT = Component(name="api-server", config=ApiServerConfig, run=run, workers=lambda config: config.workers)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
