"""Which member of etcd is asked, and for how long."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from kubelab.apimachinery import errors
from kubelab.apiserver.storage.etcd import EtcdStore
from kubelab.apiserver.storage.members import READ_SECONDS, TOGETHER_SECONDS
from tests.support.clock import FakeClock


@pytest.fixture
def deaf() -> Iterator[list[str]]:
    """Three addresses where somebody listens, and nobody ever answers."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]


async def test_a_read_gives_up_while_another_api_server_can_still_be_asked(deaf: list[str]) -> None:
    """No member connects: the connections are waited for in the time that the read has, and not in addition to it."""
    clock = FakeClock(auto=True)
    store = EtcdStore(deaf, clock=clock, timeout=10.0)
    try:
        with pytest.raises(errors.Unavailable):
            await store.revision()
        assert clock.monotonic() < TOGETHER_SECONDS + READ_SECONDS
    finally:
        await store.close()
