"""The spawner over a real socket pair, with the test as the zygote."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from kubelab.cluster import launch
from kubelab.cluster.record import start_ticks
from kubelab.component import logs
from kubelab.supervisor.spawner import Spawner
from kubelab.supervisor.zygote import Order
from kubelab.testing.clock import FakeClock


async def test_what_comes_after_its_order_was_given_up_is_ended(tmp_path: Path) -> None:
    """Orders lie in the socket while a zygote is frozen. When it wakes up it serves them all."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    log = logs.configure("supervisor", level="error", form="text", clock=FakeClock())
    spawner = Spawner(ours, [], tmp_path, cast(Any, None), log)
    with ours, theirs, (tmp_path / "log").open("w") as file, subprocess.Popen(["sleep", "600"]) as late:
        order = Order(name="scheduler@cp-1", argv=(), records=str(tmp_path))
        waiting = asyncio.ensure_future(spawner.start(order, file.fileno(), None))
        asked, fds, _, _ = await asyncio.to_thread(socket.recv_fds, theirs, 65536, 2)
        for fd in fds:
            socket.close(fd)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        answer = {"id": json.loads(asked)["id"], "pid": late.pid, "ticks": start_ticks(late.pid), "since": 0}
        theirs.send(json.dumps(answer).encode())
        spawner._receive()
        assert await launch.ended(late.pid, 10.0)
