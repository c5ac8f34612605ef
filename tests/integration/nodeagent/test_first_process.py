"""A machine as its first process, in pid, mount and network namespaces of its own: what a container would be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from kubelab.rpc.channels import unix_channel
from kubelab.rpc.supervisor.v1 import nodeagent_pb2_grpc
from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from tests.support.polling import until_true

pytestmark = pytest.mark.root
SECONDS = 20.0
FLAGS = ["--node-name=node-1", "--tunnel-address=127.0.0.1", "--tunnel-ports=29100-29102", "--grace-seconds=0.5"]


@dataclass
class Machine:
    """``pid`` is the first process as seen from outside, ``process`` what started it."""

    folder: Path
    process: subprocess.Popen[bytes]
    pid: int

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def children(self) -> dict[int, str]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        found: dict[int, str] = {}
        for pid in text.split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # reaped meanwhile
                found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
        return found

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--pid", "--mount", "--net", *command]

    def agent(self) -> tuple[grpc.aio.Channel, Any]:
        channel = unix_channel(self.folder / "agent.sock")
        return channel, nodeagent_pb2_grpc.NodeAgentStub(channel)


def start(folder: Path, *before: str) -> subprocess.Popen[bytes]:
    sockets = [f"--socket={folder / 'agent.sock'}", f"--launcher-socket={folder / 'launcher.sock'}"]
    files = [f"--state-dir={folder / 'state'}", f"--tunnels-file={folder / 'tunnels.json'}"]
    own = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", *before]
    with (folder / "log").open("ab") as log:
        command = [*own, sys.executable, "-m", "kubelab.nodeagent", *FLAGS, *sockets, *files]
        return subprocess.Popen(command, stdout=log, stderr=log)


async def until(condition: Callable[[], object]) -> None:
    await until_true(condition, within=SECONDS)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = Path(tempfile.mkdtemp(prefix="kl-machine-"))
    process = start(folder)
    try:
        await until(lambda: "serving address=" in (folder / "log").read_text())
        pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        yield Machine(folder, process, pid)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait, SECONDS)
        shutil.rmtree(folder)


async def test_orphans_are_taken_in_and_reaped(machine: Machine) -> None:
    assert sorted(machine.children().values()) == ["kl-agent", "kl-launcher"]
    await asyncio.to_thread(subprocess.run, machine.inside("sh", "-c", "sleep 1000 &"), check=True, timeout=SECONDS)
    await until(lambda: "sleep" in machine.children().values())
    orphan = next(pid for pid, name in machine.children().items() if name == "sleep")
    os.kill(orphan, signal.SIGKILL)
    await until(lambda: orphan not in machine.children())


async def test_it_ends_when_told_to_and_all_with_it(machine: Machine) -> None:
    children = machine.children()
    await asyncio.to_thread(subprocess.run, machine.inside("sh", "-c", "sleep 1000 &"), check=True, timeout=SECONDS)
    os.kill(machine.pid, signal.SIGTERM)
    assert await asyncio.to_thread(machine.process.wait, SECONDS) == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


async def test_the_network_is_ready(machine: Machine) -> None:
    look = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter; ip -brief link show lo up"
    told = await asyncio.to_thread(
        subprocess.run, machine.inside("sh", "-c", look), check=True, timeout=SECONDS, capture_output=True, text=True
    )
    assert told.stdout.split()[:3] == ["1", "0", "lo"]


async def test_tunnels_are_taken_from_the_range_and_come_back_with_the_next_agent(machine: Machine) -> None:
    channel, agent = machine.agent()
    async with channel:
        first = await agent.OpenTunnel(pb.OpenTunnelRequest(address="127.0.0.1:8080"), timeout=SECONDS)
        assert (first.local_port, first.node) == (29100, "node-1")
        assert await agent.OpenTunnel(pb.OpenTunnelRequest(address="127.0.0.1:8080"), timeout=SECONDS) == first
        for port in (29101, 29102):
            opened = await agent.OpenTunnel(pb.OpenTunnelRequest(address=f"127.0.0.1:{port - 20000}"), timeout=SECONDS)
            assert opened.local_port == port
        await refused(agent, pb.OpenTunnelRequest(address="127.0.0.1:1"), grpc.StatusCode.RESOURCE_EXHAUSTED)
        await refused(
            agent, pb.OpenTunnelRequest(address="127.0.0.1:1", local_port=80), grpc.StatusCode.INVALID_ARGUMENT
        )
        await refused(agent, pb.OpenTunnelRequest(node="node-2", address="a:1"), grpc.StatusCode.INVALID_ARGUMENT)
        await agent.CloseTunnel(pb.CloseTunnelRequest(local_port=29101), timeout=SECONDS)
    os.kill(next(pid for pid, name in machine.children().items() if name == "kl-agent"), signal.SIGKILL)
    await until(lambda: machine.log.count("serving address=") == 2)
    channel, agent = machine.agent()
    async with channel:
        listed = await agent.ListTunnels(pb.ListTunnelsRequest(), timeout=SECONDS)
    assert [tunnel.local_port for tunnel in listed.tunnels] == [29100, 29102]
    assert await asyncio.to_thread(through, machine, 29100) == "hello\n"


def through(machine: Machine, port: int) -> str:
    """Serve once at port 8080 inside, and ask by the tunnel's port."""
    listen = "import socket; s=socket.create_server(('127.0.0.1', 8080)); print('up', flush=True)"
    serve = f"{listen}; c,_=s.accept(); c.sendall(b'hello\\n')"
    ask = f"import socket; print(socket.create_connection(('127.0.0.1', {port}), 5).recv(9).decode(), end='')"
    with subprocess.Popen(machine.inside(sys.executable, "-c", serve), stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert select.select([server.stdout], [], [], SECONDS)[0]
        asked = subprocess.run(
            machine.inside(sys.executable, "-c", ask), check=True, timeout=SECONDS, capture_output=True, text=True
        )
    return asked.stdout


async def refused(agent: Any, request: pb.OpenTunnelRequest, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await agent.OpenTunnel(request, timeout=SECONDS)
    assert caught.value.code() is code


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"], "CAP_NET_ADMIN: not permitted here"),
        (["sh", "-c", 'mount -t tmpfs -o ro none {}/state && exec "$@"', "-"], "cannot write to {}/state: Read-only"),
    ],
)
async def test_what_is_missing_is_said_in_one_line(tmp_path: Path, before: list[str], told: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "state").mkdir()
    process = start(tmp_path, *(part.replace("{}", str(tmp_path)) for part in before))
    assert await asyncio.to_thread(process.wait, SECONDS) == 1
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert told.replace("{}", str(tmp_path)) in line
