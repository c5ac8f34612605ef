"""The environment of a component: its name, clock, logger, metrics, servers, and clients of the api-server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Literal

import grpc
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.auth.methods import MethodAuthorizer, Right
from kubelab.client.client import Client
from kubelab.client.metrics import BugCounts
from kubelab.component import scraping
from kubelab.component.config import BaseConfig, ConfigError
from kubelab.component.scraping import Workers, serve_metrics
from kubelab.component.serving import Adder, Health, Serving, serve_grpc

NOTHING: Mapping[str, Right] = {}


class Stop(asyncio.Event):
    """Set by SIGTERM and SIGINT. A task that waits for it gets time to end; other tasks are cancelled at once."""

    def __init__(self) -> None:
        super().__init__()
        self.watched = False

    async def wait(self) -> Literal[True]:
        self.watched = True
        return await super().wait()


class Environment:
    """One per process; a test makes its own with a fake clock and a fake client."""

    def __init__(
        self,
        config: BaseConfig,
        component: str,
        *,
        clock: Clock | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
        registry: CollectorRegistry | None = None,
        make_client: Callable[[str], Client] | None = None,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self.config = config
        self.component = component
        self.name = process_name(config, component)
        self.node = self.name.partition("@")[2]
        self.clock: Clock = clock or SystemClock()
        self.log: structlog.typing.FilteringBoundLogger = log or structlog.get_logger()
        self.registry = registry or new_registry()
        self.stop = Stop()
        self.health = Health()
        self.worker, self.workers = worker, workers
        self.prepared: object = None  # what Component.prepare gave
        self._make_client = make_client

    def client(self, caller: str = "") -> Client:
        """Make a client of the api-server; close it. ``caller`` is this process's name by default."""
        caller = caller or self.name
        if self._make_client:
            return self._make_client(caller)
        if self.config.kubeconfig is None:
            raise ConfigError("kubeconfig: required value, expected file")
        return Client.from_kubeconfig(self.config.kubeconfig, caller=caller, clock=self.clock)

    async def metrics(self) -> tuple[bytes, str]:
        """Give the metrics of all workers, and their content type."""
        return await scraping.page(self.registry, self.clock, Workers(self.worker, self.workers))

    @contextlib.asynccontextmanager
    async def serve(
        self,
        *adders: Adder,
        ready: bool = True,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        options: Sequence[tuple[str, int | str]] = (),
        address: str = "",
        rights: Mapping[str, Right] | None = NOTHING,
    ) -> AsyncGenerator[Serving]:
        """Serve the given services, health and reflection at ``bind_address``, /metrics, /livez and /readyz, until the
        body ends.

        Each adder is called with the server: ``partial(add_XServicer_to_server, servicer)``. With ``ready=False`` the
        component says itself when it serves: ``await env.health.set_serving()``. ``rights`` says what a caller must be
        allowed for each method of these services; with None they see to that themselves. On a unix socket the file's
        mode says who may.
        """
        several = self.workers > 1
        address = address or self.config.bind_address
        judged = rights is not None and not address.startswith("unix:")
        async with (
            serve_metrics(
                self.config.metrics_address,
                self.registry,
                self.clock,
                Workers(self.worker, self.workers),
                ready=lambda: self.health.serving,
                note=lambda: self.health.note(),
                tls=self.config.tls,
            ),
            serve_grpc(
                address,
                adders,
                tls=self.config.tls,
                health=self.health,
                ready=ready,
                share_port=several,
                interceptors=interceptors,
                options=options,
                check=MethodAuthorizer(self.node, rights).check if judged else None,
            ) as serving,
        ):
            self.log.info("serving", address=address)
            yield serving


def process_name(config: BaseConfig, component: str) -> str:
    """``scheduler@cp-1``: as configured, else with this host's name."""
    if config.name:
        return config.name
    import socket

    return f"{component}@{socket.gethostname()}"


def new_registry() -> CollectorRegistry:
    """Make a registry with what every process shows: its memory, its CPU, its bugs."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(BugCounts())
    return registry
