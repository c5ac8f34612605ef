"""Transcripts: what a person types and what is printed, as a file.

A line that begins with ``$ `` is typed, those below are what it prints, both streams; ``[3]`` alone on a line says
that it ends with this exit code. ``$ ... <<END`` is followed by standard input until ``END``.

What differs from run to run is named in angle brackets: ``<age>``, ``<hash>``, ``<ip>``, ``<time>``, ``<number>``,
``<word>``, ``<any>`` for the rest of a line, and ``<lines>`` alone on a line for any number of lines. Blanks count as
one, since columns are as wide as what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PLACES = {
    "age": r"(?:\d+[smhd])+|<invalid>|<unknown>",
    "any": r".*",
    "hash": r"[0-9a-z]+",
    "ip": r"\d+\.\d+\.\d+\.\d+|<none>",
    "number": r"\d+",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "uid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "word": r"\S+",
}
_PLACE = re.compile("<(" + "|".join(PLACES) + ")>")
_LINES = "<lines>"


@dataclass(frozen=True)
class Step:
    """A command, its standard input, what it prints and how it ends."""

    line: int
    command: str
    stdin: str
    expected: tuple[str, ...]
    code: int

    def mismatch(self, printed: str) -> str:
        """Say how the output differs, empty where it does not."""
        pattern = "".join(_pattern(line) for line in self.expected)
        squeezed = "".join(f"{_squeezed(line)}\n" for line in printed.rstrip().splitlines())
        if re.fullmatch(pattern, squeezed):
            return ""
        return (
            f"line {self.line}: $ {self.command}\n--- expected\n"
            + "\n".join(self.expected)
            + f"\n--- printed\n{printed}"
        )


def read(path: Path) -> Iterator[Step]:
    """Give the steps of a transcript; what stands before the first is a comment."""
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        began, line = at + 1, lines[at]
        at += 1
        if not line.startswith("$ "):
            continue
        command, here, end = line[2:].partition(" <<")
        stdin: list[str] = []
        if here:
            while lines[at] != end:
                stdin.append(lines[at])
                at += 1
            at += 1
        expected: list[str] = []
        while at < len(lines) and not lines[at].startswith(("$ ", "# ")):
            expected.append(lines[at])
            at += 1
        code = 0
        _strip(expected)
        if expected and (match := re.fullmatch(r"\[(\d+)\]", expected[-1])):
            code = int(match.group(1))
            expected.pop()
            _strip(expected)
        yield Step(began, command, "\n".join([*stdin, ""]) if stdin else "", tuple(expected), code)


def _strip(lines: list[str]) -> None:
    """Leave out empty lines at the end."""
    while lines and not lines[-1].strip():
        lines.pop()


def _squeezed(line: str) -> str:
    return re.sub(r"[ \t]+", " ", line).strip()


def _pattern(line: str) -> str:
    if line.strip() == _LINES:
        return r"(?:.*\n)*?"
    parts = _PLACE.split(_squeezed(line))
    return "".join(re.escape(part) if n % 2 == 0 else f"(?:{PLACES[part]})" for n, part in enumerate(parts)) + "\n"
