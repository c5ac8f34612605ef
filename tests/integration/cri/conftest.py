"""The runtimes that the suite of the CRI is held against. Another one is another line of :data:`RUNTIMES`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.cri import containerd
from tests.integration.cri.calls import CRICalls
from tests.integration.runtime.conftest import running


@contextlib.asynccontextmanager
async def embedded() -> AsyncGenerator[CRICalls]:
    """kubelab's own."""
    async with running() as node:
        yield node


@contextlib.asynccontextmanager
async def debian_containerd() -> AsyncGenerator[CRICalls]:
    """containerd as the distribution has it; skips where it is not installed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if lacking := containerd.missing():
        pytest.skip(f"not on this machine: {lacking}")
    node = containerd.ContainerdNode(Path(tempfile.mkdtemp(prefix="kl-cri-")))
    try:
        await node.start()
        yield node
    finally:
        await node.close()


RUNTIMES: dict[str, Callable[[], AbstractAsyncContextManager[CRICalls]]] = {
    "embedded": embedded,
    "containerd": debian_containerd,
}


@pytest_asyncio.fixture(params=list(RUNTIMES), scope="module", loop_scope="module")
async def node(request: pytest.FixtureRequest) -> AsyncIterator[CRICalls]:
    """One for all tests of a module: each has pods of its own."""
    async with RUNTIMES[request.param]() as made:
        yield made
