"""Compute figures from a recording: share of answers, latency, round robin, longest failure. Pure.

A window is a pair of seconds on the recording's axis; requests that began in it count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from kubelab.chaos.recording import Fault, Recording, ServiceRequest, Write

Window = tuple[float, float]
R = TypeVar("R", ServiceRequest, Write)
ORDER_SECONDS = 15.0
WINDOWS = ("run", "before", "fault", "after")


class NothingMeasured(Exception):
    """There is nothing to take a figure from; the message says where it was looked for."""


def window(recording: Recording, name: str, now: float) -> Window:
    """Give a window by its name.

    ``run`` is everything, ``before`` ends with the first fault, ``fault`` lasts from the first fault's beginning to
    the last one's end (to ``now`` while one lasts), ``after`` begins with that end. Without a fault, ``before`` and
    ``fault`` are everything and ``after`` is empty. A number of seconds, such as ``"3"``, are the last ones.
    """
    faults = recording.faults
    begin = min((fault.begin for fault in faults), default=0.0)
    if name == "run":
        return 0.0, now
    if name == "before":
        return 0.0, begin if faults else now
    if name == "fault":
        return begin, end_of(faults, now) if faults else now
    if name == "after":
        return (end_of(faults, now), now) if faults else (now, now)
    try:
        return max(0.0, now - float(name)), now
    except ValueError:
        raise ValueError(f'unknown window "{name}"; there are: {", ".join(WINDOWS)}, or a number of seconds') from None


def end_of(faults: Sequence[Fault], now: float) -> float:
    """When the last fault was over, or ``now`` while one lasts."""
    return max(now if fault.end is None else fault.end for fault in faults)


def during_faults(recording: Recording, rows: Iterable[R]) -> list[R]:
    """Return the rows that began during a lasting fault. A kill is a moment: the time after it is recovery."""
    ends = [(fault.begin, math.inf if fault.end is None else fault.end) for fault in recording.faults]
    lasting = [(begin, end) for begin, end in ends if end > begin]
    return [row for row in rows if any(begin <= row.at <= end for begin, end in lasting)]


def within(rows: Iterable[ServiceRequest], window: Window) -> list[ServiceRequest]:
    """The requests that began in a window, in the order of their beginning."""
    begin, end = window
    return sorted((row for row in rows if begin <= row.at <= end), key=lambda row: row.at)


def success_share(rows: Sequence[ServiceRequest] | Sequence[Write]) -> float:
    """The share of what was answered, 0 to 1. Raises NothingMeasured."""
    if not rows:
        raise NothingMeasured("no request began in this window")
    return round(sum(not row.error for row in rows) / len(rows), 4)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not less than ``share`` of all (nearest rank). Raises NothingMeasured."""
    if not values:
        raise NothingMeasured("nothing was answered in this window")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """How requests were spread over N pods. ``in_turn`` is the share of answers that came from the pod that had
    answered N requests before, with every other pod once in between: 1 for a perfect round robin, about ``N**-N`` for
    random."""

    in_turn: float
    answers: dict[str, int]


def round_robin(rows: Sequence[ServiceRequest]) -> RoundRobin:
    """Look at the answers in their order; requests without an answer are skipped. Raises NothingMeasured.

    Requests that overlap in time do not count: the recording does not show whose connection came first.
    """
    answered = [row for row in rows if not row.error]
    names = [row.answerer for row in answered]
    n = len(set(names))
    apart = [True, *(a.at + a.ms / 1000 <= b.at for a, b in pairwise(answered)), True]  # apart[i]: i-1 and i
    in_turn = [
        names[i] == names[i - n] and len(set(names[i - n : i])) == n
        for i in range(n, len(names))
        if all(apart[i - n : i + 2])
    ]
    if not in_turn:
        raise NothingMeasured("too few answers, one after the other, in this window to see an order")
    return RoundRobin(round(sum(in_turn) / len(in_turn), 4), dict(sorted(Counter(names).items())))


def turns(during: str, requests: Callable[[str], Sequence[ServiceRequest]]) -> RoundRobin:
    """Look at the answers of a window, which ``requests`` gives. On a busy machine they overlap: a window of the last
    seconds grows, up to ``ORDER_SECONDS``, until it shows an order. Raises NothingMeasured."""
    while True:
        try:
            return round_robin(requests(during))
        except NothingMeasured:
            if during in WINDOWS or float(during) >= ORDER_SECONDS:
                raise
            during = str(float(during) + 1)


def outage(rows: Sequence[ServiceRequest] | Sequence[Write]) -> float:
    """For how many seconds it failed at most: from a first failure to the next success, or to the last row."""
    worst, since = 0.0, None
    for row in rows:
        if row.error:
            since = row.at if since is None else since
            worst = max(worst, row.at - since)
        elif since is not None:
            worst, since = max(worst, row.at - since), None
    return round(worst, 3)


@dataclass(frozen=True, slots=True)
class Bin:
    """The requests that began in one slice of time. ``p50`` and ``p99`` are milliseconds, None without an answer."""

    at: float
    good: int
    bad: int
    p50: float | None
    p99: float | None


def bins(rows: Sequence[ServiceRequest] | Sequence[Write], seconds: float, width: float) -> list[Bin]:
    """Cut a recording of so many seconds into slices of ``width``."""
    count = max(1, math.ceil(seconds / width))
    taken: list[list[float]] = [[] for _ in range(count)]
    failed = [0] * count
    for row in rows:
        n = min(count - 1, max(0, int(row.at / width + 1e-9)))
        if row.error:
            failed[n] += 1
        else:
            taken[n].append(row.ms)
    return [
        Bin(
            at=round(n * width, 4),
            good=len(taken[n]),
            bad=failed[n],
            p50=percentile(taken[n], 0.5) if taken[n] else None,
            p99=percentile(taken[n], 0.99) if taken[n] else None,
        )
        for n in range(count)
    ]


def worst_errors(rows: Iterable[ServiceRequest] | Iterable[Write]) -> list[tuple[str, int]]:
    """Return each error with its count, the most frequent first."""
    return Counter(row.error for row in rows if row.error).most_common()
