"""Keeps containers' logs from filling the disk, as upstream does: a log that has grown too long is moved aside, the
runtime is asked to write to a new file, and only the newest few are kept (``containerLogMaxSize``, ``…MaxFiles``).

``0.log`` is the file that is written; ``0.log.20260101-120000`` and the like are what came before. One task does all
of it (:meth:`LogRotation.run`), so nothing here is parallel. Files are touched off the event loop.
"""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery import quantity
from kubelab.apimachinery.clock import Clock
from kubelab.component.config import ConfigError
from kubelab.files import rotation
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.cri.client import RuntimeFailure


@dataclass(frozen=True, slots=True)
class Limits:
    """A log's longest, in bytes, and how many files of it are kept, the one that is written included."""

    size: int
    files: int

    @classmethod
    def of(cls, config: KubeletConfig) -> Limits:
        """Raises ConfigError."""
        try:
            size = math.ceil(quantity.parse(config.container_log_max_size))
        except ValueError as err:
            raise ConfigError(f"containerLogMaxSize: {config.container_log_max_size!r}: {err}") from err
        if size <= 0:
            raise ConfigError(f"containerLogMaxSize: {config.container_log_max_size!r}: must be positive")
        if config.container_log_max_files < 2:
            raise ConfigError(f"containerLogMaxFiles: {config.container_log_max_files}: must be greater than 1")
        return cls(size, config.container_log_max_files)


@dataclass(frozen=True, slots=True)
class RunningLog:
    """The log of a container that runs."""

    container_id: str
    path: Path


class LogRotation:
    """See the module. ``running`` gives the logs that are written now, ``reopen`` is the runtime's."""

    def __init__(
        self,
        running: Callable[[], list[RunningLog]],
        reopen: Callable[[str], Awaitable[None]],
        limits: Limits,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        period: float = 10.0,
    ) -> None:
        self._running, self._reopen, self._limits = running, reopen, limits
        self._clock, self._log, self._period = clock, log, period

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            await self._clock.sleep(self._period)
            await self.look()

    async def look(self) -> None:
        """Turn over every log that is too long now. A failure is logged and tried again at the next look."""
        for log in await asyncio.to_thread(too_long, self._running(), self._limits.size):
            try:
                await self._turn_over(log)
            except (OSError, RuntimeFailure) as err:
                self._log.warning("log not turned over", path=str(log.path), error=str(err))

    async def _turn_over(self, log: RunningLog) -> None:
        aside = await asyncio.to_thread(move_aside, log.path, self._limits.files, self._clock.time())
        try:
            await self._reopen(log.container_id)
        except RuntimeFailure:
            await asyncio.to_thread(move_back, aside, log.path)
            raise
        self._log.info("log turned over", path=str(log.path), aside=aside.name)


def too_long(logs: Iterable[RunningLog], size: int) -> list[RunningLog]:
    """Those whose file is longer than this; one that is not there is not."""
    return [log for log in logs if rotation.longer(log.path, size)]


def earlier(path: Path) -> list[Path]:
    """The files of a log that were moved aside, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.*"))


def move_aside(path: Path, files: int, now: float) -> Path:
    """Give the file another name, and delete the oldest so that there are ``files`` once it is written anew."""
    stamp = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.{stamp}")
    path.rename(aside)
    for old in earlier(path)[: 1 - files]:
        old.unlink(missing_ok=True)
    return aside


def move_back(aside: Path, path: Path) -> None:
    """Undo :func:`move_aside`, unless the runtime has begun a new file all the same."""
    if not path.exists():
        aside.rename(path)


def remove_log(path: Path) -> None:
    """Delete a log with all that was moved aside."""
    for file in (path, *earlier(path)):
        file.unlink(missing_ok=True)
