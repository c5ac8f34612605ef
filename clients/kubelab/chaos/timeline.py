"""Turn a recording into bars, columns and lines of charts. Pure.

Horizontal positions are percent of the recording's length, vertical ones of a chart's height, so that the page can have
any width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kubelab.chaos import measure
from kubelab.chaos.measure import Bin
from kubelab.chaos.recording import Fault, Recording, ServiceRequest, Write

STEPS = (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
MOST_TICKS = 8
MOST_BINS = 60
MOMENT = 0.4  # percent: how wide a fault is drawn that is over at once
GONE = "Gone"
AWAY = ("Stopped", "Paused", "BackOff", "Unknown")


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of one state. ``left`` and ``width`` are percent, ``begin`` and ``end`` seconds."""

    left: float
    width: float
    begin: float
    end: float
    state: str  # how it looks
    text: str  # what it says

    @property
    def tooltip(self) -> str:
        """The text of the tooltip, which a screen reader reads."""
        return f"{self.text}, {self.begin:.1f} s to {self.end:.1f} s"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline."""

    name: str
    bars: tuple[Bar, ...]

    @property
    def eventful(self) -> bool:
        """Whether anything happened to it."""
        return len(self.bars) > 1

    @property
    def tooltip(self) -> str:
        return f"{self.name}: " + "; ".join(bar.tooltip for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Tick:
    left: float
    text: str


@dataclass(frozen=True, slots=True)
class TimelineColumn:
    """One slice of time: so many good and bad ones, as heights in percent."""

    left: float
    width: float
    good: float
    bad: float
    tooltip: str


@dataclass(frozen=True, slots=True)
class Rate:
    """A chart of columns. ``top`` is what its upper edge means, per second."""

    columns: tuple[TimelineColumn, ...]
    top: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Two lines, each a list of strokes (``x,y x,y …`` with y down, both percent). ``top`` is milliseconds."""

    p50: tuple[str, ...]
    p99: tuple[str, ...]
    top: float


@dataclass(frozen=True, slots=True)
class Dot:
    left: float
    lane: int


@dataclass(frozen=True, slots=True)
class Lanes:
    """One lane for each that answered, and a dot for each answer; failures have a lane of their own, the last."""

    names: tuple[str, ...]
    dots: tuple[Dot, ...]
    failed: tuple[float, ...] = field(default_factory=tuple[float, ...])


@dataclass(frozen=True, slots=True)
class Axis:
    """The length of the recording, in seconds."""

    seconds: float

    def position(self, at: float) -> float:
        return round(100 * min(max(at, 0.0), self.seconds) / self.seconds, 3) if self.seconds else 0.0

    def bar(self, begin: float, end: float, state: str, text: str) -> Bar:
        offset = self.position(begin)
        return Bar(offset, round(self.position(end) - offset, 3), begin, end, state, text)


def ticks(axis: Axis) -> list[Tick]:
    """Marks at round seconds, not too many."""
    step = next((s for s in STEPS if axis.seconds / s <= MOST_TICKS), STEPS[-1])
    count = int(axis.seconds / step) + 1
    return [Tick(axis.position(n * step), f"{n * step:g} s") for n in range(count)]


def faults(axis: Axis, recorded: Iterable[Fault]) -> list[Bar]:
    """The faults. A fault without duration gets a visible width."""
    bars: list[Bar] = []
    for fault in recorded:
        end = axis.seconds if fault.end is None else fault.end
        bar = axis.bar(fault.begin, end, "fault", f"{fault.what} {fault.target}")
        width = max(bar.width, MOMENT)
        bars.append(Bar(bar.left, min(width, 100 - bar.left), bar.begin, bar.end, bar.state, bar.text))
    return bars


def states(axis: Axis, rows: Iterable[tuple[float, str, str]]) -> list[Row]:
    """One row for each name, in the order of appearance: a bar for each state until the next one."""
    by_name: dict[str, list[tuple[float, str]]] = {}
    for at, name, state in rows:
        by_name.setdefault(name, []).append((at, state))
    return [Row(name, tuple(_bars(axis, changes))) for name, changes in by_name.items()]


def _bars(axis: Axis, changes: Sequence[tuple[float, str]]) -> Iterable[Bar]:
    for n, (at, state) in enumerate(changes):
        end = changes[n + 1][0] if n + 1 < len(changes) else axis.seconds
        if state != GONE:
            yield axis.bar(0.0 if n == 0 and at < 1 else at, end, state, state)


