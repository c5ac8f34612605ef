"""etcd goes away and comes back: watches go on without a gap, requests wait or fail in words, nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.apiserver.storage.store import Put
from kubelab.apiserver.watchcache import storehealth
from kubelab.client.informer import Informer
from tests.support.etcd import Etcd
from tests.support.proxies import TcpProxy


def config_map(name: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap()
    made.metadata.name = name
    return made


async def test_a_watch_outlives_etcd(servers: Any, etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storehealth, "LOST_AFTER", 60.0)  # it starts again as fast as the machine can
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


async def test_who_watches_at_a_server_that_lost_etcd_is_sent_to_another(start: Any, etcd_server: Etcd) -> None:
    cable = TcpProxy(etcd_server.address)
    async with cable.laid() as address:
        servers = await start(2, etcd=[address, etcd_server.address])
        lost = servers.apis[0]
        lost.store._store._members.timeout = 0.3
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
                    api.reflector.close_watches()
                while not any(api.caches[CONFIG_MAPS].watchers for api in servers.apis):
                    await servers.b.server_version()
                if lost.caches[CONFIG_MAPS].watchers:
                    break
            cable.cut()
            told = asyncio.Event()
            informer.add_handler(on_add=lambda _: told.set())
            await servers.b.create(config_map("news"), "default")
            await told.wait()
            assert not await health.get()
            assert not lost.caches[CONFIG_MAPS].watchers
            events = servers.a.watch(
                scheme.CONFIG_MAPS, "default", resource_version=informer.last_sync_resource_version
            )
            with pytest.raises(errors.Unavailable, match=r"has lost etcd") as refused:
                await anext(events)
            assert errors.was_not_executed(refused.value)
            cable.whole = True
            assert await health.get()
            await servers.b.create(config_map("more"), "default")
            revision = await servers.apis[1].reflector.fresh()
            await lost.reflector.reached(revision)
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
    assert later.apis[0].caches[CONFIG_MAPS].undecodable == 2


async def test_without_etcd_nobody_is_told_old_news(servers: Any, etcd_server: Etcd) -> None:
    await servers.a.create(config_map("one"), "default")
    for api in servers.apis:
        api.store._store._members.timeout = 0.3
    await asyncio.to_thread(etcd_server.kill)
    with pytest.raises((errors.Unavailable, errors.Timeout)):
        await servers.a.get(scheme.CONFIG_MAPS, "one", "default")
    with pytest.raises((errors.Unavailable, errors.Timeout)):
        await servers.a.create(config_map("two"), "default")
    any_age = await servers.a.list(scheme.CONFIG_MAPS, "default", resource_version="0")
    assert [c.metadata.name for c in any_age.items] == ["one"]
