"""What became of a write that etcd did not answer: known by who wrote, never by what is there."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver.storage import members, receipts
from kubelab.apiserver.storage.etcd import EtcdStore, EtcdTLS
from kubelab.apiserver.storage.store import Absent, Condition, Delete, Operation, Outcome, Put, Unchanged, prefix_end
from tests.support.etcd import Etcd
from tests.support.history import Kind, Op, OpOutcome, violations
from tests.support.proxies import TcpProxy

CLOCK = SystemClock()
Connect = Callable[..., EtcdStore]


@pytest.fixture
async def connect(etcd_server: Etcd) -> AsyncIterator[Connect]:
    """Make stores, each an api-server's of its own; straight to etcd, if no address is given."""
    stores: list[EtcdStore] = []

    def connected(*addresses: str, timeout: float = 10.0) -> EtcdStore:
        client = etcd_server.client
        tls = EtcdTLS(client.ca, client.certificate, client.key)
        stores.append(EtcdStore(addresses or [etcd_server.address], clock=CLOCK, tls=tls, timeout=timeout))
        return stores[-1]

    yield connected
    for store in stores:
        await store.close()


class Loss:
    """Loses a store's first write to etcd: the ``request`` on its way there, the ``answer`` on its way back, or the
    request comes ``late``, after somebody has asked what became of it."""

    def __init__(self, store: EtcdStore, what: str, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._what, self._meanwhile = what, meanwhile
        self._member = store._members.all[0]
        self._real = self._member.txn
        self._sent: list[Any] = []
        self._member.txn = self._txn
        self.done_late: bool | None = None

    async def _txn(self, request: Any, **options: Any) -> Any:
        if self._sent:
            answer = await self._real(request, **options)
            if self._what == "late" and self.done_late is None:
                self.done_late = (await self._real(self._sent[0])).succeeded
            return answer
        self._sent.append(request)
        if self._what == "answer":
            await self._real(request, **options)
        await self._meanwhile()
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details="connection reset")


async def value_of(store: EtcdStore, key: str) -> bytes | None:
    items = (await store.range(key)).items
    return items[0].value if items else None


async def prepared(store: EtcdStore) -> int:
    """The revision of a first write. Each store has its receipt after that."""
    return (await store.transact([], [Put("/a", b"1")])).revision


UPDATE = [Put("/a", b"2")]
DELETE = [Delete("/a")]
SEVERAL = [Delete("/a"), Put("/b", b"1"), Delete("/c")]


@pytest.mark.parametrize("operations", [UPDATE, DELETE, SEVERAL], ids=["update", "delete", "several"])
@pytest.mark.parametrize("lost", ["request", "answer", "late"])
async def test_of_two_writers_of_the_same_bytes_one_has_written(
    connect: Connect, lost: str, operations: Sequence[Operation]
) -> None:
    """The answer to the one is lost; the other writes the very same at that moment, over the same revision."""
    one, two = connect(), connect()
    base = await prepared(one)
    await two.transact([], [Put("/x", b"")])
    others: list[Outcome] = []

    async def other() -> None:
        others.append(await two.transact([Unchanged("/a", base)], operations))

    Loss(one, lost, other)
    mine = await one.transact([Unchanged("/a", base)], operations)
    assert [mine.succeeded, others[0].succeeded] == ([True, False] if lost == "answer" else [False, True])


@pytest.mark.parametrize("lost", ["request", "answer", "late"])
async def test_of_two_creators_of_the_same_bytes_one_has_created(connect: Connect, lost: str) -> None:
    one, two = connect(), connect()
    await prepared(one)
    others: list[Outcome] = []

    async def other() -> None:
        others.append(await two.transact([Absent("/new")], [Put("/new", b"1")]))

    Loss(one, lost, other)
    mine = await one.transact([Absent("/new")], [Put("/new", b"1")])
    assert [mine.succeeded, others[0].succeeded] == ([True, False] if lost == "answer" else [False, True])


async def nothing() -> None:
    return


CASES: list[tuple[list[Condition], Sequence[Operation]]] = [
    ([Absent("/new")], [Put("/new", b"1")]),
    ([], [Put("/a", b"2")]),
    ([], DELETE),
]


@pytest.mark.parametrize(("conditions", "operations"), CASES, ids=["create", "put", "delete"])
@pytest.mark.parametrize("lost", ["request", "answer", "late"])
async def test_a_write_that_was_not_answered_happens_once(
    connect: Connect, lost: str, conditions: list[Condition], operations: Sequence[Operation]
) -> None:
    """It succeeds at its own revision, and what is still on its way comes too late."""
    store = connect()
    await prepared(store)
    loss = Loss(store, lost, nothing)
    done = await store.transact(conditions, operations)
    assert done.succeeded
    assert loss.done_late is (False if lost == "late" else None)
    if isinstance(operations[0], Put):
        items = (await store.range(operations[0].key)).items
        assert [kv.mod_revision for kv in items] == [done.revision]
    else:
        assert await value_of(store, "/a") is None


