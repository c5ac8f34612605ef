"""One suite for every store: the fake in memory and a real etcd behave alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver.storage import receipts
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.apiserver.storage.store import Absent, Delete, Put, Store, StoreEvent, Unchanged, prefix_end
from tests.support.memorystore import MemoryStore


@pytest.fixture(params=["memory", "etcd"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        fake = MemoryStore(SystemClock())
        yield fake
        fake.check_invariants()
        return
    server = request.getfixturevalue("etcd_server")
    tls = EtcdTLS(server.client.ca, server.client.certificate, server.client.key)
    real = EtcdStore([server.address], clock=SystemClock(), tls=tls)
    yield real
    await real.close()


async def put(store: Store, key: str, value: bytes = b"v", lease: int = 0) -> int:
    outcome = await store.transact([], [Put(key, value, lease)])
    assert outcome.succeeded
    return outcome.revision


def ours(batch: Sequence[StoreEvent]) -> list[StoreEvent]:
    """What the test has written: etcd's store adds a receipt to each write."""
    return [event for event in batch if not event.key.startswith(receipts.ROOT)]


async def first(events: AsyncIterator[object], count: int) -> list[StoreEvent]:
    found: list[StoreEvent] = []
    async with asyncio.timeout(10):
        async for batch in events:
            assert isinstance(batch, list)
            found.extend(ours(batch))  # pyright: ignore[reportUnknownArgumentType]
            if len(found) >= count:
                return found
    raise AssertionError("the watch ended")


async def test_each_write_is_one_revision_and_reads_see_it(store: Store) -> None:
    one = await put(store, "/a", b"1")
    two = await put(store, "/a", b"2")
    assert two == one + 1 == await store.revision()
    page = await store.range("/a")
    assert [(kv.key, kv.value, kv.mod_revision) for kv in page.items] == [("/a", b"2", two)]
    assert page.revision == two


async def test_a_create_is_refused_where_the_key_exists_and_tells_what_is_there(store: Store) -> None:
    revision = await put(store, "/a", b"1")
    outcome = await store.transact([Absent("/a"), Absent("/b")], [Put("/a", b"2"), Put("/b", b"2")])
    assert not outcome.succeeded
    there = outcome.current["/a"]
    assert there is not None
    assert (there.value, there.mod_revision) == (b"1", revision)
    assert outcome.current["/b"] is None
    assert (await store.range("/b")).items == []


async def test_a_write_compares_the_revision_it_decided_on(store: Store) -> None:
    old = await put(store, "/a", b"1")
    new = await put(store, "/a", b"2")
    assert not (await store.transact([Unchanged("/a", old)], [Put("/a", b"x")])).succeeded
    assert (await store.transact([Unchanged("/a", new)], [Put("/a", b"3")])).succeeded
    assert not (await store.transact([Unchanged("/gone", new)], [Delete("/gone")])).succeeded


async def test_several_operations_share_one_revision(store: Store) -> None:
    before = await put(store, "/p/a")
    outcome = await store.transact([Unchanged("/p/a", before)], [Delete("/p/a"), Put("/p/b", b"1"), Put("/p/c", b"1")])
    page = await store.range("/p/", prefix_end("/p/"))
    assert [(kv.key, kv.mod_revision) for kv in page.items] == [("/p/b", outcome.revision), ("/p/c", outcome.revision)]


async def test_ranges_come_in_pages_of_one_revision(store: Store) -> None:
    for name in "abcde":
        await put(store, f"/p/{name}")
    await put(store, "/q/other")
    page = await store.range("/p/", prefix_end("/p/"), limit=2)
    assert [kv.key for kv in page.items] == ["/p/a", "/p/b"]
    assert page.more
    await store.transact([], [Delete("/p/d")])
    rest = await store.range("/p/b\0", prefix_end("/p/"), revision=page.revision)
    assert [kv.key for kv in rest.items] == ["/p/c", "/p/d", "/p/e"]
    assert not rest.more
    now = await store.range("/p/", prefix_end("/p/"), keys_only=True)
    assert [(kv.key, kv.value) for kv in now.items] == [(f"/p/{n}", b"") for n in "abce"]


async def test_a_watch_starts_in_the_past_and_goes_on(store: Store) -> None:
    start = await put(store, "/a", b"1")
    await put(store, "/b", b"2")
    await store.transact([], [Delete("/a")])
    events = store.watch(start)
    seen = await first(events, 3)
    assert [(e.key, e.value, e.revision) for e in seen] == [
        ("/a", b"1", start),
        ("/b", b"2", start + 1),
        ("/a", None, start + 2),
    ]
    later = await put(store, "/c", b"3")
    assert [(e.key, e.revision) for e in await first(events, 1)] == [("/c", later)]


async def test_events_of_one_revision_come_in_one_batch(store: Store) -> None:
    start = await put(store, "/z") + 1
    await store.transact([], [Put("/a", b"1"), Put("/b", b"1"), Put("/c", b"1")])
    events = store.watch(start)
    assert await anext(events) == []  # it has begun
    async for batch in events:
        assert [e.key for e in ours(batch)] == ["/a", "/b", "/c"]
        break


async def test_what_is_compacted_is_expired_and_compacting_twice_is_no_error(store: Store) -> None:
    old = await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    new = await put(store, "/a", b"3")
    await store.compact(new)
    await store.compact(new)
    with pytest.raises(errors.Expired):
        await store.range("/a", revision=old)
    with pytest.raises(errors.Expired):
        await first(store.watch(old), 1)
    assert (await store.range("/a", revision=new)).items[0].value == b"3"


async def test_a_lease_takes_its_keys_along(store: Store) -> None:
    lease = await store.grant_lease(60)
    written = await put(store, "/event", b"1", lease)
    assert await store.keep_lease(lease)
    await store.revoke_lease(lease)
    assert (await store.range("/event")).items == []
    assert not await store.keep_lease(lease)
    assert [(e.key, e.value) for e in await first(store.watch(written + 1), 1)] == [("/event", None)]


async def test_deleting_what_is_not_there_changes_nothing(store: Store) -> None:
    before = await put(store, "/p/a")
    assert (await store.transact([], [Delete("/p/nothing")])).succeeded
    page = await store.range("/p/", prefix_end("/p/"))
    assert [(kv.key, kv.mod_revision) for kv in page.items] == [("/p/a", before)]


async def test_only_one_of_many_creates_the_key(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.transact([Absent("/one")], [Put("/one", str(n).encode())]) for n in range(20))
    )
    assert [o.succeeded for o in outcomes].count(True) == 1
