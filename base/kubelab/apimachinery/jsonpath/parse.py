"""Parses templates. The grammar, with its oddities, and the messages are client-go's."""

from __future__ import annotations

import re
from collections.abc import Callable

from kubelab.apimachinery.jsonpath.nodes import (
    Action,
    Field,
    Filter,
    Identifier,
    JSONPathError,
    Literal,
    Node,
    Recursive,
    Slice,
    Union,
    Wildcard,
)

_KEY = re.compile(r"'([^']*)'")
_SLICE = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?")
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+?)", re.DOTALL)
_ENDS_WORD = frozenset(" \t\r\n.,[]$@{}")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)


def parse(text: str) -> tuple[Node, ...]:
    """Read a template. Raises JSONPathError."""
    nodes: list[Node] = []
    place = 0
    while place < len(text):
        brace = text.find("{", place)
        if brace != place:
            nodes.append(Literal(text[place:] if brace < 0 else text[place:brace]))
        if brace < 0:
            break
        parser = _ActionParser(text, brace + 1)
        nodes.append(parser.parse())
        place = parser.place
    return tuple(nodes)


class _ActionParser:
    """Reads from behind an opening brace to its closing one; ``place`` is behind that then."""

    def __init__(self, text: str, place: int) -> None:
        self._text, self.place = text, place
        self._parts: list[Node] = []

    def parse(self) -> Action:
        while not self._text.startswith("}", self.place):
            self._one()
        self.place += 1
        return Action(tuple(self._parts))

    def _one(self) -> None:
        text, character = self._text, self._peek()
        if text.startswith("[?(", self.place):
            self._filter()
        elif text.startswith("..", self.place):
            self._recursive()
        elif character in ("", "\r", "\n"):
            raise JSONPathError("unclosed action")
        elif character in " @$":
            self.place += 1
        elif character in _STARTS:
            _STARTS[character](self)
        elif character in "+-" or character.isdecimal():
            self._number()
        elif character == "_" or character.isalpha():
            self._identifier()
        else:
            shown = f" '{character}'" if character.isprintable() else ""
            raise JSONPathError(f"unrecognized character in action: U+{ord(character):04X}{shown}")

    def _peek(self) -> str:
        return self._text[self.place : self.place + 1]

    def _word(self) -> str:
        """Read to the next character that ends a word; a backslash takes the one behind it along."""
        start = self.place
        while self._peek() and self._peek() not in _ENDS_WORD:
            self.place += 2 if self._peek() == "\\" else 1
        return self._text[start : self.place]

    def _recursive(self) -> None:
        if self._parts and isinstance(self._parts[-1], Recursive):
            raise JSONPathError("invalid multiple recursive descent")
        self.place += 2
        self._parts.append(Recursive())
        following = self._peek()
        if following and (following == "_" or following.isalnum()):
            self._name()

    def _field(self) -> None:
        self.place += 1
        self._name()

    def _name(self) -> None:
        word = self._word()
        self._parts.append(Wildcard() if word == "*" else Field(word.replace("\\", "")))

    def _identifier(self) -> None:
        start = self.place
        while self._peek() and self._peek() not in _ENDS_WORD:
            self.place += 1
        word = self._text[start : self.place]
        self._parts.append(Literal(word == "true") if word in ("true", "false") else Identifier(word))

    def _number(self) -> None:
        found = re.compile(r"[+-]?[0-9.]*").match(self._text, self.place)
        assert found
        text, self.place = found[0], found.end()
        try:
            self._parts.append(Literal(int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text)))
        except ValueError:
            raise JSONPathError(f"cannot parse number {text}") from None

    def _quote(self) -> None:
        start, quote = self.place, self._peek()
        self.place += 1
        while self._peek() != quote or self._text[self.place - 1] == "\\":
            if self._peek() in ("", "\n"):
                raise JSONPathError("unterminated quoted string")
            self.place += 1
        self.place += 1
        self._parts.append(Literal(_unquoted(self._text[start : self.place])))

    def _array(self) -> None:
        end = re.compile(r"[\]\n]").search(self._text, self.place)
        if end is None or end[0] == "\n":
            raise JSONPathError("unterminated array")
        text, self.place = self._text[self.place + 1 : end.start()], end.end()
        choices = text.split(",")
        if len(choices) > 1:
            self._parts.append(Union(tuple(_action(f"[{choice.strip(' ')}]") for choice in choices)))
        elif key := _KEY.fullmatch(text):
            self._parts += _action(f".{key[1]}").parts
        else:
            self._parts.append(_slice(":" if text == "*" else text))

    def _filter(self) -> None:
        self.place += 3
        start = self.place
        quote, closed = "", False
        while (character := self._peek()) != ")" or bool(quote) != closed:
            if character in ("", "\n"):
                raise JSONPathError("unterminated filter")
            if character in "\"'":
                if not quote:
                    quote = character
                elif self._text[self.place - 1] != "\\" and character == quote:
                    closed = True
            self.place += 1
        text = self._text[start : self.place]
        self.place += 1
        if self._peek() != "]":
            raise JSONPathError("unclosed array expect ]")
        self.place += 1
        compared = _COMPARISON.fullmatch(text)
        if compared:
            self._parts.append(Filter(_action(compared[1]), compared[2], _action(compared[3])))
        else:
            self._parts.append(Filter(_action(text), "exists", Action(())))


_STARTS: dict[str, Callable[[_ActionParser], None]] = {
    "[": _ActionParser._array,  # pyright: ignore[reportPrivateUsage]
    '"': _ActionParser._quote,  # pyright: ignore[reportPrivateUsage]
    "'": _ActionParser._quote,  # pyright: ignore[reportPrivateUsage]
    ".": _ActionParser._field,  # pyright: ignore[reportPrivateUsage]
}


def _action(text: str) -> Action:
    """Read a part of an action as one that stands alone."""
    (node, *_) = parse(f"{{{text}}}")
    assert isinstance(node, Action)
    return node


def _slice(text: str) -> Slice:
    found = _SLICE.fullmatch(text)
    if found is None:
        raise JSONPathError(f"invalid array index {text}")
    start = _index(found[1] or "")
    if found[2] is None and found[3] is None:
        return Slice(start, (start or 0) + 1, None, single=True)
    return Slice(start, _index((found[2] or ":")[1:]), _index((found[3] or ":")[1:]))


def _index(text: str) -> int | None:
    if text == "-":
        raise JSONPathError("array index - is not a number")
    return int(text) if text else None


def _unquoted(text: str) -> str:
    quote, body = text[0], text[1:-1]
    if "\\" not in body:
        return body

    def character(found: re.Match[str]) -> str:
        code = found[1]
        if code in _ESCAPES or code == quote:
            return _ESCAPES.get(code, code)
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        if len(code) == 3:
            return chr(int(code, 8))
        raise JSONPathError(f"unquote string {text} error invalid syntax")

    return _ESCAPE.sub(character, body)
