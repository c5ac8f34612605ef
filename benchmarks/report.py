"""Figures beside their budgets: printed as a table, written as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

BUILD = Path(__file__).resolve().parents[1] / "build"


@dataclass(frozen=True)
class Figure:
    """One measurement. ``budget`` is a ceiling, or a floor where ``more_is_better``; None where there is no budget."""

    name: str
    figure: float
    unit: str
    budget: float | None = None
    more_is_better: bool = False

    @property
    def within(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        if self.budget is None:
            return None
        return self.figure >= self.budget if self.more_is_better else self.figure <= self.budget


def publish(figures: list[Figure], name: str = "bench.json") -> None:
    """Print the table and write ``build/<name>``: a list of {name, figure, unit, budget, within}."""
    table = Table("what", "figure", "budget", "ratio", "within")
    for f in figures:
        ratio = f"{f.figure / f.budget:.2f}" if f.budget else ""
        budget = "" if f.budget is None else f"{'≥' if f.more_is_better else '≤'} {f.budget:g} {f.unit}"
        table.add_row(
            f.name, f"{f.figure:,.3g} {f.unit}" if f.figure < 1000 else f"{f.figure:,.0f} {f.unit}", budget, ratio,
            {True: "yes", False: "[bold red]no[/]", None: ""}[f.within],
        )  # fmt: skip
    Console(width=120).print(table)
    rows: list[dict[str, object]] = []
    for f in figures:
        row: dict[str, object] = {**asdict(f), "within": f.within}
        del row["more_is_better"]
        rows.append(row)
    BUILD.mkdir(exist_ok=True)
    (BUILD / name).write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to build/{name}")


def publish_beside(columns: dict[str, list[Figure]], name: str) -> None:
    """Print the same figures of several clusters side by side; written as a list of {name, unit, COLUMN: figure}."""
    found = {column: {f.name: f for f in figures} for column, figures in columns.items()}
    names = list(dict.fromkeys(f.name for figures in columns.values() for f in figures))
    table = Table("what", *columns)
    rows: list[dict[str, object]] = []
    for what in names:
        figures = {column: found[column][what] for column in columns if what in found[column]}
        table.add_row(
            what,
            *(f"{figures[c].figure:,.3g} {figures[c].unit}" if c in figures else "-" for c in columns),
        )
        unit = next(iter(figures.values())).unit
        rows.append({"name": what, "unit": unit, **{column: f.figure for column, f in figures.items()}})
    Console(width=120).print(table)
    BUILD.mkdir(exist_ok=True)
    (BUILD / name).write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to build/{name}")
