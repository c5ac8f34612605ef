"""The work loop of every controller: take a key, sync it, forget or retry it, mark it done.

The queue retries with back-off; a ``sync`` only raises. Each sync has a trace of its own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from kubelab.apimachinery.errors import ApiError
from kubelab.client import runtimeerrors
from kubelab.client.workqueue import WorkQueue
from kubelab.rpc import tracing

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

K = TypeVar("K")


class WorkerLogger(runtimeerrors.ErrorLogger, Protocol):
    """The part of a logger that loops use: structlog's."""

    def warning(self, event: str, **values: Any) -> object: ...


class Reconciler(ABC, Generic[K]):
    """A controller: handlers enqueue keys, one ``sync`` brings one key's object towards its spec.

    A derived class names itself, hands its queue and log up, and has ``sync`` and ``enqueue_all``. A ``sync`` only
    raises: :func:`run_workers` says what becomes of that.
    """

    name: ClassVar[str]

    def __init__(self, queue: WorkQueue[K], log: FilteringBoundLogger) -> None:
        self._queue, self._log = queue, log

    @abstractmethod
    async def sync(self, key: K) -> None:
        """Reconcile one key. Raises ApiError, after which the queue retries it."""

    @abstractmethod
    def enqueue_all(self) -> None:
        """Enqueue everything that could need work when this process begins to lead."""

    async def run(self, workers: int = 1) -> None:
        """Enqueue everything, then sync until cancelled. The caches must have synced."""
        self.enqueue_all()
        await run_workers(self._queue, self.sync, workers=workers, name=self.name, log=self._log)


async def run_workers(
    queue: WorkQueue[K], sync: Callable[[K], Awaitable[None]], *, workers: int, name: str, log: WorkerLogger
) -> None:
    """Run so many workers side by side until the queue is shut down or the task cancelled.

    An ApiError is expected: the key is retried. Anything else is a bug: logged with its traceback, counted, retried in
    the slow lane, so that one poisonous object never stops the others.
    """
    async with asyncio.TaskGroup() as group:
        for n in range(workers):
            group.create_task(_work(queue, sync, name, log), name=f"{name}-{n}")


async def _work(queue: WorkQueue[K], sync: Callable[[K], Awaitable[None]], name: str, log: WorkerLogger) -> None:
    async for key in queue:  # never the same key in two workers; re-adds wait for done()
        try:
            with tracing.root():
                await sync(key)
        except ApiError as err:
            log.warning("sync failed, will retry", loop=name, key=str(key), reason=err.reason, error=err.message)
            queue.retry(key)
        except Exception:  # noqa: BLE001 — a bug: one poisonous object must not stop the others
            queue.retry(key)
            runtimeerrors.handle_error(log, name, key)
        else:
            queue.forget(key)
        finally:
            queue.done(key)
