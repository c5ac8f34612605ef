"""etcd goes away and comes back: watches go on without a gap, requests wait or fail in words, nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.apiserver.storage.store import Absent, Delete, Operation, Put, Unchanged
from kubelab.testing.etcd import Etcd


def config_map(name: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap()
    made.metadata.name = name
    return made


async def test_a_watch_outlives_etcd(servers: Any, etcd_server: Etcd) -> None:
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
