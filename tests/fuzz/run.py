"""The loop: many callers at once, promises watched, what breaks one is kept.

Promises: no call ends INTERNAL or UNKNOWN, a call with one answer ends in time, no process dies, none writes a
traceback, none grows without bound; afterwards every server answers a normal call, and every reader reads what got in.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubelab.apimachinery.clock import Clock
from tests.fuzz import rpcs
from tests.fuzz.findings import Finding, Input
from tests.fuzz.requests import Memory, Requests, metadata
from tests.fuzz.rpcs import Rpc
from tests.fuzz.servers import Place, Server, alive, resident

CALLERS = 8
UNARY_SECONDS = 30.0  # for one answer, on a machine that has other work
STREAM_SECONDS = 0.5  # of a stream that goes on
MAX_MEMORY = 700 << 20  # bytes that one process may hold
MAX_FINDINGS = 20
LOOK_SECONDS = 1.0  # between two looks at processes and logs
WEIGHTS = {  # so that objects stay for a while, and containers run
    "Create": 4.0, "Update": 3.0, "DeleteCollection": 0.05, "Delete": 0.3,
    "CreateContainer": 3.0, "StartContainer": 4.0, "ExecSync": 3.0, "RemovePodSandbox": 0.3, "RemoveContainer": 0.5,
    "RemoveImage": 0.05,
}  # fmt: skip
BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
FROM_CLIENT = "Internal error from Core"  # what grpc.aio makes of a deadline that comes while it writes
TRACEBACK = "Traceback (most recent call last)"


@dataclass
class Report:
    """What was sent, what came of it."""

    seed: int
    codes: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    findings: list[Finding] = field(default_factory=list[Finding])
    got_in: int = 0  # objects that are there at the end
    _reported: set[str] = field(default_factory=set[str])

    @property
    def calls(self) -> int:
        return sum(self.codes.values())

    def add(self, what: str, inputs: Sequence[Input] = (), kind: str = "") -> None:
        """Note a broken promise, each kind once."""
        key = kind or what
        if key not in self._reported and len(self.findings) < MAX_FINDINGS:
            self._reported.add(key)
            self.findings.append(Finding(what, inputs))

    def lines(self) -> list[str]:
        """Sum up for a person."""
        lines = [f"seed {self.seed}: {self.calls} calls"]
        for server in sorted({server for server, _ in self.codes}):
            codes = sorted((code, n) for (name, code), n in self.codes.items() if name == server)
            lines.append(f"  {server}: {', '.join(f'{n} {code}' for code, n in codes)}")
        if self.got_in:
            lines.append(f"  {self.got_in} objects got in, and were read")
        return lines


class Fuzzer:
    """Sends requests to the servers of a place until the time is over."""

    def __init__(self, place: Place, seed: int, clock: Clock) -> None:
        self._place, self._clock = place, clock
        self.report = Report(seed)
        self._memory = Memory()
        self._recent: dict[int, Input] = {}
        self._number = 0

    async def run(self, seconds: float) -> None:
        """Fuzz for so long, then look at everything once more."""
        async with contextlib.AsyncExitStack() as stack:
            targets: list[tuple[Server, grpc.aio.Channel, Sequence[Rpc]]] = []
            for server in self._place.servers:
                channel = await stack.enter_async_context(server.connect())
                methods = [rpc for rpc in await rpcs.of_server(channel) if rpc.path not in server.avoid]
                targets.append((server, channel, methods))
            until = self._clock.monotonic() + seconds
            watching = asyncio.create_task(self._watch(), name="watch")
            async with asyncio.TaskGroup() as group:
                for n in range(CALLERS):
                    group.create_task(self._call_until(until, n, targets), name=f"caller-{n}")
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            self._look()
            for server, channel, _ in targets:
                await self._still_answers(server, channel)

    async def _call_until(self, until: float, caller: int, targets: Sequence[Any]) -> None:
        while self._clock.monotonic() < until and len(self.report.findings) < MAX_FINDINGS:
            name = f"{self.report.seed}/{self._number}"
            self._number += 1
            pick = random.Random(name)
            server, channel, methods = pick.choices(targets, [len(methods) for _, _, methods in targets])[0]
            rpc = pick.choices(methods, [_weight(rpc) for rpc in methods])[0]
            raw = Requests(pick, self._memory).make(rpc)
            sent = Input(server.name, rpc.path, rpc.shape, raw, metadata(pick), name)
            self._recent[caller] = sent
            code, details = await call(channel, sent, rpc, self._memory)
            self.report.codes[server.name, code.name] += 1
            late = code is grpc.StatusCode.DEADLINE_EXCEEDED and not rpc.many_answers
            if code in BROKEN or (late and not rpc.path.endswith("/ExecSync")):  # that has a deadline of its own
                what = f"{server.name} {rpc.path} ended {code.name}: {details[:300]}"
                self.report.add(what, [sent], f"{server.name} {rpc.path} {code.name} {details[:40]}")

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        """Look at every process: is it there, what does it hold, what has it written."""
        under_way = list(self._recent.values())
        for server in self._place.servers:
            pid = server.pid()
            mine = [one for one in under_way if one.server == server.name] or under_way
            if not alive(pid):
                self.report.add(f"{server.name} has died, see {server.log}", mine, f"{server.name} died")
                continue
            if (held := resident(pid)) > MAX_MEMORY:
                self.report.add(f"{server.name} holds {held >> 20} MiB", mine, f"{server.name} memory")
            written = server.new_log()
            if TRACEBACK in written:
                self.report.add(
                    f"{server.name} wrote a traceback: {excerpt(written)}", mine, f"{server.name} traceback"
                )

    async def _still_answers(self, server: Server, channel: grpc.aio.Channel) -> None:
        any_channel: Any = channel
        stub: Any = health_pb2_grpc.HealthStub(any_channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=UNARY_SECONDS)
        except grpc.aio.AioRpcError as err:
            self.report.add(f"{server.name} does not answer any more: {err.code().name} {err.details()}")
        else:
            if answer.status != health_pb2.HealthCheckResponse.SERVING:
                self.report.add(f"{server.name} says that it does not serve any more")


def _weight(rpc: Rpc) -> float:
    """How often a method is called, compared with others."""
    return 0.2 if rpc.path.startswith("/grpc.") else WEIGHTS.get(rpc.path.rpartition("/")[2], 1.0)


def excerpt(written: str) -> str:
    """The traceback in a log: where it begins, and of each error in its chain the last frame and the words."""
    lines: list[str] = written[: written.index(TRACEBACK)].splitlines()[-1:]
    for part in written.split(TRACEBACK)[1:4]:
        trace = part.splitlines()
        end = next((n for n, line in enumerate(trace) if n and line[:1].strip()), len(trace) - 1)
        lines += trace[max(1, end - 4) : end + 1]
    return " | ".join(line.strip() for line in lines)


async def call(
    channel: grpc.aio.Channel, sent: Input, rpc: Rpc | None = None, memory: Memory | None = None
) -> tuple[grpc.StatusCode, str]:
    """Send an input; gives how the call ended. A stream of answers is read for a moment."""
    method: Any = getattr(channel, sent.shape)(sent.path)
    request: Any = _each(sent.messages) if sent.shape.startswith("stream") else sent.messages[0]
    lasting = sent.shape.endswith("stream")
    seconds = STREAM_SECONDS if lasting else UNARY_SECONDS
    began = asyncio.get_running_loop().time()
    try:
        calling = method(request, timeout=seconds, metadata=tuple(sent.headers) or None)
        if lasting:
            count = 0
            async for answer in calling:
                _learn(answer, rpc, memory)
                count += 1
                if count >= 20:
                    calling.cancel()
                    return grpc.StatusCode.OK, ""
            return grpc.StatusCode.OK, ""
        _learn(await calling, rpc, memory)
    except grpc.aio.AioRpcError as err:
        if err.details() == FROM_CLIENT and asyncio.get_running_loop().time() - began >= seconds:
            return grpc.StatusCode.DEADLINE_EXCEEDED, FROM_CLIENT
        return err.code(), err.details() or ""
    return grpc.StatusCode.OK, ""


async def _each(messages: Sequence[bytes]) -> AsyncGenerator[bytes]:
    for raw in messages:
        yield raw


def _learn(answer: bytes, rpc: Rpc | None, memory: Memory | None) -> None:
    if rpc is None or memory is None:
        return
    message = rpc.answer()
    with contextlib.suppress(DecodeError):
        message.ParseFromString(answer)
        memory.learn(message)


def save(findings: Sequence[Finding], folder: Path) -> list[str]:
    """Write a file for each finding; gives lines for a person."""
    lines: list[str] = []
    for number, finding in enumerate(findings, 1):
        path = finding.save(folder, number)
        lines.append(f"BROKEN: {finding.what}\n  again: python -m tests.fuzz --replay {path}")
    return lines
