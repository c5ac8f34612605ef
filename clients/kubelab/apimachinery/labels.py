"""Label selectors: ``app=node,tier in (a, b),!old``.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubelab.api.meta.v1 import meta_pb2

_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|[^\s=!(),]+)\s*")


class SelectorError(ValueError):
    """The text is no selector; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition. ``operator`` is ``in``, ``notin``, ``=``, ``!=``, ``exists`` or ``!``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """``!=`` and ``notin`` hold where the key is missing, as upstream."""
        found = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return found is not None and found in self.values
            case "!=" | "notin":
                return found is None or found not in self.values
            case "exists":
                return found is not None
            case _:
                return found is None

    def __str__(self) -> str:
        match self.operator:
            case "=" | "!=":
                return f"{self.key}{self.operator}{self.values[0]}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "exists":
                return self.key
            case _:
                return f"!{self.key}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


def from_mapping(labels: Mapping[str, str]) -> Selector:
    """Select what carries all of these labels."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


def from_label_selector(selector: meta_pb2.LabelSelector) -> Selector:
    """Select by matchLabels and matchExpressions; SelectorError for an unknown operator."""
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    found = list(from_mapping(selector.matchLabels).requirements)
    for expression in selector.matchExpressions:
        if expression.operator not in operators:
            raise SelectorError(f'"{expression.operator}" is not a valid label selector operator')
        found.append(Requirement(expression.key, operators[expression.operator], tuple(sorted(expression.values))))
    return Selector(tuple(found))


def parse(text: str) -> Selector:
    """Read a selector as kubectl's ``-l`` takes it; SelectorError with upstream's words."""
    tokens = _tokens(text)
    found: list[Requirement] = []
    while tokens:
        found.append(_requirement(tokens))
        if not tokens:
            break
        if tokens[0] != ",":
            raise _unable(f"found '{tokens[0]}', expected: ',' or 'end of string'")
        tokens.pop(0)
        if not tokens:
            raise _unable("found '', expected: identifier after ','")
    return Selector(tuple(found))


def _unable(why: str) -> SelectorError:
    return SelectorError(f"unable to parse requirement: {why}")


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unable(f"found '{text[at]}', expected: identifier")
        tokens.append(match[1])
        at = match.end()
    return tokens


def _requirement(tokens: list[str]) -> Requirement:
    if tokens[0] == "!":
        tokens.pop(0)
        return Requirement(_key(tokens), "!")
    key = _key(tokens)
    if not tokens or tokens[0] == ",":
        return Requirement(key, "exists")
    operator = tokens.pop(0)
    if operator in ("=", "==", "!="):
        value = tokens.pop(0) if tokens and tokens[0] != "," else ""
        _check_value(key, value)
        return Requirement(key, "!=" if operator == "!=" else "=", (value,))
    if operator in ("in", "notin"):
        return Requirement(key, operator, _values(key, tokens))
    raise _unable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _key(tokens: list[str]) -> str:
    from kubelab.apimachinery import names

    key = tokens.pop(0) if tokens else ""
    if not key or key in ("=", "==", "!=", "!", "(", ")", ","):
        raise _unable(f"found '{key}', expected: !, identifier, or 'end of string'")
    if problems := names.qualified_name(key):
        raise _unable(f'<nil>: Invalid value: "{key}": {"; ".join(problems)}')
    return key


def _check_value(key: str, value: str) -> None:
    from kubelab.apimachinery import names

    if problems := names.label_value(value):
        raise _unable(f'values[0][{key}]: Invalid value: "{value}": {"; ".join(problems)}')


def _values(key: str, tokens: list[str]) -> tuple[str, ...]:
    if not tokens or tokens.pop(0) != "(":
        raise _unable("found '', expected: '('")
    values: list[str] = []
    while tokens and tokens[0] != ")":
        if tokens[0] == ",":
            values.append("")
        else:
            values.append(tokens.pop(0))
            _check_value(key, values[-1])
        if tokens and tokens[0] == ",":
            tokens.pop(0)
        elif tokens and tokens[0] != ")":
            raise _unable(f"found '{tokens[0]}', expected: ',' or ')'")
    if not tokens:
        raise _unable("found '', expected: ',' or ')'")
    tokens.pop(0)
    return tuple(sorted(set(values)))
