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
from kubelab.component import logs
from kubelab.linux.processes import start_time
from kubelab.supervisor.spawner import START_SECONDS, Spawner, SpawnError
from kubelab.supervisor.zygote import SpawnRequest
from tests.support.clock import FakeClock


async def refused(spawner: Spawner, request: SpawnRequest, log: int) -> None:
    with pytest.raises(SpawnError, match="the zygote does not answer"):
        await spawner.start(request, log, None)


async def test_what_comes_after_its_order_was_given_up_is_ended(tmp_path: Path) -> None:
    """Orders lie in the socket while a zygote is frozen. When it wakes up it serves them all."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    clock = FakeClock()
    log = logs.configure("supervisor", level="error", form="text", clock=clock)
    spawner = Spawner(ours, [], tmp_path, cast(Any, None), clock, log)
    with ours, theirs, (tmp_path / "log").open("w") as file, subprocess.Popen(["sleep", "600"]) as late:
        request = SpawnRequest(name="scheduler@cp-1", argv=(), records=str(tmp_path))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(refused(spawner, request, file.fileno()))
            await clock.settle()
            await clock.advance(START_SECONDS)
            await waiting
        asked, fds, _, _ = await asyncio.to_thread(socket.recv_fds, theirs, 65536, 2)
        for fd in fds:
            socket.close(fd)
        answer = {"id": json.loads(asked)["id"], "pid": late.pid, "ticks": start_time(late.pid), "since": 0}
        theirs.send(json.dumps(answer).encode())
        spawner._receive()
        assert await launch.wait_ended(late.pid, 10.0)
