"""The store over three members of etcd while one of them freezes, dies, or has lost the majority."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import Unavailable
from kubelab.apiserver.storage import receipts
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.apiserver.storage.members import TOGETHER_SECONDS
from kubelab.apiserver.storage.store import Put, StoreEvent, Unchanged
from tests.support.etcd import Etcd

NOTICED = 5.0 + 2.0  # seconds; the machine may be busy
CLOCK = SystemClock()
T = TypeVar("T")


@pytest.fixture
async def store(etcd_members: tuple[Etcd, ...]) -> AsyncIterator[EtcdStore]:
    files = etcd_members[0].client
    tls = EtcdTLS(files.ca, files.certificate, files.key)
    store = EtcdStore([member.address for member in etcd_members], clock=CLOCK, tls=tls)
    async with asyncio.timeout(30):
        await store._members.all[0].wait_ready()  # so that it is the one that is asked
        await store.revision()
    yield store
    await store.close()


def in_use(store: EtcdStore, members: tuple[Etcd, ...]) -> Etcd:
    """The member that is asked first."""
    return next(member for member in members if member.address == store._members.all[0].address)


async def patiently(request: Callable[[], Awaitable[T]]) -> T:
    """Ask again while nobody answers: on a busy machine an election takes longer than one request may."""
    while True:
        try:
            return await request()
        except Unavailable:
            continue


async def test_a_frozen_member_is_left_for_another(store: EtcdStore, etcd_members: tuple[Etcd, ...]) -> None:
    written = await store.transact([], [Put("/a", b"1")])
    in_use(store, etcd_members).freeze()
    async with asyncio.timeout(2 * NOTICED):
        page = await patiently(lambda: store.range("/a"))
        assert [kv.value for kv in page.items] == [b"1"]
        changed = await store.transact([Unchanged("/a", written.revision)], [Put("/a", b"2")])
    assert changed.succeeded


async def test_a_write_that_a_frozen_member_has_is_done_once(store: EtcdStore, etcd_members: tuple[Etcd, ...]) -> None:
    """It is found undone and made again elsewhere; what the member does when it wakes up comes too late."""
    written = await store.transact([], [Put("/a", b"1")])
    frozen = in_use(store, etcd_members)
    frozen.freeze()
    async with asyncio.timeout(2 * NOTICED):
        changed = await store.transact([Unchanged("/a", written.revision)], [Put("/a", b"2")])
    assert changed.succeeded
    frozen.thaw()
    later = await store.transact([Unchanged("/a", changed.revision)], [Put("/a", b"3")])
    assert later.succeeded
    assert [kv.value for kv in (await store.range("/a")).items] == [b"3"]


async def test_a_quiet_watch_leaves_a_frozen_member(store: EtcdStore, etcd_members: tuple[Etcd, ...]) -> None:
    written = await store.transact([], [Put("/a", b"1")])
    events = store.watch(written.revision)
    assert [event.key for event in await first(events)] == ["/a"]
    in_use(store, etcd_members).freeze()
    async with asyncio.timeout(NOTICED):
        with pytest.raises(Unavailable):
            await first(events)
    await store.transact([], [Put("/b", b"1")])
    assert [event.key for event in await first(store.watch(written.revision + 1))] == ["/b"]


async def first(events: AsyncIterator[Sequence[StoreEvent]]) -> Sequence[StoreEvent]:
    """What happens first; that the store is heard is nothing."""
    async with asyncio.timeout(NOTICED):
        async for batch in events:
            if found := [event for event in batch if not event.key.startswith(receipts.ROOT)]:
                return found
    raise AssertionError("the watch ended")


async def test_the_last_member_of_three_says_no_soon(store: EtcdStore, etcd_members: tuple[Etcd, ...]) -> None:
    await patiently(lambda: store.transact([], [Put("/a", b"1")]))
    for member in etcd_members[:2]:
        member.freeze()
    async with asyncio.timeout(TOGETHER_SECONDS + 3):
        with pytest.raises(Unavailable):
            await store.range("/a")
    for member in etcd_members[:2]:
        member.thaw()
    async with asyncio.timeout(30):
        page = await patiently(lambda: store.range("/a"))
    assert [kv.value for kv in page.items] == [b"1"]
