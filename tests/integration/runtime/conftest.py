"""A runtime with one small image, for tests that only root can run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from tests.integration.runtime.lab import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running() as node:
        yield node


@pytest.fixture
async def apart() -> AsyncIterator[Lab]:
    """A node whose runtime has a mount namespace of its own, with another /opt than the machine's."""
    async with running(apart=True) as node:
        yield node


@contextlib.asynccontextmanager
async def running(*, apart: bool = False, mounts: str = "") -> AsyncGenerator[Lab]:
    """A node that answers, with the image ``app``; skips where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("crun") is None:
        pytest.skip("no crun on this machine")
    node = Lab(Path(tempfile.mkdtemp(prefix="kl-runtime-")), apart=apart, mounts=mounts)
    await node.start()
    try:
        await node.set_cidr()
        await node.build("FROM host\n", "app")
        yield node
    finally:
        await node.close()
