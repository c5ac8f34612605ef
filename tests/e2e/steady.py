"""Steady requests, connections and watches, and what they notice of what is done to a cluster meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import AlreadyExists, ApiError
from kubelab.apimachinery.scheme import CONFIG_MAPS, ENDPOINTS, NODES, PODS, SERVICES
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.cluster.driver import Action, ClusterDriver, ProcessState
from tests.e2e.terminal import Terminal, eventually, try_fetch

STREAMS = 4  # open connections that last from the first restart to the last
SILENT_SECONDS = 10.0  # in which an open connection brings a line, or is called dropped
WELL_SECONDS = 60.0

APP = """\
import signal, socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Ticker(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        count = 0
        while self.path == "/ticks":
            self.wfile.write(b"%d\\n" % count)
            count += 1
            time.sleep(0.05)
        self.wfile.write(socket.gethostname().encode())

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("", 8080), Ticker).serve_forever()
"""

OBJECTS = """\
apiVersion: v1
kind: ReplicationController
metadata: {name: ticker}
spec:
  replicas: 4
  selector: {app: ticker}
  template:
    metadata: {labels: {app: ticker}}
    spec:
      containers: [{name: app, image: "ticker:1"}]
---
apiVersion: v1
kind: Service
metadata: {name: ticker}
spec:
  type: NodePort
  selector: {app: ticker}
  ports: [{port: 8080}]
"""


@dataclass
class Seen:
    """What went well, and what did not."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    made_again: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    during: str = "before"  # which restart
    ticked: asyncio.Event = field(default_factory=asyncio.Event)
    counted: asyncio.Event = field(default_factory=asyncio.Event)

    async def next_tick(self) -> None:
        self.ticked.clear()
        await self.ticked.wait()

    def well(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.counted.set()

    async def more_than(self, before: dict[str, int], whats: tuple[str, ...]) -> None:
        """Wait until each of these went well once more."""
        while any(self.counts.get(what, 0) <= before.get(what, 0) for what in whats):
            self.counted.clear()
            await self.counted.wait()

    def bad(self, what: str) -> None:
        self.failed.append(f"{self.during}: {what}")


def deploy(terminal: Terminal) -> tuple[str, int]:
    """Start pods that tick behind a service; give where this machine reaches them."""
    folder = terminal.folder / "ticker"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "Dockerfile").write_text('FROM host\nCOPY app.py /app.py\nENTRYPOINT ["python3", "/app.py"]\n')
    terminal.type("kubelab image build -t ticker:1 ticker")
    terminal.type("kctl create -f -", stdin=OBJECTS)
    terminal.running("app=ticker", 4)
    url = terminal.url("ticker")
    eventually(lambda: try_fetch(url))
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    return host, int(port)


async def requests(client: Client, seen: Seen) -> None:
    """Create, get and list without end; what fails is made again once."""
    for number in itertools.count():
        obj = core_pb2.ConfigMap()
        obj.metadata.name = f"number-{number}"
        steps: tuple[tuple[str, Callable[[], Awaitable[Any]]], ...] = (
            ("create", lambda obj=obj: client.create(obj, "default")),
            ("get", lambda name=obj.metadata.name: client.get(CONFIG_MAPS, name, "default")),
            ("list", lambda: client.list(PODS, "default")),
        )
        for what, step in steps:
            await _at_most_twice(what, step, seen)


async def _at_most_twice(what: str, step: Callable[[], Awaitable[Any]], seen: Seen) -> None:
    try:
        await step()
    except ApiError as first:
        seen.made_again.append(f"{seen.during}: {what}: {first.message}")
        try:
            await step()
        except AlreadyExists:  # the first one was done, only its answer was lost
            seen.well(what)
        except ApiError as second:
            seen.bad(f"{what}: {first.message}; then {second.message}")
        else:
            seen.well(what)
    else:
        seen.well(what)


async def connections(address: tuple[str, int], seen: Seen) -> None:
    """Connect, ask and read to the end, at every tick of an open connection."""
    while True:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    answer = await reader.read()
                finally:
                    writer.close()
            assert b"200 OK" in answer, answer
            seen.well("connection")
        except (OSError, AssertionError) as err:  # TimeoutError is one of the former
            seen.bad(f"connection: {err!r}")
        await seen.next_tick()


