"""A control plane of real processes: three members of etcd and two api-servers, all on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import ApiError
from kubelab.client.client import Client
from kubelab.client.transport import Connections
from kubelab.rpc.channels import TLSIdentity
from tests.support import etcd as testing_etcd
from tests.support.etcd import Etcd
from tests.support.pki import Files, TestAuthority

START_SECONDS = 30.0
CLOCK = SystemClock()


@dataclass
class Server:
    """One api-server as a process."""

    config: Path
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "kubelab.apiserver", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, 15)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@dataclass
class Plane:
    """Members of etcd, api-servers, and whoever asks them."""

    etcd: tuple[Etcd, ...]
    servers: list[Server]
    admin: Files
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def client(self, *servers: Server) -> Client:
        """Connect; the first server named is the one that is asked first."""
        identity = TLSIdentity.from_files(self.admin.ca, self.admin.certificate, self.admin.key)
        wanted = servers or tuple(self.servers)
        connections = Connections.secure([s.address for s in wanted], identity, caller="test", clock=CLOCK)
        connections._current = 0
        return await self.stack.enter_async_context(Client(connections, clock=CLOCK, caller="test"))

    async def up(self, server: Server) -> None:
        """Wait until a server answers."""
        async with await self.client(server) as client, asyncio.timeout(START_SECONDS):
            while True:
                with contextlib.suppress(ApiError):
                    await client.server_version()
                    return


@pytest.fixture
def etcd_members(tmp_path: Path, authority: TestAuthority) -> Iterator[tuple[Etcd, ...]]:
    if testing_etcd.missing():
        pytest.skip("no etcd on this machine")
    folder = tmp_path / "etcd"
    folder.mkdir()
    with testing_etcd.members(folder, authority, 3) as running:
        yield running


@pytest.fixture
async def plane(etcd_members: tuple[Etcd, ...], authority: TestAuthority, tmp_path: Path) -> AsyncIterator[Plane]:
    async with _running(etcd_members, authority, tmp_path) as plane:
        yield plane


@contextlib.asynccontextmanager
async def _running(etcd: tuple[Etcd, ...], authority: TestAuthority, folder: Path) -> AsyncGenerator[Plane]:
    serving = authority.issue("kube-apiserver")
    plane = Plane(etcd, [], authority.issue("kubernetes-admin", "system:masters"))
    addresses = [one.address for one in etcd]
    for n in range(2):
        port = _free_port()
        settings = {
            "name": f"api-server@cp-{n + 1}",
            "bindAddress": f"127.0.0.1:{port}",
            "httpBindAddress": "",
            "tls": _paths(serving),
            "etcd": {"servers": [*addresses[n:], *addresses[:n]], "tls": _paths(etcd[0].client)},
            "workers": 1,
        }
        config = folder / f"api-server-{n}.yaml"
        config.write_text(yaml.safe_dump(settings))
        plane.servers.append(Server(config, port, folder / f"api-server-{n}.log"))
    try:
        for server in plane.servers:
            server.start()
        for server in plane.servers:
            await plane.up(server)
        async with plane.stack:
            yield plane
    finally:
        for server in plane.servers:
            server.stop()


def _paths(files: Files) -> dict[str, str]:
    return {"ca": str(files.ca), "certificate": str(files.certificate), "key": str(files.key)}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
