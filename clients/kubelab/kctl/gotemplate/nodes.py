"""The parts of a parsed template."""

from __future__ import annotations

from dataclasses import dataclass, field


class TemplateError(Exception):
    """A template that cannot be parsed, or that does not fit the data. The message is Go's."""


class Int(int):
    """A number that the template itself has, Go's ``int``; those of documents are ``int64``."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, truth value or ``nil``."""

    value: str | int | float | bool | None
    place: int
    source: str


@dataclass(frozen=True, slots=True)
class Dot:
    place: int
    source: str = "."


@dataclass(frozen=True, slots=True)
class Fields:
    """``.a.b`` of the dot, ``$x.a.b`` of a variable, ``(…).a.b`` of a pipeline."""

    of: Dot | Variable | Pipeline
    names: tuple[str, ...]
    place: int
    source: str


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    place: int
    source: str


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    place: int
    source: str


@dataclass(frozen=True, slots=True)
class Command:
    """A function or a value, and its arguments."""

    operands: tuple[Literal | Dot | Fields | Variable | Function | Pipeline, ...]
    place: int
    source: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands with ``|`` between them; each gets the result of the one before as its last argument."""

    commands: tuple[Command, ...]
    place: int
    source: str
    variables: tuple[str, ...] = ()
    assigns: bool = False  # with "=", to variables that there are


@dataclass(frozen=True, slots=True)
class Action:
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``with`` or ``range``."""

    kind: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """``break`` or ``continue``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Call:
    """``template "name" pipeline``, and a ``block``."""

    name: str
    pipeline: Pipeline | None
    place: int
    source: str


@dataclass(slots=True)
class Template:
    """The nodes of a text and of the templates that it defines."""

    nodes: tuple[Node, ...] = ()
    defined: dict[str, tuple[Node, ...]] = field(default_factory=dict[str, "tuple[Node, ...]"])


Node = Text | Action | Branch | Jump | Call
