"""Field selectors: ``spec.nodeName=node-1,status.phase!=Running``.

The grammar and the messages are apimachinery's ``pkg/fields``
(https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

_OPERATOR = re.compile(r"!=|==|=")
# Every object has these; a resource that has no others words its refusal in another way.
_EVERYWHERE = frozenset(("metadata.name", "metadata.namespace"))


class FieldSelectorError(ValueError):
    """The text is no field selector; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Term:
    field: str
    value: str
    equal: bool

    def __str__(self) -> str:
        return f"{self.field}{'=' if self.equal else '!='}{escape(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold; a field that an object does not set reads as the empty string."""

    terms: tuple[Term, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(term.field, "") == term.value) is term.equal for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The value that the selector requires of a field, else None (upstream: RequiresExactMatch)."""
        return next((term.value for term in self.terms if term.equal and term.field == field), None)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


def parse(text: str) -> FieldSelector:
    """Read a selector as kubectl's ``--field-selector`` takes it; FieldSelectorError."""
    terms: list[Term] = []
    for part in sorted(_split(text)):
        if not part:
            continue
        match = _OPERATOR.search(part)
        if match is None:
            raise FieldSelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(Term(part[: match.start()], unescape(part[match.end() :]), match[0] != "!="))
    return FieldSelector(tuple(terms))


def unsupported(field: str, supported: Collection[str]) -> str:
    """Say that objects cannot be selected by this field. ``supported`` are those by which they can."""
    if set(supported) <= _EVERYWHERE:
        return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    return f"field label not supported: {field}"


def escape(value: str) -> str:
    """A value as it stands in a selector."""
    return re.sub(r"([\\,=])", r"\\\1", value)


def unescape(value: str) -> str:
    """A value that stands in a selector; FieldSelectorError for what should have been escaped."""
    result: list[str] = []
    signs = iter(value)
    for sign in signs:
        if sign == "\\":
            following = next(signs, "")
            if following not in ("\\", ",", "="):
                raise FieldSelectorError(f"invalid field selector: invalid escape sequence: \\{following}")
            result.append(following)
        elif sign in ",=":
            raise FieldSelectorError(f"invalid field selector: unescaped character in value: {ord(sign)}")
        else:
            result.append(sign)
    return "".join(result)


def _split(text: str) -> Iterator[str]:
    """The parts between commas that are not escaped."""
    begin, escaped = 0, False
    for at, sign in enumerate(text):
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == ",":
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]
