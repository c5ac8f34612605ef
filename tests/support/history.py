"""Check the answers of clients: does a history of writes and reads fit one register for each key?

etcd's revisions order all writes, so no search is needed (as a checker of linearizability does in general,
http://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/paper.pdf): each write names the revision that it
replaced, each read the one that it saw. A write without an answer may or may not have happened, at any time after it
began. Pure: it checks the history of a storm or of a test.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


class Kind(enum.Enum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    READ = "read"


class OpOutcome(enum.Enum):
    """The outcome of a request, as its answer shows it."""

    DONE = "done"
    REFUSED = "refused"  # Conflict, AlreadyExists, NotFound: surely not done
    UNKNOWN = "unknown"  # no answer, or an error without a known outcome


@dataclass(frozen=True, slots=True)
class Op:
    """One request. ``base`` is the revision that a write replaces, 0 for a creation and for an unconditional
    write. ``revision`` is the one that the answer shows: of the write, or of what a read found (0: not
    there). ``began`` and ``ended`` are seconds of one monotonic clock for all clients."""

    client: str
    kind: Kind
    key: str
    outcome: OpOutcome
    base: int = 0
    revision: int = 0
    began: float = 0.0
    ended: float = 0.0

    def __str__(self) -> str:
        replaced = f" over {self.base}" if self.base else ""
        shown = f" at {self.revision}" if self.revision else ""
        return f"{self.client}'s {self.kind.value} of {self.key}{replaced}, {self.outcome.value}{shown}"


def violations(ops: Iterable[Op], final: Mapping[str, int] | None = None) -> list[str]:
    """Describe each contradiction, in words; empty when there is none.

    ``final`` holds the revision of every key that is there when all is over; None skips that comparison.
    """
    by_key: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        by_key[op.key].append(op)
    texts: list[str] = []
    for key, here in sorted(by_key.items()):
        texts.extend(_of_key(here))
        if final is not None:
            texts.extend(_ending(key, here, final.get(key, 0)))
    return texts


def _of_key(ops: Sequence[Op]) -> Iterator[str]:
    done = sorted(
        (op for op in ops if op.kind is not Kind.READ and op.outcome is OpOutcome.DONE), key=lambda op: op.revision
    )
    unknown = [op for op in ops if op.kind is not Kind.READ and op.outcome is OpOutcome.UNKNOWN]
    yield from _twice(done)
    yield from _chain(done, unknown)
    deleted = any(op.kind is Kind.DELETE for op in (*done, *unknown))
    yield from _order(done, [op for op in ops if op.kind is Kind.READ and op.outcome is OpOutcome.DONE], deleted)
    for op in ops:
        if op.outcome is OpOutcome.REFUSED and not _excused(op, done, unknown):
            yield f"{op}, but no other client had written"


def _twice(done: Sequence[Op]) -> Iterator[str]:
    """No write replaces a revision that another one has replaced already."""
    by_base: dict[int, list[Op]] = defaultdict(list)
    for op in done:
        if op.base:
            by_base[op.base].append(op)
    for same in by_base.values():
        if len(same) > 1:
            yield f"the same revision was replaced twice: {'; '.join(map(str, same))}"
    by_revision: dict[int, list[Op]] = defaultdict(list)
    for op in done:
        by_revision[op.revision].append(op)
    for same in by_revision.values():
        if len(same) > 1:
            yield f"one write was acknowledged to two: {'; '.join(map(str, same))}"


def _chain(done: Sequence[Op], unknown: Sequence[Op]) -> Iterator[str]:
    """Each write replaces the one before it, or one of unknown outcome."""
    for before, after in pairwise(done):
        between = [op for op in unknown if op.began <= after.ended and (op.base >= before.revision or not op.base)]
        if after.kind is Kind.CREATE:
            if before.kind is not Kind.DELETE and not between:
                yield f"{after}, but it was there: {before}"
        elif not after.base:
            continue
        elif after.base < before.revision:
            yield f"{before} was overwritten unseen: {after}"
        elif after.base > before.revision and not between:
            yield f"{after}, but no write made what it replaced after: {before}"
        elif after.base == before.revision and before.kind is Kind.DELETE:
            yield f"{after}, but it was gone: {before}"


def _order(done: Sequence[Op], reads: Sequence[Op], deleted: bool) -> Iterator[str]:
    """A request that ended before another began comes before it."""
    latest: Op | None = None
    ends = sorted([*done, *(op for op in reads if op.revision)], key=lambda op: op.ended)
    begins = sorted([*done, *reads], key=lambda op: op.began)
    at = 0
    for op in begins:
        while at < len(ends) and ends[at].ended < op.began:
            if latest is None or ends[at].revision > latest.revision:
                latest = ends[at]
            at += 1
        if latest is None:
            continue
        if op.revision and op.revision < latest.revision:
            yield f"{op}, but before it began: {latest}"
        elif not op.revision and op.kind is Kind.READ and not deleted:
            yield f"{op}, but no client deleted it, and before it began: {latest}"


def _excused(op: Op, done: Sequence[Op], unknown: Sequence[Op]) -> bool:
    """Say whether another client may have written, before the refusal, what the refused request did not expect."""
    others = [other for other in (*done, *unknown) if other is not op and other.began <= op.ended]
    if op.kind is Kind.CREATE:
        return any(other.kind is not Kind.DELETE for other in others)
    return not op.base or any(
        other.base >= op.base or other.kind is Kind.DELETE or (other.kind is Kind.UPDATE and not other.base)
        for other in others
    )


def _ending(key: str, ops: Sequence[Op], revision: int) -> Iterator[str]:
    """The last acknowledged write is there at the end, unless one of unknown outcome came after it."""
    done = [op for op in ops if op.kind is not Kind.READ and op.outcome is OpOutcome.DONE]
    unknown = [op for op in ops if op.kind is not Kind.READ and op.outcome is OpOutcome.UNKNOWN]
    last = max(done, key=lambda op: op.revision, default=None)
    if last is None:
        if revision and not unknown:
            yield f"{key} is there at {revision}, but no client has written it"
        return
    if last.kind is Kind.DELETE:
        if revision and not unknown:
            yield f"{key} is there at {revision}, but: {last}"
        return
    later = [op for op in unknown if op.kind is not Kind.CREATE and (op.base >= last.revision or not op.base)]
    gone = [op for op in later if op.kind is Kind.DELETE]
    if revision != last.revision and not (gone if not revision else later and revision > last.revision):
        state = f"is there at {revision}" if revision else "is not there"
        yield f"{key} {state} at the end, but: {last}"
