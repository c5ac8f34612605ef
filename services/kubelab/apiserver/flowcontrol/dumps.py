"""The state of the queues in text, for people
(https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#debug-endpoints): ``dump_priority_levels``,
``dump_queues`` and ``dump_requests`` below ``/debug/api_priority_and_fairness/``. Of one server process."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence

from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.flowcontrol.gate import Flow, Gate, Level

ROOT = "/debug/api_priority_and_fairness/"
_LEVELS = ("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests")
_QUEUES = ("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR")
_REQUESTS = (
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
)
_NONE = "<none>"


def dumps(gate: Gate, clock: Clock) -> dict[str, Callable[[], str]]:
    """Give what answers each path."""
    return {
        f"{ROOT}dump_priority_levels": lambda: _table(_LEVELS, map(_level, _levels(gate))),
        f"{ROOT}dump_queues": lambda: _table(_QUEUES, (row for level in _levels(gate) for row in _queues(level))),
        f"{ROOT}dump_requests": lambda: _table(
            _REQUESTS, (row for level in _levels(gate) for row in _requests(level, clock))
        ),
    }


def _levels(gate: Gate) -> list[Level]:
    return sorted(gate.levels.values(), key=lambda level: level.name)


def _level(level: Level) -> Sequence[str]:
    queues = level.queues
    if queues.share.exempt:
        return level.name, *[_NONE] * (len(_LEVELS) - 1)
    active = sum(bool(queue.waiting) for queue in queues.queues)
    idle = str(not (queues.waiting or queues.executing)).lower()
    return level.name, str(active), idle, "false", str(queues.waiting), str(queues.executing)


def _queues(level: Level) -> Iterator[Sequence[str]]:
    """A row for each queue with requests; the others have no state."""
    if level.queues.share.exempt:
        yield level.name, *[_NONE] * (len(_QUEUES) - 1)
        return
    for queue in level.queues.queues:
        taken = queue.seats - sum(ticket.seats for ticket in queue.waiting)
        numbers = (queue.index, len(queue.waiting), queue.executing, taken)
        yield level.name, *map(str, numbers), f"{queue.next_r:.8f}ss"


def _requests(level: Level, clock: Clock) -> Iterator[Sequence[str]]:
    behind = clock.time() - clock.monotonic()
    for queue in level.queues.queues:
        for place, ticket in enumerate(queue.waiting):
            flow = ticket.label
            assert isinstance(flow, Flow)
            arrived = datetime.datetime.fromtimestamp(ticket.arrived + behind, datetime.UTC)
            shown = arrived.isoformat().replace("+00:00", "Z")
            yield level.name, flow.schema, str(queue.index), str(place), flow.distinguisher, shown


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns, each with a comma behind it."""
    lines = [headers, *rows]
    widths = [max(len(line[i]) for line in lines) + 1 for i in range(len(headers))]
    cells = ([f"{cell}," for cell in line[:-1]] + [line[-1]] for line in lines)
    return (
        "\n".join(
            " ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        )
        + "\n"
    )
