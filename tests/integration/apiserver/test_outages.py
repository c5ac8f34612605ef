"""etcd goes away and comes back: watches go on without a gap, requests wait or fail in words, nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver import contact
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.apiserver.storage.store import Absent, Delete, Operation, Put, Unchanged
from kubelab.client.informer import Informer
from kubelab.testing.etcd import Etcd


def config_map(name: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap()
    made.metadata.name = name
    return made


async def test_a_watch_outlives_etcd(servers: Any, etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "LOST_AFTER", 60.0)  # it starts again as fast as the machine can
    start = (await servers.a.list(scheme.CONFIG_MAPS, "default")).resource_version
    events = servers.a.watch(scheme.CONFIG_MAPS, "default", resource_version=start, bookmarks=False)
    await servers.b.create(config_map("before"), "default")
    assert (await anext(events)).object.metadata.name == "before"
    await asyncio.to_thread(etcd_server.kill)
    waiting = asyncio.ensure_future(servers.b.create(config_map("after"), "default"))
    await asyncio.to_thread(etcd_server.start)
    async with asyncio.timeout(20):
        try:
            await waiting
        except errors.Unavailable:  # it was on its way when etcd died: what became of it is not known
            await servers.b.create(config_map("after"), "default")
        assert (await anext(events)).object.metadata.name == "after"
        names = [c.metadata.name for c in (await servers.a.list(scheme.CONFIG_MAPS, "default")).items]
    assert names == ["after", "before"]
    await events.aclose()


class Cable:
    """A way to etcd that can be cut."""

    def __init__(self, to: str) -> None:
        self._host, _, self._port = to.rpartition(":")
        self._writers: list[asyncio.StreamWriter] = []
        self.whole = True

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncGenerator[str]:
        """Give the address of the near end."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        self.whole = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if not self.whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._host, int(self._port))
        self._writers.append(back)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


async def test_who_watches_at_a_server_that_lost_etcd_is_sent_to_another(start: Any, etcd_server: Etcd) -> None:
    cable = Cable(etcd_server.address)
    async with cable.laid() as address:
        servers = await start(2, etcd=[address, etcd_server.address])
        lost = servers.apis[0]
        lost.store._store._timeout = 0.3
        client = await servers.connect("kubernetes-admin", "system:masters", server=None)
        informer = Informer(client, scheme.CONFIG_MAPS, namespace="default")
        health: asyncio.Queue[bool] = asyncio.Queue()
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            tasks = [group.create_task(informer.run()), group.create_task(lost.report(health.put))]
            assert await health.get()
            while True:  # it chooses its first server at random
                client._transport._current = 0
                await informer.wait_synced()
                for api in servers.apis:
                    api.feed.close_watches()
                while not any(api.caches["configmaps"].watchers for api in servers.apis):
                    await servers.b.server_version()
                if lost.caches["configmaps"].watchers:
                    break
            cable.cut()
            told = asyncio.Event()
            informer.add_handler(on_add=lambda _: told.set())
            await servers.b.create(config_map("news"), "default")
            await told.wait()
            assert not await health.get()
            assert not lost.caches["configmaps"].watchers
            events = servers.a.watch(
                scheme.CONFIG_MAPS, "default", resource_version=informer.last_sync_resource_version
            )
            with pytest.raises(errors.Unavailable, match=r"has lost etcd") as refused:
                await anext(events)
            assert errors.surely_not_done(refused.value)
            cable.whole = True
            assert await health.get()
            await servers.b.create(config_map("more"), "default")
            revision = await servers.apis[1].feed.fresh()
            await lost.feed.reached(revision)
            for task in tasks:
                task.cancel()


@pytest.mark.parametrize(
    "bad", [b"hello", b"k8s\0\xff\xff", b"k8s\0\n\xff", b""], ids=["text", "envelope", "cut off", "empty"]
)
async def test_what_is_no_object_in_etcd_harms_nobody_else(start: Any, etcd_server: Etcd, bad: bytes) -> None:
    servers = await start(1)
    await servers.a.create(config_map("good"), "default")
    await servers.a.create(config_map("spoiled"), "default")
    events = servers.a.watch(scheme.CONFIG_MAPS, "default", resource_version="0")
    assert [(await anext(events)).object.metadata.name for _ in range(2)] == ["good", "spoiled"]
    store = servers.apis[0].store
    for key in ("configmaps/default/spoiled", "configmaps/default/never", "masterleases/x", "pods/default/\udcff"):
        await store.transact([], [Put(f"/registry/{key}", bad)])
    gone = await anext(events)
    assert (gone.type.value, gone.object.metadata.name) == ("DELETED", "spoiled")
    await events.aclose()
    later = await start(1)  # one that finds it when it starts
    for client in (servers.a, later.a):
        assert [c.metadata.name for c in (await client.list(scheme.CONFIG_MAPS, "default")).items] == ["good"]
        with pytest.raises(errors.NotFound):
            await client.get(scheme.CONFIG_MAPS, "spoiled", "default")
        with pytest.raises(errors.AlreadyExists):
            await client.create(config_map("spoiled"), "default")
        with pytest.raises(errors.InternalError, match=r"/registry/configmaps/default/spoiled: "):
            await client.delete(scheme.CONFIG_MAPS, "spoiled", "default")
        await client.update(await client.get(scheme.CONFIG_MAPS, "good", "default"))
    assert later.apis[0].caches["configmaps"].undecodable == 2


