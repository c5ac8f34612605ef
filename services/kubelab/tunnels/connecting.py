"""Connect to the first target that answers: the next one is tried when the one before fails or is slow.

As in "happy eyeballs" (RFC 8305), attempts overlap, the first that connects wins, and the others are cancelled. So a
node that is stopped costs a connection a quarter of a second, and the connections after it nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping

from kubelab.apimachinery.clock import Clock
from kubelab.tunnels.model import Network, Route, TunnelTarget
from kubelab.tunnels.targethealth import TargetHealth

NEXT_SECONDS = 0.25  # before the next target is tried beside the one that has not answered yet
ROUNDS = 3
CONNECT_SECONDS = 10.0  # for all of them together
KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class Connector:
    """Connects from inside of ``nodes``, and remembers what became of it."""

    def __init__(self, nodes: Mapping[str, Network], target_health: TargetHealth, clock: Clock) -> None:
        self._nodes, self._target_health, self._clock = nodes, target_health, clock

    def note(self, target: TunnelTarget, healthy: bool) -> None:
        """Take in how a target did."""
        self._target_health.note(target, healthy=healthy, now=self._clock.monotonic())

    async def connect(self, route: Route) -> tuple[socket.socket, TunnelTarget]:
        """Return a connected socket and its target. OSError when no target answers: the last one's error."""
        race = _Race()
        try:
            async with self._clock.timeout(CONNECT_SECONDS), asyncio.TaskGroup() as attempts:
                running: list[asyncio.Task[None]] = []
                for target in self._in_turn(route, race):
                    running.append(attempts.create_task(self._attempt(target, race), name=f"to {target.address}"))
                    await self._a_while(race)
                    if race.won:
                        break
                while not race.won and not all(task.done() for task in running):
                    await race.next_event()
                for task in running:
                    task.cancel()
        except TimeoutError:
            for target in route.targets:
                self.note(target, False)
            race.errors.append(TimeoutError("no answer"))
        except BaseException:
            race.close()
            raise
        if not race.won:
            raise race.errors[-1] if race.errors else OSError("there is nowhere to connect to")
        first, *late = race.won
        race.won = late
        race.close()
        return first

    def _in_turn(self, route: Route, race: _Race) -> Iterator[TunnelTarget]:
        """Each target, and each again: behind an address of a service, the next attempt finds another pod.

        Where there is one target only, a node was named: an experiment looks at what that one does, at the first try.
        """
        order = self._target_health.order(route, self._clock.monotonic())
        for turn in range(ROUNDS if len(order) > 1 else 1):
            if turn and race.errors and all(isinstance(err, ConnectionRefusedError) for err in race.errors):
                return  # they are there, and say no
            yield from order

    async def _a_while(self, race: _Race) -> None:
        """Until an attempt has ended one way or the other, or has taken long."""
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(NEXT_SECONDS):
                await race.next_event()

    async def _attempt(self, target: TunnelTarget, race: _Race) -> None:
        sock: socket.socket | None = None
        try:
            sock = self._nodes[target.node].tcp_socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            await asyncio.get_running_loop().sock_connect(sock, (target.host, target.port))
        except OSError as err:
            if sock:
                sock.close()
            self.note(target, False)
            race.errors.append(err)
        except BaseException:
            if sock:
                sock.close()
            if race.won and all(target != other for _, other in race.won):
                self.note(target, False)  # another one was quicker
            raise
        else:
            self.note(target, True)
            race.won.append((sock, target))
        finally:
            race.happened()


class _Race:
    """The outcomes of the attempts for one connection."""

    def __init__(self) -> None:
        self.won: list[tuple[socket.socket, TunnelTarget]] = []
        self.errors: list[OSError] = []
        self._event = asyncio.Event()

    def happened(self) -> None:
        self._event.set()

    async def next_event(self) -> None:
        """Wait for the end of an attempt that was not handled yet."""
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        for sock, _ in self.won:
            sock.close()
        self.won.clear()
