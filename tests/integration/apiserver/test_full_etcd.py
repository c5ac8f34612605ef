"""etcd's quota is reached: writes are refused in words, deletions go on, and room comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver.storage import spacemonitor as spaces
from kubelab.supervisor.etcdleader import EtcdLeader
from kubelab.supervisor.health import HealthTarget
from tests.support import etcd as testing_etcd
from tests.support.etcd import Etcd
from tests.support.pki import TestAuthority

CLOCK = SystemClock()
QUOTA = 24 * 1024 * 1024
WRITERS = 32  # at once; together they do not reach the quota with their first objects


@pytest.fixture
def etcd_server(tmp_path: Path, authority: TestAuthority) -> Iterator[Etcd]:
    if testing_etcd.missing():
        pytest.skip("no etcd on this machine")
    folder = tmp_path / "etcd"
    folder.mkdir()
    with testing_etcd.etcd(folder, authority, f"--quota-backend-bytes={QUOTA}") as running:
        yield running


def config_map(name: str, size: int = 0) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap(data={"x": "x" * size})
    made.metadata.name, made.metadata.namespace = name, "default"
    return made


async def fill(client: Any) -> list[str]:
    """Create until it is refused; gives the names of what was acknowledged."""
    names: list[str] = []
    while True:
        name = f"big-{len(names):03d}"
        try:
            await client.create(config_map(name, 1_000_000))
        except errors.InternalError:
            return names
        names.append(name)


async def until_written(client: Any, name: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.create(config_map(name))
            except errors.InternalError:
                await CLOCK.sleep(0.05)
            else:
                return


async def test_what_is_deleted_makes_room(start: Any, etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "PAUSES", ExponentialBackoff(0.2, 0.4))
    servers = await start(2)
    names = await fill(servers.a)
    listed = await servers.b.list(scheme.CONFIG_MAPS, "default")
    assert [c.metadata.name for c in listed.items] == names  # what was acknowledged, and nothing that was refused
    with pytest.raises(errors.InternalError) as told:
        await servers.b.update(config_map(names[0], 900_000))
    assert told.value.message == (
        "etcdserver: mvcc: database space exceeded: nothing can be written until objects are deleted"
    )
    assert errors.out_of_space(told.value)
    api = servers.apis[0]
    async with asyncio.timeout(30):
        while not api.space.full:
            await CLOCK.sleep(0.02)
    assert api.space.note.startswith("etcd's quota is reached")
    files = etcd_server.client
    looking = EtcdLeader(
        {"etcd@cp-1": HealthTarget(etcd_server.address, files.ca, files.certificate, files.key)}, CLOCK, lambda: None
    )
    async with asyncio.timeout(30):
        # A busy member may not answer in time, and an api-server may have made some room, which is filled up again.
        while await looking.look() != "etcd@cp-1" or not looking.full:
            with contextlib.suppress(errors.InternalError):
                more = f"big-{len(names):03d}"
                await servers.b.create(config_map(more, 1_000_000))
                names.append(more)
    assert looking.full == {"etcd@cp-1"}
    later = await start(1)  # one that starts meanwhile
    for name in names[5:]:
        await servers.b.delete(scheme.CONFIG_MAPS, name, "default")
    with pytest.raises(errors.NotFound):
        await servers.a.delete(scheme.CONFIG_MAPS, names[-1], "default")
    await until_written(servers.a, "small")
    await until_written(later.a, "small-too")
    left = await servers.b.list(scheme.CONFIG_MAPS, "default")
    assert [c.metadata.name for c in left.items] == [*names[:5], "small", "small-too"]
    async with asyncio.timeout(30):
        while any(one.space.full for one in servers.apis):
            await CLOCK.sleep(0.02)
    await looking.look()
    assert not looking.full
    for channel in looking._channels.values():
        await channel.close()


async def test_history_alone_makes_room(start: Any, etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object that is written again and again: nobody has to delete anything."""
    monkeypatch.setattr(spaces, "PAUSES", ExponentialBackoff(0.1, 30.0))
    servers = await start(1)
    big = await servers.a.create(config_map("big", 1_000_000))
    refused = 0
    async with asyncio.timeout(60):
        for n in range(60):
            big.data["n"] = str(n)
            while True:
                try:
                    big = await servers.a.update(big)
                    break
                except errors.InternalError:
                    refused += 1
                    await CLOCK.sleep(0.05)
    assert refused
    assert (await servers.a.get(scheme.CONFIG_MAPS, "big", "default")).data["n"] == "59"


async def test_the_write_that_reaches_the_quota_is_told_as_what_it_was(
    start: Any, etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many at once: etcd carries some out after it has let them in, and answers all the same that there is no space.

    It learns how large it has become ten times a second: how many it lets in until then is the machine's business, so
    everybody writes until refused.
    """
    monkeypatch.setattr(spaces, "PAUSES", ExponentialBackoff(60.0, 60.0))
    servers = await start(1)
    acknowledged: set[str] = set()
    unknown: set[str] = set()

    async def write(writer: int) -> None:
        for n in itertools.count():
            name = f"c{writer:02d}-{n}"
            try:
                await servers.a.create(config_map(name, 500_000))
            except errors.InternalError:
                return
            except (errors.Timeout, errors.Unavailable):
                unknown.add(name)
            else:
                acknowledged.add(name)

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    left = {c.metadata.name for c in (await servers.a.list(scheme.CONFIG_MAPS, "default")).items}
    assert acknowledged
    assert acknowledged <= left <= acknowledged | unknown