async def test_without_etcd_nobody_is_told_old_news(servers: Any, etcd_server: Etcd) -> None:
    await servers.a.create(config_map("one"), "default")
    for api in servers.apis:
        api.store._store._timeout = 0.3
    await asyncio.to_thread(etcd_server.kill)
    with pytest.raises((errors.Unavailable, errors.Timeout)):
        await servers.a.get(scheme.CONFIG_MAPS, "one", "default")
    with pytest.raises((errors.Unavailable, errors.Timeout)):
        await servers.a.create(config_map("two"), "default")
    any_age = await servers.a.list(scheme.CONFIG_MAPS, "default", resource_version="0")
    assert [c.metadata.name for c in any_age.items] == ["one"]


async def test_a_write_that_was_not_answered_is_looked_up_before_it_is_repeated(etcd_server: Etcd) -> None:
    """The answers of two writes are lost after etcd has done them: they are found done, and not done again."""
    tls = EtcdTLS(etcd_server.client.ca, etcd_server.client.certificate, etcd_server.client.key)
    store = EtcdStore([etcd_server.address], clock=SystemClock(), tls=tls)
    endpoint = store._endpoints[0]
    real, lost = endpoint.txn, 0

    async def lossy(request: Any, **options: Any) -> Any:
        nonlocal lost
        answer = await real(request, **options)
        if request.compare and lost < 2:
            lost += 1
            raise _unavailable()
        return answer

    endpoint.txn = lossy
    created = await store.transact([Absent("/a")], [Put("/a", b"1")])
    assert created.succeeded
    changed = await store.transact([Unchanged("/a", created.revision)], [Put("/a", b"2")])
    assert changed.succeeded
    page = await store.range("/a")
    assert [(kv.value, kv.mod_revision) for kv in page.items] == [(b"2", changed.revision)]
    assert page.revision == changed.revision == created.revision + 1
    await store.close()


async def test_a_write_that_surely_was_not_done_is_repeated_only_if_it_can_take_effect_once(
    etcd_server: Etcd,
) -> None:
    tls = EtcdTLS(etcd_server.client.ca, etcd_server.client.certificate, etcd_server.client.key)
    store = EtcdStore([etcd_server.address], clock=SystemClock(), tls=tls)
    endpoint = store._endpoints[0]
    real, lose = endpoint.txn, True

    async def lossy(request: Any, **options: Any) -> Any:
        nonlocal lose
        if request.compare and lose:
            lose = False
            raise _unavailable()
        return await real(request, **options)

    endpoint.txn = lossy
    with pytest.raises(errors.Unavailable):
        await store.transact([Absent("/a")], [Put("/a", b"1")])
    written = await store.transact([Absent("/a")], [Put("/a", b"1")])
    lose = True
    assert (await store.transact([Unchanged("/a", written.revision)], [Put("/a", b"2")])).succeeded
    await store.close()


@pytest.mark.parametrize("operation", [Put("/a", b"2"), Delete("/a")], ids=["put", "delete"])
async def test_a_write_that_is_done_after_it_was_looked_up_is_still_a_success(
    etcd_server: Etcd, operation: Operation
) -> None:
    """It lay in a frozen member, say: its repetition is refused, and that is no conflict with anybody."""
    tls = EtcdTLS(etcd_server.client.ca, etcd_server.client.certificate, etcd_server.client.key)
    store = EtcdStore([etcd_server.address], clock=SystemClock(), tls=tls)
    endpoint = store._endpoints[0]
    real, late = endpoint.txn, list[Any]()
    written = await store.transact([Absent("/a")], [Put("/a", b"1")])

    async def slow(request: Any, **options: Any) -> Any:
        if request.compare and not late:
            late.append(request)
            raise _unavailable()
        answer = await real(request, **options)
        if not request.compare:
            await real(late[0], **options)
        return answer

    endpoint.txn = slow
    changed = await store.transact([Unchanged("/a", written.revision)], [operation])
    assert changed.succeeded
    assert changed.revision == await store.revision() == written.revision + 1
    await store.close()


def _unavailable() -> Exception:
    import grpc

    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details="connection reset")
