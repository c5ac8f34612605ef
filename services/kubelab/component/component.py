"""The main function of ``python -m kubelab.<name>``: configuration, logging, workers, the event loop, a clean stop.

Importing a component's package makes no channel, server, thread or loop: everything starts in :meth:`Component.main`,
so that one process may import all components and fork them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.component import logs
from kubelab.component.config import BaseConfig, ConfigError, HelpShown, load
from kubelab.component.descriptors import raise_limit
from kubelab.component.environment import Environment, process_name
from kubelab.component.workers import prefork

C = TypeVar("C", bound=BaseConfig)

STOP_SECONDS = 5.0  # that a component has to end by itself after SIGTERM


def _one(_config: BaseConfig) -> int:
    return 1


@dataclass(frozen=True)
class Component(Generic[C]):
    """A component: ``run`` is its table of contents, ``workers`` says how many processes share its port.

    ``prepare`` is called before there is an event loop, for what has to be forked while the process is still small and
    shares nearly all of its memory with its siblings; ``env.prepared`` is what it gave.
    """

    name: str
    config: type[C]
    run: Callable[[C, Environment], Awaitable[None]]
    workers: Callable[[C], int] = _one
    prepare: Callable[[C], object] | None = None

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run until SIGTERM or SIGINT. Gives the exit code: 0 after a clean stop, 1 after a failure."""
        raise_limit()
        try:
            config = load(self.config, sys.argv[1:] if argv is None else argv, prog=self.name)
        except HelpShown:
            return 0
        except ConfigError as err:
            print(f"{self.name}: {err}", file=sys.stderr)  # noqa: T201 — there is no logger yet
            return 1
        count = self.workers(config)
        if count > 1:
            return prefork(count, lambda n: self._serve(config, n, count), name=process_name(config, self.name))
        return self._serve(config, 0, 1)

    def _serve(self, config: C, worker: int, workers: int) -> int:
        clock = SystemClock()
        name = process_name(config, self.name)
        prepared = self.prepare(config) if self.prepare else None
        log = logs.configure(name, level=config.log_level, form=config.log_format, clock=clock)
        if workers > 1:
            log = log.bind(worker=worker)
        with asyncio.Runner() as runner:
            return runner.run(_supervise(self, config, clock, log, worker, workers, prepared))


async def _supervise(
    component: Component[C],
    config: C,
    clock: Clock,
    log: structlog.typing.FilteringBoundLogger,
    worker: int,
    workers: int,
    prepared: object,
) -> int:
    """Run the component until it ends, fails, or receives a signal to stop."""
    env = Environment(config, component.name, clock=clock, log=log, worker=worker, workers=workers)
    env.prepared = prepared
    loop = asyncio.get_running_loop()
    failures: list[BaseException] = []
    ended = asyncio.Event()

    def on_loop_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        err = context.get("exception")
        if isinstance(err, BlockingIOError):
            return  # grpc's poller found its wake-up pipe already drained by another reader; it polls again
        log.error("exception in the event loop", what=context.get("message"), exc_info=err)
        failures.append(err or RuntimeError(str(context.get("message"))))
        ended.set()

    loop.set_exception_handler(on_loop_exception)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, env.stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(_run(component, config, env, failures, ended), name=component.name)
            stop = group.create_task(_either(env.stop, ended), name="stop")
            await stop
            if not failures and env.stop.watched and not run.done():
                log.info("stopping")
                await asyncio.wait([run], timeout=STOP_SECONDS)
                if not run.done():
                    log.warning("did not stop in time", seconds=STOP_SECONDS)
            run.cancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return 1 if failures else 0


async def _run(
    component: Component[C], config: C, env: Environment, failures: list[BaseException], ended: asyncio.Event
) -> None:
    try:
        await component.run(config, env)
        if not env.stop.is_set():
            env.log.info("ended by itself")
    except asyncio.CancelledError:
        raise
    except Exception as err:
        failures.append(err)
        message = _config_error(err)
        if message:
            env.log.error("cannot run with this configuration", error=str(message))
        else:
            env.log.error("failed", exc_info=err)
    finally:
        ended.set()


def _config_error(err: BaseException) -> ConfigError | None:
    """Find a configuration error, also inside of a group."""
    if isinstance(err, ConfigError):
        return err
    if isinstance(err, BaseExceptionGroup):
        messages = [_config_error(inner) for inner in err.exceptions]
        return messages[0] if all(messages) else None
    return None


async def _either(*events: asyncio.Event) -> None:
    """Return when one of the events is set; this is not a component's own watching of ``env.stop``."""
    tasks = [asyncio.ensure_future(asyncio.Event.wait(event)) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