async def test_a_request_that_a_frozen_member_has_comes_too_late(connect: Connect, etcd_server: Etcd) -> None:
    """Real bytes on a real connection: they wait, are given up, settled over another connection, and then arrive."""
    slow, quick = TcpProxy(etcd_server.address), TcpProxy(etcd_server.address)
    async with slow.laid() as first, quick.laid() as second:
        store, other = connect(first, second), connect()
        await store.transact([], [Put("/a", b"1")])
        slow.held = quick.held = True
        writing = asyncio.ensure_future(store.transact([Absent("/new")], [Put("/new", b"1")]))
        in_use = store._members.all[0]
        held = slow if in_use.address == first else quick
        (quick if held is slow else slow).held = False
        async with asyncio.timeout(30):
            outcome = await writing
        assert outcome.succeeded
        assert (await other.transact([Unchanged("/new", outcome.revision)], [Delete("/new")])).succeeded
        held.held = False
        after = await other.transact([], [Put("/z", b"")])
        assert await value_of(other, "/new") is None
        assert after.succeeded


async def test_nobody_can_tell_when_etcd_stays_away(connect: Connect, etcd_server: Etcd) -> None:
    proxy = TcpProxy(etcd_server.address)
    async with proxy.laid() as address:
        store, other = connect(address), connect()
        await prepared(store)
        store._members.timeout = 0.5
        proxy.deaf = True
        with pytest.raises((errors.Unavailable, errors.Timeout)) as told:
            await store.transact([Absent("/new")], [Put("/new", b"1")])
        assert not errors.was_not_executed(told.value)
        assert await value_of(other, "/new") == b"1"


async def test_what_was_not_sent_is_surely_not_done(connect: Connect, etcd_server: Etcd) -> None:
    """So the client asks another api-server, for writes too."""
    proxy = TcpProxy(etcd_server.address)
    async with proxy.laid() as address:
        store = connect(address, timeout=0.5)
        proxy.cut()
        with pytest.raises(errors.Unavailable) as told:
            await store.transact([], [Put("/a", b"1")])
        assert errors.was_not_executed(told.value)


async def test_a_receipt_that_was_removed_is_replaced(connect: Connect) -> None:
    store, other = connect(), connect()
    await prepared(store)
    left = (await store.range(receipts.ROOT, prefix_end(receipts.ROOT))).items
    await other.transact([], [Delete(kv.key) for kv in left])
    base = (await store.transact([], [Put("/a", b"2")])).revision
    refused = await store.transact([Unchanged("/a", base - 1)], [Put("/a", b"3")])
    there = refused.current["/a"]
    assert (refused.succeeded, there and there.value) == (False, b"2")


async def test_receipts_are_few_and_small(connect: Connect) -> None:
    """One for each write that is under way at the same time, however many there are one after the other."""
    store = connect()
    for _ in range(5):
        await asyncio.gather(*(store.transact([], [Put(f"/{n}", b"")]) for n in range(8)))
    left = (await store.range(receipts.ROOT, prefix_end(receipts.ROOT))).items
    assert len(left) == 8
    assert sum(len(kv.key) + len(kv.value) for kv in left) < 8 * 48


class Counter:
    """A client of one store that adds one to a number, and notes what it was told."""

    def __init__(self, name: str, store: EtcdStore, told: list[Op]) -> None:
        self._name, self._store, self._told = name, store, told
        self.done = self.unknown = 0

    async def add(self) -> None:
        try:
            found = (await self._store.range("/count")).items
        except errors.ApiError:
            return
        base, value = (found[0].mod_revision, int(found[0].value)) if found else (0, 0)
        began = CLOCK.monotonic()
        told, revision = OpOutcome.UNKNOWN, 0
        try:
            condition = Unchanged("/count", base) if base else Absent("/count")
            outcome = await self._store.transact([condition], [Put("/count", str(value + 1).encode())])
            told, revision = (OpOutcome.DONE, outcome.revision) if outcome.succeeded else (OpOutcome.REFUSED, 0)
        except errors.ApiError as err:
            told = OpOutcome.REFUSED if errors.was_not_executed(err) else OpOutcome.UNKNOWN
        kind = Kind.UPDATE if base else Kind.CREATE
        if told is OpOutcome.REFUSED and revision == 0 and not found:
            return
        self.done += told is OpOutcome.DONE
        self.unknown += told is OpOutcome.UNKNOWN
        if told is not OpOutcome.REFUSED:
            self._told.append(Op(self._name, kind, "/count", told, base, revision, began, CLOCK.monotonic()))


@pytest.mark.parametrize("seed", [1, 2])
async def test_counting_while_answers_get_lost(
    connect: Connect, etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Writers of identical bytes, connections that lose requests and answers: no step is counted twice or lost."""
    monkeypatch.setattr(members, "TOGETHER_SECONDS", 1.0)
    dice, told = random.Random(seed), list[Op]()
    proxies = [TcpProxy(etcd_server.address) for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(proxy.laid()) for proxy in proxies]
        counters = [Counter(f"w{n}", connect(ways[n], ways[(n + 1) % 4]), told) for n in range(4)]

        async def work(counter: Counter) -> None:
            while sum(each.done for each in counters) < 300:
                await counter.add()

        async def spoil() -> None:
            while True:
                proxy = dice.choice(proxies)
                if dice.random() < 0.7:
                    proxy.deaf = True
                else:
                    proxy.held = True
                await CLOCK.sleep(dice.uniform(0.005, 0.03))
                proxy.cut(mend=True)
                await CLOCK.sleep(dice.uniform(0.005, 0.05))

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            spoiling = group.create_task(spoil())
            async with asyncio.TaskGroup() as working:
                for counter in counters:
                    working.create_task(work(counter))
            spoiling.cancel()
    direct = connect()
    (final,) = (await direct.range("/count")).items
    assert violations(told, {"/count": final.mod_revision}) == []
    done = sum(counter.done for counter in counters)
    unknown = sum(counter.unknown for counter in counters)
    assert done <= int(final.value) <= done + unknown
