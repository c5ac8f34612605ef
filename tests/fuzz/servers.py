"""Servers to fuzz: where they listen, which process it is, and what it writes.

:func:`control_plane` is an api-server on a real etcd, without a node. :func:`cluster` is a whole cluster of the
fuzzer's own: supervisor, kubelet, runtime and node agent as they are. Nothing of either is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import yaml

from kubelab.apimachinery.clock import SystemClock
from kubelab.client.client import Client
from kubelab.client.kubeconfig import API_SERVER_NAME
from kubelab.client.transport import Connections
from kubelab.cluster import launch
from kubelab.cluster.driver import Action, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.rpc.channels import TLSIdentity, open_channel, unix_channel
from kubelab.rpc.runtime.v1 import images_pb2, images_pb2_grpc
from kubelab.supervisor import cleanup, processes
from kubelab.topology.components import PORTS, server_name
from kubelab.topology.record import Record
from tests.fuzz.relay import relay
from tests.fuzz.requests import IMAGE
from tests.support import etcd as testing_etcd
from tests.support.cri import FakeRuntime
from tests.support.pki import Files, TestAuthority

START_SECONDS = 60.0


@dataclass(slots=True)
class Server:
    """``pid`` gives the process that answers, ``log`` is what it writes, ``avoid`` methods that end it by design."""

    name: str
    connect: Callable[[], grpc.aio.Channel]
    pid: Callable[[], int]
    log: Path
    avoid: frozenset[str] = frozenset()
    seen: int = 0  # bytes of the log that were looked at

    def new_log(self) -> str:
        """What was written since the last look."""
        with self.log.open("rb") as file:
            file.seek(self.seen)
            raw = file.read()
        self.seen += len(raw)
        return raw.decode(errors="replace")


@dataclass(slots=True)
class Place:
    """Servers, and an administrator's client of their api-server."""

    servers: list[Server] = field(default_factory=list[Server])
    api: Client | None = None
    kubeconfig: Path | None = None


