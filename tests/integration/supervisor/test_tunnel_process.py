"""The tunnels of a real cluster, whatever happens to the supervisor, to their own process, and to descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Generator

import pytest

from kubelab.apimachinery import errors
from kubelab.cluster.driver import Action, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.supervisor import processes
from kubelab.topology.record import Record

from .conftest import WAIT_SECONDS, core_is_well, named, until, until_true
from .test_supervisor import again

pytestmark = pytest.mark.root


async def is_answered(record: Record, port: int = 0) -> str:
    """Shake hands with the api-server through a tunnel; gives the name in its certificate."""
    context = ssl.create_default_context(cafile=str(record.pki / "ca.crt"))
    async with asyncio.timeout(WAIT_SECONDS):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port or record.api_ports[0], ssl=context, server_hostname="kubernetes"
        )
        certificate = writer.get_extra_info("peercert")
        writer.transport.abort()
    return dict(part for (part,) in certificate["subject"])["commonName"]


@contextlib.contextmanager
def frozen(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_a_frozen_supervisor_holds_up_no_request(cluster: LocalCluster, record: Record) -> None:
    tunnel = await cluster.open_tunnel("", "192.168.49.2:6443")
    supervisor = named(await cluster.status(), "supervisor").pid
    with frozen(supervisor):
        await until_true(lambda: processes.is_frozen(supervisor))
        for port in (record.api_ports[0], tunnel.local_port):
            assert await is_answered(record, port) == "kube-apiserver"
    assert named(await cluster.status(), "supervisor").pid == supervisor


async def test_connections_outlive_the_supervisor(cluster: LocalCluster, record: Record) -> None:
    before = await cluster.status()
    tunnel = await cluster.open_tunnel("node-1", "192.168.49.2:10250")
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.local_port)
    os.kill(named(before, "supervisor").pid, signal.SIGKILL)
    assert await is_answered(record) == "kube-apiserver"
    async with await again(cluster, record) as next_one:
        after = await until(next_one, lambda s: core_is_well(s) and named(s, "tunnels").state is ProcessState.RUNNING)
        assert (named(after, "tunnels").pid, named(after, "tunnels").restarts) == (named(before, "tunnels").pid, 0)
        assert tunnel in await next_one.tunnels()
        await next_one.close_tunnel(tunnel.local_port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b"", "it was there until its tunnel was closed"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", tunnel.local_port)
    writer.close()


async def test_while_the_tunnels_are_dead_connections_wait(cluster: LocalCluster, record: Record) -> None:
    before = named(await cluster.status(), "tunnels")
    os.kill(before.pid, signal.SIGKILL)
    answers = await asyncio.gather(*(is_answered(record) for _ in range(10)))
    assert answers == ["kube-apiserver"] * 10, "none is refused"
    after = await until(cluster, lambda s: named(s, "tunnels").state is ProcessState.RUNNING)
    assert named(after, "tunnels").restarts == 1


async def test_frozen_tunnels_are_unhealthy_and_do_not_stop_the_next_supervisor(
    cluster: LocalCluster, record: Record
) -> None:
    before = await cluster.status()
    old = named(before, "tunnels").pid
    with frozen(old):
        await until(cluster, lambda s: named(s, "tunnels").state is ProcessState.UNHEALTHY)
        os.kill(named(before, "supervisor").pid, signal.SIGKILL)
        async with await again(cluster, record) as next_one:
            await until(next_one, lambda s: named(s, "tunnels").state is ProcessState.RUNNING)
            assert named(await next_one.status(), "tunnels").pid != old
            assert await is_answered(record) == "kube-apiserver"


async def test_idle_connections_keep_nobody_out_and_end_nothing(cluster: LocalCluster, record: Record) -> None:
    before = await cluster.status()
    with contextlib.ExitStack() as stack:
        for _ in range(1500):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", record.api_ports[0]))
        assert [await is_answered(record) for _ in range(3)] == ["kube-apiserver"] * 3
    after = await cluster.status()
    for name in ("supervisor", "tunnels", "api-server@cp-1"):
        assert named(after, name).pid == named(before, name).pid


async def test_an_api_servers_port_stays_as_long_as_the_cluster(cluster: LocalCluster, record: Record) -> None:
    with pytest.raises(errors.BadRequest, match="leads to an api-server"):
        await cluster.close_tunnel(record.api_ports[0])
    await cluster.act("tunnels", Action.RESTART)
    assert await is_answered(record) == "kube-apiserver"


async def test_tunnels_that_cannot_be(cluster: LocalCluster) -> None:
    with pytest.raises(errors.BadRequest, match='node "node-9" not found'):
        await cluster.open_tunnel("node-9", "192.168.49.2:80")
    with pytest.raises(errors.BadRequest, match="expected host:port"):
        await cluster.open_tunnel("node-1", "192.168.49.2")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(errors.AlreadyExists):
        await cluster.open_tunnel("node-1", "192.168.49.2:80", taken.getsockname()[1])
    first = await cluster.open_tunnel("node-1", "192.168.49.2:80")
    assert await cluster.open_tunnel("node-1", "192.168.49.2:80") == first
