"""A runtime with one small image, for tests that only root can run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.runtime.lab import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("crun") is None:
        pytest.skip("no crun on this machine")
    node = Lab(Path(tempfile.mkdtemp(prefix="kl-runtime-")))
    await node.start()
    try:
        await node.set_cidr()
        await node.build("FROM host\n", "app")
        yield node
    finally:
        await node.close()
