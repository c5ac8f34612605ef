"""Turn audit records into the arrows between processes. Pure: records in, steps out.

No step is guessed from timestamps. The caller is the process, or else the user, that its certificate names, not the
name that it gives itself. A request is an arrow from the client to the server. An api-server that wrote has an arrow to
etcd below it. For a process that acted because of a revision, an arrow shows the api-server's watch event with that
revision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

READS = frozenset({"get", "list", "watch"})
CRI_CHANGES = frozenset(
    {
        "RunPodSandbox",
        "StopPodSandbox",
        "RemovePodSandbox",
        "PullImage",
        "CreateContainer",
        "StartContainer",
        "StopContainer",
        "RemoveContainer",
    }
)
CONTAINER_EFFECTS = {"StartContainer": "runs", "StopContainer": "stops"}


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One arrow. ``at`` and ``took`` are milliseconds, ``at`` since the first record; ``took`` is None
    where no record has a duration. ``depth`` is 1 for what happened inside of the step above. ``claimed`` is what the
    source calls itself, where that differs."""

    at: float
    took: float | None
    source: str
    target: str
    what: str
    revision: str = ""
    cause: str = ""
    trace_id: str = ""
    code: str = "OK"
    depth: int = 0
    claimed: str = ""

    @property
    def sender(self) -> str:
        """The source, and what it calls itself beside it: of a program's ``User-Agent`` the name and version."""
        return f"{self.source} (says {self.claimed.split(' ')[0]})" if self.claimed else self.source

    def as_dict(self) -> dict[str, Any]:
        """The same for programs; empty fields are left out."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in ("", None)}


def steps_of(records: Iterable[pb.AuditRecord], *, everything: bool = False) -> list[FlowStep]:
    """Give the arrows of one object's records, oldest first. Calls that only read are left out unless asked for."""
    ordered = sorted(records, key=lambda record: record.started_unix_nano)
    shown = [record for record in ordered if everything or _changes(record)]
    if not shown:
        return []
    began = shown[0].started_unix_nano
    writers = _writers(ordered)
    reported: set[tuple[str, str]] = set()
    steps: list[FlowStep] = []
    for record in shown:
        steps += _watch_event(record, began, writers, reported)
        wrote = writers.get(record.resource_version) is record
        steps += _runtime_call(record, began) if _is_cri(record) else _request(record, began, wrote=wrote)
    return steps


def _writers(ordered: Iterable[pb.AuditRecord]) -> dict[str, pb.AuditRecord]:
    """The writer of each revision: the first record with it. An update that changes nothing has the same revision."""
    writers: dict[str, pb.AuditRecord] = {}
    for record in ordered:
        if record.resource_version and record.verb not in READS:
            writers.setdefault(record.resource_version, record)
    return writers


def _changes(record: pb.AuditRecord) -> bool:
    return record.verb in CRI_CHANGES if _is_cri(record) else record.verb not in READS


def _is_cri(record: pb.AuditRecord) -> bool:
    return record.process.startswith("kubelet@")


def _watch_event(
    record: pb.AuditRecord, began: int, writers: dict[str, pb.AuditRecord], reported: set[tuple[str, str]]
) -> Sequence[FlowStep]:
    """The watch event that made a process act, once for each process and revision."""
    caller = _caller(record)
    event = (caller, record.cause)
    if not record.cause or event in reported or record.cause not in writers:
        return ()
    reported.add(event)
    at = _milliseconds(record.started_unix_nano - began)
    return [
        FlowStep(at, None, writers[record.cause].process, caller, "watch event", record.cause, trace_id=record.trace_id)
    ]


def _request(record: pb.AuditRecord, began: int, *, wrote: bool) -> Sequence[FlowStep]:
    """A request to the api-server, and below it what it stored, or read in etcd."""
    at = _milliseconds(record.started_unix_nano - began)
    step = FlowStep(
        at,
        _milliseconds(record.duration_nano),
        _caller(record),
        record.process,
        _words(record),
        cause=record.cause,
        trace_id=record.trace_id,
        code=record.code or "OK",
        claimed=record.claimed,
    )
    if not wrote and not record.store_nano:
        return [step]
    node = record.process.partition("@")[2]
    etcd = f"etcd@{node}" if node else "etcd"
    what = "write" if wrote else "read"
    took = _milliseconds(record.store_nano) if record.store_nano else None
    return [
        step,
        FlowStep(at, took, record.process, etcd, what, record.resource_version, trace_id=record.trace_id, depth=1),
    ]


def _runtime_call(record: pb.AuditRecord, began: int) -> Sequence[FlowStep]:
    """A CRI call, and below it what became of a container."""
    at = _milliseconds(record.started_unix_nano - began)
    took = _milliseconds(record.duration_nano)
    runtime = f"runtime@{record.process.partition('@')[2]}"
    what = f"{record.verb} {record.detail}".strip()
    code = record.code or "OK"
    call = FlowStep(at, took, record.process, runtime, what, cause=record.cause, trace_id=record.trace_id, code=code)
    effect = CONTAINER_EFFECTS.get(record.verb)
    if effect is None or code != "OK":
        return [call]
    container = f"container {record.detail}".strip()
    return [call, FlowStep(at + took, None, runtime, container, effect, trace_id=record.trace_id, depth=1)]


def _words(record: pb.AuditRecord) -> str:
    name = record.name or record.resource
    if record.subresource == "binding":
        return f"bind {name} to {record.detail}"
    if record.subresource:
        return f"{record.verb} {record.subresource} of {name}" + (f" ({record.detail})" if record.detail else "")
    return f"{record.verb} {record.resource.removesuffix('s')} {name}" + (
        f" ({record.detail})" if record.detail else ""
    )


def _caller(record: pb.AuditRecord) -> str:
    return record.caller or record.user or "(unknown)"


def _milliseconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)
