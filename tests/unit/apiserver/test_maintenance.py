"""What api-servers do for etcd at every interval."""

from __future__ import annotations

from kubelab.apiserver.storage import receipts
from kubelab.apiserver.storage.compaction import LeftReceipts
from kubelab.apiserver.storage.store import Put, prefix_end
from tests.support.clock import FakeClock
from tests.support.memorystore import MemoryStore


async def test_receipts_go_when_nobody_has_written_them_for_ten_minutes() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    left = LeftReceipts(store, clock)
    names = [f"{receipts.ROOT}{n:04d}" for n in range(1100)]
    for name in (*names, "/other"):
        await store.transact([], [Put(name, b"")])
    await left.step()
    await clock.advance(receipts.KEPT_SECONDS - 1)
    await store.transact([], [Put(names[7], b"")])
    await left.step()
    assert len((await store.range(receipts.ROOT, prefix_end(receipts.ROOT))).items) == len(names)
    await clock.advance(1)
    await left.step()
    assert [kv.key for kv in (await store.range("/", prefix_end("/"))).items] == [names[7], "/other"]
    await clock.advance(receipts.KEPT_SECONDS)
    await left.step()
    assert [kv.key for kv in (await store.range("/", prefix_end("/"))).items] == ["/other"]
