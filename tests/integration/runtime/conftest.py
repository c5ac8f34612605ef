"""A runtime with one small image, for tests that only root can run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.runtime.lab import Lab


@pytest.fixture(scope="module")
def kept() -> Iterator[list[Lab]]:
    """The node that the last test of a module has left as it was, for the next one."""
    nodes: list[Lab] = []
    yield nodes
    for node in nodes:
        asyncio.run(node.close())


@pytest.fixture
async def lab(kept: list[Lab]) -> AsyncIterator[Lab]:
    """A node on which there is nothing but the image ``app``."""
    node = kept.pop() if kept else None
    if node and not node.fits():
        await node.close()
        node = None
    if node:
        await node.connect()
    else:
        node = await started()
        await node.begin()
    try:
        yield node
    except BaseException:
        await node.close()
        raise
    if await node.emptied():
        await node.disconnect()
        kept.append(node)
    else:
        await node.close()


@pytest.fixture
async def apart() -> AsyncIterator[Lab]:
    """A node whose runtime has a mount namespace of its own, with another /opt than the machine's."""
    async with running(apart=True) as node:
        yield node


@contextlib.asynccontextmanager
async def running(*, apart: bool = False, mounts: str = "") -> AsyncGenerator[Lab]:
    """A node that answers, with the image ``app``; skips where there can be none."""
    node = await started(apart=apart, mounts=mounts)
    try:
        yield node
    finally:
        await node.close()


async def started(*, apart: bool = False, mounts: str = "") -> Lab:
    """The same, for the caller to close."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("crun") is None:
        pytest.skip("no crun on this machine")
    node = Lab(Path(tempfile.mkdtemp(prefix="kl-runtime-")), apart=apart, mounts=mounts)
    await node.start()
    try:
        await node.set_cidr()
        await node.build("FROM host\n", "app")
    except BaseException:
        await node.close()
        raise
    return node
