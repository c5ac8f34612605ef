"""Aligns columns as kubectl does: at least six wide, with three spaces between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kubelab.apimachinery.terminal import escaped

MIN_WIDTH = 6
PADDING = 3
_BREAK = re.compile(r"[\f\n\r]")


class Columns:
    """Aligns rows. It remembers its widths, so that the rows of a watch stand below those printed before."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def render(self, rows: Sequence[Sequence[str]]) -> str:
        """Give the rows as lines. The last cell of a row is never padded. Cells are shown escaped, to their first line
        break."""
        rows = [[_one_line(cell) for cell in row] for row in rows]
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


def _one_line(cell: str) -> str:
    if cell.isascii() and cell.isprintable():
        return cell
    end = _BREAK.search(cell)
    return escaped(cell) if end is None else escaped(cell[: end.start()]) + "..."


def render(rows: Iterable[Sequence[str]]) -> str:
    """Align rows that stand alone."""
    return Columns().render(list(rows))