@contextlib.asynccontextmanager
async def process(module: str, config: Path, log: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A component as a process of its own, until the body ends."""
    with log.open("ab") as file:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, "--config", str(config), stdout=file, stderr=file
        )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(15):
                    await running.wait()
            except TimeoutError:
                running.kill()
                await running.wait()


@contextlib.asynccontextmanager
async def control_plane(folder: Path) -> AsyncGenerator[Place]:
    """An api-server process on an etcd of its own."""
    authority = TestAuthority(folder)
    (folder / "etcd").mkdir()
    with testing_etcd.etcd(folder / "etcd", authority) as etcd:
        serving, admin = authority.issue("kube-apiserver"), authority.issue("kubernetes-admin", "system:masters")
        port = testing_etcd.free_ports(1)[0]
        config = folder / "api-server.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "name": "api-server@cp-1",
                    "bindAddress": f"127.0.0.1:{port}",
                    "httpBindAddress": "",
                    "metricsAddress": "",
                    "auditLog": str(folder / "audit.log"),
                    "tls": _paths(serving),
                    "kubeletClient": _paths(authority.issue("kube-apiserver-kubelet-client", "system:masters")),
                    "etcd": {"servers": [etcd.address], "tls": _paths(etcd.client)},
                }
            )
        )
        log = folder / "api-server.log"
        async with process("kubelab.apiserver", config, log) as running:
            identity = TLSIdentity.from_files(admin.ca, admin.certificate, admin.key)
            server = Server(
                "api-server", partial(open_channel, f"127.0.0.1:{port}", identity), lambda: running.pid, log
            )
            await _answering(server)
            kubeconfig = _kubeconfig(folder, port, admin, "admin")
            async with _client(f"127.0.0.1:{port}", identity) as client, _components(folder, port, authority) as others:
                yield Place([server, *others], client, kubeconfig)


def _paths(files: Files) -> dict[str, str]:
    return {"ca": str(files.ca), "certificate": str(files.certificate), "key": str(files.key)}


@contextlib.asynccontextmanager
async def _components(folder: Path, port: int, authority: TestAuthority) -> AsyncGenerator[list[Server]]:
    """Those who read what gets in: a kubelet over a runtime in memory, the scheduler and the controller-manager."""
    cri, clock = folder / "cri.sock", SystemClock()
    arguments = {
        "kubelet": {
            "nodeName": "node-1",
            "nodeIp": "127.0.0.1",
            "routes": False,
            "runtimeSocket": str(cri),
            "stateDir": str(folder / "kubelet"),
            "logDir": str(folder / "pods"),
        },
        "scheduler": {},
        "controllermanager": {},
    }
    users = {"kubelet": "system:node:node-1", "scheduler": "system:kube-scheduler"}
    runtime = FakeRuntime(now=lambda: int(clock.time() * 1e9), images={"host": 1})
    admin = authority.issue("kubernetes-admin", "system:masters")
    identity = TLSIdentity.from_files(admin.ca, admin.certificate, admin.key)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(runtime.serving(cri))
        servers: list[Server] = []
        for module, settings in arguments.items():
            user = users.get(module, "system:kube-controller-manager")
            files = authority.issue(user, "system:nodes" if module == "kubelet" else "")
            listen = testing_etcd.free_ports(1)[0]
            config, log = folder / f"{module}.yaml", folder / f"{module}.log"
            config.write_text(
                yaml.safe_dump(
                    {
                        "name": f"{module}@node-1",
                        "kubeconfig": str(_kubeconfig(folder, port, files, module)),
                        "bindAddress": f"127.0.0.1:{listen}",
                        "metricsAddress": "",
                        "tls": _paths(files),
                        **settings,
                    }
                )
            )
            running = await stack.enter_async_context(process(f"kubelab.{module}", config, log))
            connect = partial(open_channel, f"127.0.0.1:{listen}", identity)
            servers.append(Server(module, connect, lambda running=running: running.pid, log))
        for server in servers:
            await _answering(server)
        yield servers


def _kubeconfig(folder: Path, port: int, admin: Files, name: str) -> Path:
    path = folder / f"{name}.kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(admin.ca)}
    user = {"client-certificate": str(admin.certificate), "client-key": str(admin.key)}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(body))
    return path


@contextlib.asynccontextmanager
async def _client(address: str, identity: TLSIdentity) -> AsyncGenerator[Client]:
    clock = SystemClock()
    connections = Connections.secure([address], identity, caller="fuzz", clock=clock, server_name="")
    async with Client(connections, clock=clock, caller="fuzz") as client:
        yield client


async def _answering(server: Server) -> None:
    try:
        async with server.connect() as channel, asyncio.timeout(START_SECONDS):
            await channel.channel_ready()
    except TimeoutError:
        raise RuntimeError(f"{server.name} does not come up: {server.new_log()[-2000:]}") from None


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncGenerator[Place]:
    """Every server of a cluster, and a node agent. Needs root.

    The runtime is the last node's, whose kubelet is stopped: it would remove at once each pod that it does not know.
    """
    record = Record.new(folder / "home", f"fuzz-{secrets.token_hex(3)}", 3)
    record.save()
    try:
        async with aclosing(launch.launch(record)) as steps:
            async for _ in steps:
                pass
        async with LocalCluster(record.name, record.socket) as running, asyncio.timeout(None) as patience:
            patience.reschedule(asyncio.get_running_loop().time() + START_SECONDS)
            async for status in running.watch_status():
                if all(p.state is ProcessState.RUNNING for p in status.processes):
                    break
            await running.act(f"kubelet@{record.nodes[-1].name}", Action.STOP)
            patience.reschedule(None)
            await _build_image(record)
            async with _agent(record, folder) as agent, _on_nodes(record, folder) as others:
                yield Place([*_of_cluster(record), *others, agent])
    finally:
        await asyncio.to_thread(cleanup.everything, record, SystemClock(), delete=True)


async def _build_image(record: Record) -> None:
    """Let there be an image for the containers that the fuzzer asks for."""
    plan = images_pb2.BuildRequest.Plan(dockerfile='FROM host\nCMD ["sleep", "2"]\n', tags=[IMAGE])
    async with unix_channel(record.runtime_socket(record.nodes[-1].name)) as channel:
        any_channel: Any = channel
        stub: Any = images_pb2_grpc.ImageStoreStub(any_channel)
        async for _ in stub.Build(iter([images_pb2.BuildRequest(plan=plan)]), timeout=START_SECONDS):
            pass


def _pid(record: Record, name: str) -> Callable[[], int]:
    def read() -> int:
        running = processes.read(record.processes, name)
        return running.pid if running is not None else 0

    return read


def _of_cluster(record: Record) -> list[Server]:
    node, pid = record.nodes[-1].name, partial(_pid, record)
    supervisor = Server(
        "supervisor",
        partial(unix_channel, record.socket),
        pid("supervisor"),
        record.log("supervisor"),
        # What they are for is to end processes, and the last one the cluster.
        frozenset({"/kubelab.rpc.supervisor.v1.Supervisor/Act", "/kubelab.rpc.supervisor.v1.Supervisor/Shutdown"}),
    )
    runtime = Server(
        "runtime",
        partial(unix_channel, record.runtime_socket(node)),
        pid(f"runtime@{node}"),
        record.log(f"runtime@{node}"),
    )
    return [supervisor, runtime]


@contextlib.asynccontextmanager
async def _on_nodes(record: Record, folder: Path) -> AsyncGenerator[list[Server]]:
    """What listens in the network of a node: there is one server of each kind."""
    plane, worker = record.nodes[:2]
    identity = TLSIdentity.from_files(record.pki / "ca.crt", record.pki / "admin.crt", record.pki / "admin.key")
    places = (
        ("api-server", plane, API_SERVER_NAME),
        ("scheduler", plane, ""),
        ("controller-manager", plane, ""),
        ("kubelet", worker, ""),
        ("kube-proxy", worker, ""),
    )
    async with contextlib.AsyncExitStack() as stack:
        servers: list[Server] = []
        for component, node, name in places:
            process, socket = f"{component}@{node.name}", folder / f"{component}.sock"
            address = (node.address, PORTS[component][0])
            await stack.enter_async_context(relay(record.namespace(node.name), address, socket))
            connect = partial(open_channel, f"unix:{socket}", identity, server_name=name or server_name(process))
            servers.append(Server(process, connect, _pid(record, process), record.log(process)))
        for server in servers:
            await _answering(server)
        yield servers


@contextlib.asynccontextmanager
async def _agent(record: Record, folder: Path) -> AsyncGenerator[Server]:
    """A node agent's service, in a process of its own, without a machine."""
    del record
    config, log, socket = folder / "agent.yaml", folder / "agent.log", folder / "a.sock"
    config.write_text(
        yaml.safe_dump(
            {
                "name": "node-agent@fuzz",
                "nodeName": "fuzz",
                "socket": str(socket),
                "tunnelsFile": str(folder / "tunnels.json"),
                "tunnelAddress": "127.0.0.1",
                "tunnelPorts": "",
                "metricsAddress": "",
            }
        )
    )
    async with process("tests.fuzz.agent", config, log) as running:
        server = Server("node-agent", partial(unix_channel, socket), lambda: running.pid, log)
        await _answering(server)
        yield server


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) * 1024
