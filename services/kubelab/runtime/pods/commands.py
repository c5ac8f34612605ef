"""Running a command in a container that runs, by the launcher: for Exec and for ExecSync."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from typing import Any

from kubelab.runtime.launcher.client import Launcher, read_all


async def run_command(
    launcher: Launcher, request: Mapping[str, Any], streams: Mapping[str, int], *, seconds: float | None = None
) -> int:
    """Run a command to its end; gives its exit code, 128 + n for a signal n. CRIError, NoAnswer after ``seconds``.

    ``streams`` are descriptors by the launcher's names, closed here as soon as the command has them. When this is
    cancelled or late, the command is killed with all that it started, and that is over when this raises.
    """
    alive, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(alive, False)
    mine = {"alive": theirs, **streams}

    def sent() -> None:
        while mine:
            os.close(mine.popitem()[1])

    try:
        reply = await launcher.ask({**request, "streams": [*mine]}, [*mine.values()], seconds=seconds, sent=sent)
        code: int = reply["exit_code"]
        return code
    finally:
        sent()
        try:
            await _whole(read_all(alive))
        finally:
            os.close(alive)


async def _whole(ending: Coroutine[Any, Any, object]) -> None:
    """Wait for an end that is near, however often this is cancelled meanwhile: it is cancelled afterwards."""
    task = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as err:
            cancelled = err
    if cancelled is not None:
        raise cancelled