async def stream(address: tuple[str, int], seen: Seen) -> None:
    """Read the ticks of one connection: one after the other, none missing."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"GET /ticks HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for expected in itertools.count():
            async with asyncio.timeout(SILENT_SECONDS):
                line = await reader.readline()
            if line != b"%d\n" % expected:
                seen.bad(f"stream: {line!r} instead of {expected}")
                return
            seen.well("tick")
            seen.ticked.set()
    except (OSError, TimeoutError) as err:
        seen.bad(f"stream: {err!r}")
    finally:
        writer.close()


def watch_for_flaps(informers: dict[str, Informer[Any]], seen: Seen) -> None:
    """Endpoints and pods do not change, and nodes stay ready, while their keepers are away."""

    def endpoints(old: core_pb2.Endpoints, new: core_pb2.Endpoints) -> None:
        if new.metadata.name == "ticker":
            seen.bad(f"endpoints changed: {_subsets(old)} → {_subsets(new)}")

    def pods(old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if old.status != new.status or old.metadata.deletionTimestamp != new.metadata.deletionTimestamp:
            seen.bad(f"pod {new.metadata.name} changed: {new.status}")

    def nodes(_: core_pb2.Node, new: core_pb2.Node) -> None:
        ready = next(c for c in new.status.conditions if c.type == "Ready")
        if ready.status != "True":
            seen.bad(f"node {new.metadata.name} is not ready: {ready.message}")

    informers["endpoints"].add_handler(on_update=endpoints, on_delete=lambda gone: endpoints(gone, gone))
    informers["pods"].add_handler(on_update=pods, on_delete=lambda gone: seen.bad(f"pod {gone.metadata.name} is gone"))
    informers["nodes"].add_handler(on_update=nodes, on_delete=lambda gone: seen.bad(f"{gone.metadata.name} is gone"))


def _subsets(endpoints: core_pb2.Endpoints) -> str:
    return json.dumps([[a.ip for a in s.addresses] for s in endpoints.subsets])


async def all_well(cluster: ClusterDriver) -> list[str]:
    """Wait until every process is; give their names."""
    async with asyncio.timeout(WELL_SECONDS), contextlib.aclosing(cluster.watch_status()) as answers:
        async for answer in answers:
            watched = [process for process in answer.processes if process.state is not ProcessState.UNKNOWN]
            if all(process.state is ProcessState.RUNNING for process in watched):
                return [process.name for process in watched]
    raise AssertionError("the supervisor ended")


@contextlib.asynccontextmanager
async def under_load(
    terminal: Terminal, address: tuple[str, int]
) -> AsyncGenerator[tuple[Seen, dict[str, Informer[Any]]]]:
    """Requests, connections and informers, from the moment at which all of them are there."""
    seen = Seen()
    async with (
        Client.from_kubeconfig(terminal.home / "kubeconfig", caller="test") as client,
        Client.from_kubeconfig(terminal.home / "kubeconfig", caller="watcher") as watcher,
        asyncio.TaskGroup() as group,
    ):
        resources = (ENDPOINTS, PODS, NODES, SERVICES)
        informers: dict[str, Informer[Any]] = {r.plural: Informer(watcher, r) for r in resources}
        tasks = [group.create_task(informer.run(), name=name) for name, informer in informers.items()]
        for informer in informers.values():
            await informer.wait_synced()
        watch_for_flaps(informers, seen)
        tasks += [group.create_task(stream(address, seen), name=f"stream-{n}") for n in range(STREAMS)]
        tasks.append(group.create_task(connections(address, seen), name="connections"))
        tasks.append(group.create_task(requests(client, seen), name="requests"))
        yield seen, informers
        for task in tasks:
            task.cancel()


async def restart(cluster: ClusterDriver, name: str, seen: Seen) -> None:
    """Restart a process and wait until all are well, and requests and connections went on since."""
    seen.during = name
    before = dict(seen.counts)
    await cluster.act(name, Action.RESTART)
    await all_well(cluster)
    async with asyncio.timeout(WELL_SECONDS):
        await seen.more_than(before, ("create", "connection", "tick"))
