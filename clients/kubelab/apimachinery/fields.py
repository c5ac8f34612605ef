"""Field selectors: ``spec.nodeName=node-1,status.phase!=Running``.

https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TERM = re.compile(r"(?P<field>[^=!,\\]+)(?P<op>==|!=|=)(?P<value>(?:\\.|[^,\\])*)")


class FieldSelectorError(ValueError):
    """The text is no field selector; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Term:
    field: str
    value: str
    equal: bool

    def __str__(self) -> str:
        escaped = re.sub(r"([\\,=])", r"\\\1", self.value)
        return f"{self.field}{'=' if self.equal else '!='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold; a field that an object does not set reads as the empty string."""

    terms: tuple[Term, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(term.field, "") == term.value) is term.equal for term in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


def parse(text: str) -> FieldSelector:
    """Read a selector as kubectl's ``--field-selector`` takes it; FieldSelectorError."""
    terms: list[Term] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise FieldSelectorError(f"invalid selector: '{text}'; can't understand '{text[at:]}'")
        value = re.sub(r"\\([\\,=])", r"\1", match["value"])
        terms.append(Term(match["field"].strip(), value, match["op"] != "!="))
        at = match.end()
        if at < len(text):
            if text[at] != ",":
                raise FieldSelectorError(f"invalid selector: '{text}'; can't understand '{text[at:]}'")
            at += 1
    return FieldSelector(tuple(terms))