def pods(axis: Axis, recording: Recording) -> list[Row]:
    """One row for each pod, named with its node."""
    nodes = {name: node for _, name, node, _ in recording.pods if node}
    rows = states(axis, ((at, name, state) for at, name, _, state in recording.pods))
    return [Row(f"{row.name} on {nodes.get(row.name, 'no node')}", row.bars) for row in rows]


def leaders(axis: Axis, recording: Recording) -> list[Row]:
    """One row for each role: its leaders, and the times when the leader that the Lease names did not run."""
    away = _absences(axis, recording)
    out: list[Row] = []
    for row in states(axis, recording.leaders):
        bars: list[Bar] = []
        for bar in row.bars:
            bars += _cut(axis, bar, away.get(bar.text, []))
        out.append(Row(row.name, tuple(bars)))
    return out


def _absences(axis: Axis, recording: Recording) -> dict[str, list[tuple[float, float]]]:
    return {
        row.name: [(bar.begin, bar.end) for bar in row.bars if bar.state in AWAY]
        for row in states(axis, recording.processes)
    }


def _cut(axis: Axis, bar: Bar, away: Sequence[tuple[float, float]]) -> Iterable[Bar]:
    """A leader's bar, in pieces: where its process was away it still holds the office, and does nothing."""
    if not bar.text:
        yield axis.bar(bar.begin, bar.end, "leaderless", "no leader")
        return
    at = bar.begin
    for begin, end in away:
        begin, end = max(begin, at), min(end, bar.end)
        if begin >= end:
            continue
        if begin > at:
            yield axis.bar(at, begin, "leader", bar.text)
        yield axis.bar(begin, end, "absent", f"{bar.text}, away")
        at = end
    if at < bar.end:
        yield axis.bar(at, bar.end, "leader", bar.text)


def width_of_bins(seconds: float) -> float:
    """Choose the width of a slice: a round number, so that there are not too many."""
    return next((s for s in STEPS if seconds / s <= MOST_BINS), STEPS[-1])


def rate(axis: Axis, rows: Sequence[ServiceRequest] | Sequence[Write], good: str) -> Rate:
    """Requests per second in each slice; ``good`` is the word for successful ones."""
    width = width_of_bins(axis.seconds)
    cut = measure.bins(rows, axis.seconds, width)
    top = nice(max((b.good + b.bad for b in cut), default=0) / width)
    columns = [_column(axis, b, width, top, good) for b in cut if b.good or b.bad]
    return Rate(tuple(columns), top)


def _column(axis: Axis, b: Bin, width: float, top: float, good: str) -> TimelineColumn:
    offset = axis.position(b.at)
    tooltip = f"{b.at:g} s: {b.good / width:g} a second {good}, {b.bad / width:g} failed"
    return TimelineColumn(
        offset,
        round(axis.position(b.at + width) - offset, 3),
        round(100 * b.good / width / top, 2),
        round(100 * b.bad / width / top, 2),
        tooltip,
    )


def latency(axis: Axis, rows: Sequence[ServiceRequest] | Sequence[Write]) -> Latency:
    """The median and the slowest hundredth of each slice; a slice without an answer is a gap in the lines."""
    width = width_of_bins(axis.seconds)
    cut = measure.bins(rows, axis.seconds, width)
    top = nice(max((b.p99 for b in cut if b.p99 is not None), default=1.0))
    return Latency(
        tuple(_strokes(axis, [(b.at + width / 2, b.p50) for b in cut], top)),
        tuple(_strokes(axis, [(b.at + width / 2, b.p99) for b in cut], top)),
        top,
    )


def _strokes(axis: Axis, points: Iterable[tuple[float, float | None]], top: float) -> Iterable[str]:
    stroke: list[str] = []
    for at, value in points:
        if value is None:
            if stroke:
                yield " ".join(stroke)
            stroke = []
        else:
            stroke.append(f"{axis.position(at):g},{round(100 - 100 * value / top, 2):g}")
    if stroke:
        yield " ".join(stroke)


def lanes(axis: Axis, rows: Iterable[ServiceRequest]) -> Lanes:
    """The pod that answered each request, in the order of first answers."""
    order: dict[str, int] = {}
    dots: list[Dot] = []
    failed: list[float] = []
    for row in sorted(rows, key=lambda row: row.at):
        if row.error:
            failed.append(axis.position(row.at))
        else:
            dots.append(Dot(axis.position(row.at), order.setdefault(row.answerer, len(order))))
    return Lanes(tuple(order), tuple(dots), tuple(failed))


def nice(value: float) -> float:
    """The next round number that is not smaller: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(float(n * power) for n in (1, 2, 5, 10) if n * power >= value)
