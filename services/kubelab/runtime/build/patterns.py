"""Patterns with ``*`` and ``?``: those of ``${name#pattern}``, and those of file names in COPY.

Matched without backtracking: what a hostile Dockerfile may cost is length of pattern times length of value.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.runtime.build.errors import SyntaxFault

MAX_REPLACED = 4096  # characters of a value in which a pattern with * or ? is searched
MAX_RESULT = 1 << 24


@dataclass(frozen=True, slots=True)
class _Any:
    """``*`` (``many``) or ``?``."""

    many: bool


@dataclass(frozen=True, slots=True)
class _Class:
    """``[a-z0]``, ``[^a-z]``."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def has(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


_Token = str | _Any | _Class


class Pattern:
    """One pattern of a variable's substitution; SyntaxFault for an escape that is none."""

    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        at = 0
        while at < len(text):
            char = text[at]
            at += 1
            if char in ("*", "?"):
                self._tokens.append(_Any(char == "*"))
                continue
            if char == "\\":
                char = text[at : at + 1]
                at += 1
                if not char or char not in "*?\\/}":
                    raise SyntaxFault(f"invalid pattern ({text}) in substitution: invalid escape '\\{char}'")
            self._tokens.append(char)

    def without_prefix(self, value: str, *, longest: bool) -> str:
        """The value without the shortest or longest beginning that matches."""
        end = _end(self._tokens, value, 0, longest=longest)
        return value if end is None else value[end:]

    def without_suffix(self, value: str, *, longest: bool) -> str:
        """The value without the shortest or longest end that matches."""
        end = _end(self._tokens[::-1], value[::-1], 0, longest=longest)
        return value if end is None else value[: len(value) - end]

    def replaced(self, value: str, by: str, *, every: bool) -> str:
        """The value with the first, or every, longest text that matches replaced; SyntaxFault for a giant one."""
        literal = "".join(token for token in self._tokens if isinstance(token, str))
        is_literal = len(literal) == len(self._tokens)
        if (not is_literal and len(value) > MAX_REPLACED) or len(value) * len(by) > MAX_RESULT:
            raise SyntaxFault("too long a value for a substitution: ${name/pattern/replacement}")
        if is_literal:
            return value.replace(literal, by, -1 if every else 1)
        out, at = "", 0
        while at < len(value):
            end = _end(self._tokens, value, at, longest=True)
            if end is None or end == at:
                out += value[at]
                at += 1
                continue
            out += by
            at = end
            if not every:
                break
        return out + value[at:]


class Glob:
    """A pattern for one name, as Go's path.Match reads it: ``*``, ``?``, ``[a-z]``, ``[^a-z]``, ``\\``; SyntaxFault."""

    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        at = 0
        while at < len(text):
            char = text[at]
            at += 1
            if char in ("*", "?"):
                self._tokens.append(_Any(char == "*"))
            elif char == "[":
                characters, at = _read_class(text, at)
                self._tokens.append(characters)
            else:
                if char == "\\":
                    char, at = _escaped(text, at - 1)
                self._tokens.append(char)

    def matches(self, name: str) -> bool:
        return _end(self._tokens, name, 0, longest=True) == len(name)


def has_wildcards(text: str) -> bool:
    """Whether it is a pattern at all."""
    at = 0
    while at < len(text):
        if text[at] in "*?[":
            return True
        at += 2 if text[at] == "\\" else 1
    return False


def _escaped(text: str, at: int) -> tuple[str, int]:
    """A character that may have a ``\\`` before it, and where it ends."""
    if text[at : at + 1] == "\\":
        at += 1
    if at >= len(text):
        raise SyntaxFault(f"{text[:200]}: syntax error in pattern")
    return text[at], at + 1


def _read_class(text: str, at: int) -> tuple[_Class, int]:
    negated = text[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while not ranges or text[at : at + 1] != "]":
        if text[at : at + 1] in ("-", "]", ""):
            raise SyntaxFault(f"{text[:200]}: syntax error in pattern")
        low, at = _escaped(text, at)
        high = low
        if text[at : at + 1] == "-":
            if text[at + 1 : at + 2] in ("-", "]"):
                raise SyntaxFault(f"{text[:200]}: syntax error in pattern")
            high, at = _escaped(text, at + 1)
        ranges.append((low, high))
    return _Class(tuple(ranges), negated), at + 1


def _end(tokens: list[_Token], value: str, start: int, *, longest: bool) -> int | None:
    """Where a match that begins at ``start`` ends; None without one. Bit n of ``ends``: one may end before n."""
    everywhere = (1 << (len(value) + 1)) - 1
    places: dict[str, int] = {}
    for at, char in enumerate(value[start:], start):
        places[char] = places.get(char, 0) | 1 << at
    ends = 1 << start
    for token in tokens:
        if isinstance(token, str):
            ends = (ends & places.get(token, 0)) << 1
        elif isinstance(token, _Class):
            ends = (ends & sum(place for char, place in places.items() if token.has(char))) << 1
        elif token.many:
            ends = everywhere & ~((ends & -ends) - 1)
        else:
            ends = ends << 1 & everywhere
        if not ends:
            return None
    return ends.bit_length() - 1 if longest else (ends & -ends).bit_length() - 1
