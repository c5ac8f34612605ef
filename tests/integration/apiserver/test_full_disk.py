"""The disk of etcd and of the audit trail is full: etcd ends, the api-server lives on and goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import SystemClock
from tests.support import etcd as testing_etcd
from tests.support.etcd import Etcd
from tests.support.pki import TestAuthority

pytestmark = pytest.mark.root
CLOCK = SystemClock()
SIZE = "200m"  # etcd's write-ahead log takes 64 MB of it before anything is written


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "kubelab-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def etcd_server(disk: Path, authority: TestAuthority) -> Iterator[Etcd]:
    if testing_etcd.missing():
        pytest.skip("no etcd on this machine")
    with testing_etcd.etcd(disk, authority) as running:
        yield running


def config_map(name: str, size: int = 0) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap(data={"x": "x" * size})
    made.metadata.name = name
    return made


def fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as rest:
        while rest.write(b"\0" * 1_000_000):
            continue


async def create_until_refused(client: Any) -> list[str]:
    """Give the names of what was acknowledged."""
    names: list[str] = []
    while True:
        name = f"c-{len(names):03d}"
        try:
            await client.create(config_map(name, 1_000_000), "default")
        except (errors.Unavailable, errors.Timeout, errors.InternalError):
            return names
        names.append(name)


async def test_it_goes_on_when_there_is_room_again(start: Any, disk: Path, etcd_server: Etcd) -> None:
    servers = await start(1, audit_log=disk / "audit.log")
    store = servers.apis[0].store._store
    fill(disk / "rest")
    store._members.timeout = 1.0
    async with asyncio.timeout(60):
        acknowledged = await create_until_refused(servers.a)
    process = etcd_server.process
    assert process is not None
    assert await asyncio.to_thread(process.wait, 20) != 0
    with pytest.raises((errors.Unavailable, errors.Timeout)):
        await servers.a.create(config_map("refused"), "default")
    any_age = await servers.a.list(scheme.CONFIG_MAPS, "default", resource_version="0", limit=500)
    unknown = f"c-{len(acknowledged):03d}"  # nobody was told what became of it
    assert {c.metadata.name for c in any_age.items} <= {*acknowledged, unknown}
    (disk / "rest").unlink()
    store._members.timeout = 10.0
    await asyncio.to_thread(etcd_server.start)
    async with asyncio.timeout(30):
        while True:
            try:
                await servers.a.create(config_map("again"), "default")
            except (errors.Unavailable, errors.Timeout):
                continue
            break
        names = {c.metadata.name for p in [p async for p in servers.a.pages(scheme.CONFIG_MAPS)] for c in p.items}
        assert {*acknowledged, "again"} <= names
        trail = [record.verb async for record in servers.a.audit_records("configmaps", "default", "again")]
    assert trail[0] == "create"
