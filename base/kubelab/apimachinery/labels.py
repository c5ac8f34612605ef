"""Label selectors: ``app=node,tier in (a, b),!old``.

The grammar and the messages are apimachinery's ``pkg/labels``
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubelab.apimachinery import names

_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+|$)")
_SYMBOLS = frozenset(("==", "!=", "=", "!", "(", ")", ",", "<", ">"))
_END = ""
_EXACT = ("=", "==", "!=")
_NUMERIC = {">": "greater", "<": "less"}
_SETS = ("in", "notin")
_BINARY = "in, notin, =, ==, !=, gt, lt"


class SelectorError(ValueError):
    """The text is no selector; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition. ``operator`` is ``in``, ``notin``, ``=``, ``==``, ``!=``, ``>``, ``<``, ``exists`` or ``!``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """``!=`` and ``notin`` hold where the key is missing, as upstream."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                number, limit = _integer(value), _integer(self.values[0])
                if number is None or limit is None:
                    return False
                return number > limit if self.operator == ">" else number < limit

    def __str__(self) -> str:
        match self.operator:
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


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


def contain(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Say whether labels carry everything that is wanted; nothing wanted is always carried."""
    return all(labels.get(key) == value for key, value in selector.items())


def select(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether the ``selector`` of a service or controller takes these labels; an empty one takes nothing."""
    return bool(selector) and contain(labels, selector)


def parse(text: str) -> Selector:
    """Read a selector as kubectl's ``-l`` takes it; SelectorError with upstream's words."""
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    while (token := tokens.peek()) != _END:
        if token in _SYMBOLS and token != "!":
            raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
        try:
            requirements.append(_requirement(tokens))
        except SelectorError as err:
            raise SelectorError(f"unable to parse requirement: {err}") from err
        token = tokens.take()
        if token == _END:
            break
        if token != ",":
            raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
        following = tokens.peek()
        if following == _END or (following in _SYMBOLS and following != "!"):
            raise SelectorError(f"found '{following}', expected: identifier after ','")
    return Selector(tuple(sorted(requirements, key=_by_key)))


class _Tokens:
    """The words and symbols of a text; after the last one comes the empty string, for ever."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        self._at = at = 0
        while at <= len(text):
            match = _TOKEN.match(text, at)
            if match is None or match[1] == _END:
                break
            self._tokens.append(match[1])
            at = match.end()

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token


def _by_key(requirement: Requirement) -> str:
    return requirement.key


def _is_word(token: str) -> bool:
    return token != _END and token not in _SYMBOLS


def _requirement(tokens: _Tokens) -> Requirement:
    key = tokens.take()
    absent = key == "!"
    if absent:
        key = tokens.take()
    if not _is_word(key):
        raise SelectorError(f"found '{key}', expected: identifier")
    if problems := names.qualified_name(key):
        raise SelectorError(f'<nil>: Invalid value: "{key}": {"; ".join(problems)}')
    if absent:
        return Requirement(key, "!")
    if tokens.peek() in (_END, ","):
        return Requirement(key, "exists")
    operator = tokens.take()
    if operator in _SETS:
        values = _values(tokens)
    elif operator in _EXACT or operator in _NUMERIC:
        values = (_exact_value(tokens),)
    else:
        raise SelectorError(f"found '{operator}', expected: {_BINARY}")
    _check(key, operator, values)
    return Requirement(key, operator, values)


def _check(key: str, operator: str, values: tuple[str, ...]) -> None:
    messages: list[str] = []
    if operator in _NUMERIC and _integer(values[0]) is None:
        messages.append(
            f"values[0]: Invalid value: \"{values[0]}\": for 'Gt', 'Lt' operators, the value must be an integer"
        )
    for i, value in enumerate(values):
        if problems := names.label_value(value):
            messages.append(f'values[{i}][{key}]: Invalid value: "{value}": {"; ".join(problems)}')
    if messages:
        raise SelectorError(messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]")


def _exact_value(tokens: _Tokens) -> str:
    if tokens.peek() in (_END, ","):
        return ""
    value = tokens.take()
    if not _is_word(value):
        raise SelectorError(f"found '{value}', expected: identifier")
    return value


def _values(tokens: _Tokens) -> tuple[str, ...]:
    """``(a, b)``, sorted. A place with nothing in it, such as between two commas, is the empty string."""
    if (token := tokens.take()) != "(":
        raise SelectorError(f"found '{token}' expected: '('")
    if tokens.peek() == ")":
        tokens.take()
        return ("",)
    if not _is_word(tokens.peek()) and tokens.peek() != ",":
        raise SelectorError(f"found '{tokens.peek()}', expected: ',', ')' or identifier")
    values: set[str] = set()
    while True:
        token = tokens.take()
        if _is_word(token):
            values.add(token)
            if tokens.peek() not in (",", ")"):
                raise SelectorError(f"found '{tokens.peek()}', expected: ',' or ')'")
        elif token == ",":
            if not values or tokens.peek() in (",", ")"):
                values.add("")
        else:
            raise SelectorError(f"found '{token}', expected: ',', or identifier")
        if tokens.peek() == ")":
            tokens.take()
            return tuple(sorted(values))


def _integer(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return None
    return int(text)
