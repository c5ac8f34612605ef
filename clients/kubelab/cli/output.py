"""Print the output of ``kubelab``: a line for each step, with an emoji where the terminal can show it, and tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from kubelab.apimachinery.terminal import escaped


def picture(emoji: str, stream: TextIO | None = None) -> str:
    """Give the emoji where ``stream``, by default the standard output, is a terminal in UTF-8, else ``*``."""
    to = stream or sys.stdout
    unicode = (to.encoding or "").lower().replace("-", "") == "utf8"
    return emoji if unicode and to.isatty() else "*"


def step(emoji: str, text: str) -> None:
    """Print a step of a longer operation."""
    print(f"{picture(emoji)}  {escaped(text)}", flush=True)


def problem(text: str) -> None:
    """Print an error on stderr."""
    print(f"{picture('❌', sys.stderr)}  {escaped(text)}", file=sys.stderr, flush=True)


def warning(text: str) -> None:
    """Print a warning on stderr."""
    print(f"{picture('❗', sys.stderr)}  {escaped(text)}", file=sys.stderr, flush=True)


def context_moved(before: str, now: str) -> None:
    """Say that the kubeconfig's current context has changed, and how to get the old one back."""
    if before and before != now:
        step("↪️ ", f'The current context was "{before}"; to go back: kctl config use-context {before}')


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out columns as kubectl does: three blanks between them, none at the end of a line; cells are escaped."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows))
    return "\n".join(line.rstrip() for line in lines)


def mebibytes(size: int) -> str:
    """``42Mi``; ``-`` for nothing."""
    return f"{size / 1024**2:.0f}Mi" if size else "-"
