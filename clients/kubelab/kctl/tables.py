"""Columns as kubectl's: at least six wide, three spaces between, and as wide again for what is printed later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MIN_WIDTH = 6
PADDING = 3


class Columns:
    """Aligns rows. It remembers its widths, so that the rows of a watch stand below those printed before."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def render(self, rows: Sequence[Sequence[str]]) -> str:
        """Give the rows as lines. The last cell of a row is never padded."""
        for row in rows:
            for n, cell in enumerate(row[:-1]):
                width = max(len(cell) + PADDING, MIN_WIDTH)
                if n == len(self._widths):
                    self._widths.append(width)
                self._widths[n] = max(self._widths[n], width)
        return "".join(
            "".join([*(cell.ljust(self._widths[n]) for n, cell in enumerate(row[:-1])), row[-1]]) + "\n"
            for row in rows
            if row
        )


def render(rows: Iterable[Sequence[str]]) -> str:
    """Align rows that stand alone."""
    return Columns().render(list(rows))
