"""The recording of an experiment, as plain values for the journal. Pure, except for :class:`RecordingWriter`.

Times are seconds since the recording began, so that everything lies on one axis. A row is a list, as JSON keeps it::

    processes  [t, name, state]                 at every change, as the driver reports it
    leaders    [t, role, holder]                role: etcd, scheduler, controller-manager; "" none
    nodes      [t, name, state]                 Ready, NotReady, Unknown
    pods       [t, name, node, state]           Pending, NotReady, Ready, Terminating, Gone, …
    requests   [t, ms, answerer, error]         through the service, by when each began
    writes     [t, ms, name, error]             to the api-server
    events     [t, type, reason, object, message]
    faults     {"what", "target", "from", "to"} what the experiment did; "to" is None while it lasts
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

VERSION = 1


@dataclass(slots=True)
class Fault:
    """One thing that the experiment did. ``end`` is None while it lasts; a moment has ``end == begin``."""

    what: str
    target: str
    begin: float
    end: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "target": self.target, "from": self.begin, "to": self.end}


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One request through a service. ``ms`` is how long it took, ``error`` "" when it was answered."""

    at: float
    ms: float
    answerer: str
    error: str


@dataclass(frozen=True, slots=True)
class Write:
    """One object that was to be created. Without ``error`` the api-server has acknowledged it."""

    at: float
    ms: float
    name: str
    error: str


@dataclass(slots=True)
class Recording:
    """See the module."""

    cluster: str = ""
    namespace: str = ""
    began: float = 0.0  # seconds since the epoch
    seconds: float = 0.0  # how long it is
    processes: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    leaders: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    nodes: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    pods: list[tuple[float, str, str, str]] = field(default_factory=list[tuple[float, str, str, str]])
    requests: list[ServiceRequest] = field(default_factory=list[ServiceRequest])
    writes: list[Write] = field(default_factory=list[Write])
    events: list[tuple[float, str, str, str, str]] = field(default_factory=list[tuple[float, str, str, str, str]])
    faults: list[Fault] = field(default_factory=list[Fault])
    recovery: float | None = None  # seconds, of the last fault

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        body = {name: getattr(self, name) for name in ("cluster", "namespace", "began", "seconds", "recovery")}
        body |= {name: [list(row) for row in getattr(self, name)] for name in _TABLES}
        body["requests"] = [[r.at, r.ms, r.answerer, r.error] for r in self.requests]
        body["writes"] = [[w.at, w.ms, w.name, w.error] for w in self.writes]
        body["faults"] = [fault.as_dict() for fault in self.faults]
        return {"version": VERSION, **body}

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Recording:
        """Read what :meth:`as_dict` gave. KeyError, TypeError or ValueError for anything else."""
        if body["version"] != VERSION:
            raise ValueError(f"a recording of version {body['version']}, expected {VERSION}")
        recording = cls(**{name: body[name] for name in ("cluster", "namespace", "began", "seconds", "recovery")})
        for name in _TABLES:
            setattr(recording, name, [tuple(row) for row in body[name]])
        recording.requests = [ServiceRequest(*row) for row in body["requests"]]
        recording.writes = [Write(*row) for row in body["writes"]]
        recording.faults = [Fault(f["what"], f["target"], f["from"], f["to"]) for f in body["faults"]]
        return recording


_TABLES = ("processes", "leaders", "nodes", "pods", "events")


class RecordingWriter:
    """Takes everything in, tells the time on the recording's axis, and writes each row beside the journal at once.

    A run that is killed leaves that file: one JSON list a line, the table's name first.
    """

    def __init__(self, recording: Recording, monotonic: Callable[[], float], beside: Path | None = None) -> None:
        self.recording = recording
        self._monotonic, self._zero = monotonic, monotonic()
        self._last: dict[tuple[str, str], tuple[str, ...]] = {}
        self.pending: set[float] = set()  # when requests and writes began that have not ended yet
        self._closed = False
        self._file: TextIO | None = beside.open("w", encoding="utf-8") if beside else None

    def now(self) -> float:
        """Seconds since the recording began, to the tenth of a millisecond."""
        return round(self._monotonic() - self._zero, 4)

    def state(self, table: str, name: str, *rest: str) -> None:
        """Note the state of a process, leader, node or pod, if it is another one than before."""
        if self._last.get((table, name)) == rest or self._closed:
            return
        self._last[table, name] = rest
        self._row(table, (self.now(), name, *rest))

    def latest(self, table: str) -> dict[str, tuple[str, ...]]:
        """The latest state of everything in a table."""
        return {name: rest for (of, name), rest in self._last.items() if of == table}

    def event(self, type_: str, reason: str, about: str, message: str) -> None:
        """Note an Event of the cluster, or a remark of the experiment's own."""
        if not self._closed:
            self._row("events", (self.now(), type_, reason, about, message))

    @contextlib.contextmanager
    def under_way(self) -> Generator[float]:
        """Something that takes a while: gives when it began, for its row."""
        at = self.now()
        while at in self.pending:  # two in one tenth of a millisecond
            at = round(at + 0.0001, 4)
        self.pending.add(at)
        try:
            yield at
        finally:
            self.pending.discard(at)

    def request(self, request: ServiceRequest) -> None:
        """Note a request, answered or not."""
        if self._closed:
            return
        self.recording.requests.append(request)
        self._write("requests", list(asdict(request).values()))

    def wrote(self, write: Write) -> None:
        """Note a write, acknowledged or not."""
        if self._closed:
            return
        self.recording.writes.append(write)
        self._write("writes", list(asdict(write).values()))

    def fault(self, what: str, target: str, *, moment: bool = False) -> Fault:
        """Note that a fault begins; ``moment``: it is over at once, as a kill is."""
        at = self.now()
        fault = Fault(what, target, at, at if moment else None)
        self.recording.faults.append(fault)
        self._write("faults", fault.as_dict())
        return fault

    def fault_over(self, what: str, target: str) -> None:
        """Note the end of every such fault that lasts."""
        for fault in self.recording.faults:
            if (fault.what, fault.target, fault.end) == (what, target, None):
                fault.end = self.now()
                self._write("faults", fault.as_dict())

    def close(self) -> None:
        """End the recording; what comes later is not noted. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.recording.seconds = self.now()
        if self._file:
            self._file.close()
            self._file = None

    def _row(self, table: str, row: tuple[Any, ...]) -> None:
        getattr(self.recording, table).append(row)
        self._write(table, list(row))

    def _write(self, table: str, row: object) -> None:
        if self._file:
            print(json.dumps([table, row], ensure_ascii=False), file=self._file, flush=True)
