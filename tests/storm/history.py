"""Counters that several writers raise by compare-and-swap, and what may be true of them afterwards. Pure.

Every writer reads a counter's value and resourceVersion and writes the value plus one. All writers write the same bytes
on purpose: an outcome that was guessed from the stored value would be wrong.
"""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


class Outcome(enum.Enum):
    WRITTEN = "written"
    REFUSED = "refused"  # a Conflict: another one was first
    UNKNOWN = "unknown"  # no answer, or one that says so


@dataclass(frozen=True, slots=True)
class Attempt:
    """A writer's try to raise a counter to ``value``, from what it read at ``base``. ``revision`` is the answer's."""

    writer: str
    counter: str
    base: str
    value: int
    outcome: Outcome
    revision: int = 0


def problems(attempts: Iterable[Attempt], final: Mapping[str, int]) -> list[str]:
    """Say everything that cannot be; ``final`` is the counters' values when all writers have ended."""
    by_counter: dict[str, list[Attempt]] = {name: [] for name in final}
    for attempt in attempts:
        by_counter.setdefault(attempt.counter, []).append(attempt)
    return [told for name, tried in sorted(by_counter.items()) for told in _of_counter(name, tried, final.get(name, 0))]


def _of_counter(name: str, tried: list[Attempt], final: int) -> Iterator[str]:
    written = [a for a in tried if a.outcome is Outcome.WRITTEN]
    for what, counts in (
        ("base {}", Counter(a.base for a in written)),
        ("value {}", Counter(a.value for a in written)),
    ):
        for key, count in counts.items():
            if count > 1:
                yield f"{name}: {count} writers were told that they had written from {what.format(key)}"
    for attempt in written:
        if attempt.value > final:
            yield f"{name}: {attempt.writer} wrote {attempt.value}, and the value is {final}"
    possible = {a.value for a in tried if a.outcome is not Outcome.REFUSED}
    for value in range(1, final + 1):
        if value not in possible:
            yield f"{name}: {value} was stored, and every writer of it was refused"
    inorder = sorted(written, key=lambda a: a.value)
    for before, after in itertools.pairwise(inorder):
        if before.value < after.value and before.revision >= after.revision:
            yield f"{name}: {after.value} has revision {after.revision}, and {before.value} has {before.revision}"
