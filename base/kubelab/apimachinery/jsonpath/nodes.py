"""The parts of a parsed template."""

from __future__ import annotations

from dataclasses import dataclass


class JSONPathError(Exception):
    """A template that cannot be parsed, or that does not fit the data. The message is kubectl's."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text outside of braces, or a quoted string, a number or a truth value within them."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    """``.name``."""

    name: str


@dataclass(frozen=True, slots=True)
class Identifier:
    """A word without a dot: ``range`` or ``end``."""

    name: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``.*``."""


@dataclass(frozen=True, slots=True)
class Recursive:
    """``..``: a value and all that is in it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """``[1]``, ``[-1]``, ``[0:2]``, ``[::2]``. A bound that was not written is None.

    ``single`` is for an index alone: the end follows from the start.
    """

    start: int | None
    end: int | None
    step: int | None
    single: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    """``[0,2]`` or ``['name','kind']``."""

    choices: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """``[?(@.name=="web")]``; without an operator the operator is ``exists``."""

    left: Action
    operator: str
    right: Action


@dataclass(frozen=True, slots=True)
class Action:
    """What stands between two braces: each part works on what the part before it gave."""

    parts: tuple[Node, ...]


Node = Literal | Field | Identifier | Wildcard | Recursive | Slice | Union | Filter | Action
