"""Text in columns that end where the run of lines with that column ends: what Go's text/tabwriter does.

https://pkg.go.dev/text/tabwriter, with padding 2 and no minimum, which is how kubectl describes things.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.terminal import escaped

PADDING = 2
NONE, INVALID = "<none>", "<invalid>"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ANNOTATION = 140
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Writer:
    """Collects lines whose cells end with tabs, then aligns them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def line(self, text: str, level: int = 0) -> None:
        """Add one line, two spaces in for each level; what a terminal would act on is escaped."""
        self._lines.append("  " * level + escaped(text))

    def field(self, name: str, value: object, level: int = 0) -> None:
        """Add ``name: value``."""
        self.line(f"{name}:\t{value}", level)

    def render(self) -> str:
        """Give all lines, aligned."""
        return align("\n".join(self._lines) + "\n")

    def raw(self) -> str:
        """Give all lines with their tabs."""
        return "\n".join(self._lines) + "\n"

    def labels(self, title: str, labels: Mapping[str, str]) -> None:
        """Add ``key=value`` on a line each, by key."""
        self._several(title, [f"{key}={labels[key]}" for key in sorted(labels)])

    def several(self, title: str, values: list[str]) -> None:
        """Add values on a line each, the first beside the title."""
        self._several(title, values)

    def annotations(self, title: str, annotations: Mapping[str, str]) -> None:
        """Add ``key: value``; long values and those of several lines stand below their keys."""
        lines: list[str] = []
        for key in sorted(annotations):
            if key == LAST_APPLIED:
                continue
            value = annotations[key].removesuffix("\n")
            if len(value) + len(key) + 2 > MAX_ANNOTATION or "\n" in value:
                lines.append(f"{key}:")
                lines += [f"  {_shortened(part)}" for part in value.split("\n")]
            else:
                lines.append(f"{key}: {value}")
        self._several(title, lines)

    def _several(self, title: str, values: list[str]) -> None:
        first, *rest = values or [NONE]
        self.line(f"{title}:\t{first}")
        for value in rest:
            self.line(f"\t{value}")


def align(text: str) -> str:
    """Replace tabs by spaces. A column is as wide as its widest cell in adjacent lines that have it."""
    rows = [line.split("\t") for line in text.split("\n")]
    widths = [[0] * (len(row) - 1) for row in rows]
    for column in range(max(len(row) for row in rows) - 1):
        start = 0
        while start < len(rows):
            if len(rows[start]) - 1 <= column:
                start += 1
                continue
            end = start
            while end < len(rows) and len(rows[end]) - 1 > column:
                end += 1
            width = max(len(row[column]) for row in rows[start:end]) + PADDING
            for n in range(start, end):
                widths[n][column] = width
            start = end
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths[n], strict=True)) + row[-1]
        for n, row in enumerate(rows)
    )


def moment(time: meta_pb2.Time | meta_pb2.MicroTime) -> str:
    """``Wed, 01 May 2024 11:50:01 +0000``, in the machine's time zone; RFC 1123 as Go writes it.

    ``<invalid>`` for what is no moment of the years 1 to 9999, or becomes none in the time zone.
    """
    if not jsonmapping.is_time(time.seconds, time.nanos):
        return INVALID
    try:
        local = (_EPOCH + timedelta(seconds=time.seconds)).astimezone()
    except (OverflowError, ValueError, OSError):
        return INVALID
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day}, {local:%d} {months[local.month - 1]} {local.year:04} {local:%H:%M:%S %z}"


def created_on(seconds: float) -> str:
    """``2024-05-01 11:00:00 +0000 UTC``, in the machine's time zone, as Go prints a time; INVALID for what is none."""
    try:
        local = (_EPOCH + timedelta(seconds=seconds)).astimezone()
    except (OverflowError, ValueError, OSError):
        return INVALID
    return f"{local.year:04}-{local:%m-%d %H:%M:%S %z %Z}"


def boolean(value: bool) -> str:
    """``true`` or ``false``, as Go prints it."""
    return "true" if value else "false"


def zero_moment() -> str:
    """Return Go's text for the zero time."""
    return "Mon, 01 Jan 0001 00:00:00 +0000"


def comma_labels(labels: Mapping[str, str]) -> str:
    """``app=web,tier=front``."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE


def _shortened(text: str) -> str:
    longest = MAX_ANNOTATION - 2
    return text if len(text) <= longest else text[:longest] + "..."
