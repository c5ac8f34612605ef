"""Splits a template into text and actions, and an action into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kubelab.kctl.gotemplate.nodes import TemplateError

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<raw>`[^`]*`)
  | (?P<char>'(?:[^'\\\n]|\\.)+')
  | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?))
  | (?P<field>\.[^\W\d]\w*)
  | (?P<variable>\$\w*)
  | (?P<word>[^\W\d]\w*)
  | (?P<mark>:=|[|(),.=])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """``kind`` is a group of the expression above; ``place`` is where it starts in the template."""

    kind: str
    text: str
    place: int


class Piece(NamedTuple):
    """Text, or the tokens of an action from ``start`` to ``end``."""

    text: str
    tokens: list[Token] | None
    start: int = 0
    end: int = 0


def line_of(text: str, place: int) -> int:
    """Count lines from one."""
    return text.count("\n", 0, place) + 1


def fail(text: str, place: int, message: str) -> TemplateError:
    """Make the error of a place."""
    return TemplateError(f"template: output:{line_of(text, place)}: {message}")


def pieces(text: str) -> Iterator[Piece]:
    """Split a template at its actions; ``{{-`` and ``-}}`` take the space beside them away."""
    place, trim = 0, False
    while True:
        start = text.find("{{", place)
        chunk = text[place:] if start < 0 else text[place:start]
        chunk = chunk.lstrip(" \t\r\n") if trim else chunk
        if start < 0:
            if chunk:
                yield Piece(chunk, None)
            return
        inside = start + 2
        if re.compile(r"-[ \t\r\n]").match(text, inside):
            chunk = chunk.rstrip(" \t\r\n")
            inside += 2
        if chunk:
            yield Piece(chunk, None)
        comment = _COMMENT.match(text, inside)
        if comment:
            closing = re.compile(r"(?:[ \t\r\n]-)?\}\}").match(text, comment.end())
            if closing is None:
                raise fail(text, start, "comment ends before closing delimiter")
            place, trim = closing.end(), "-" in closing[0]
            continue
        if text.startswith("/*", inside):
            raise fail(text, start, "unclosed comment")
        tokens, place, trim = _action(text, inside)
        yield Piece("", tokens, inside, place)


def _action(text: str, place: int) -> tuple[list[Token], int, bool]:
    tokens: list[Token] = []
    start = place
    while True:
        closing = re.compile(r"(?:[ \t\r\n]+-)?\}\}").match(text, place)
        if closing:
            return tokens, closing.end(), "-" in closing[0]
        if place >= len(text):
            raise fail(text, start, "unclosed action")
        found = _TOKEN.match(text, place)
        if found is None:
            raise fail(text, place, _why(text, place))
        tokens.append(Token(str(found.lastgroup), found[0], place))
        place = found.end()


def _why(text: str, place: int) -> str:
    character = text[place]
    if character == '"':
        return "unterminated quoted string"
    if character == "`":
        return "unterminated raw quoted string"
    if character == "'":
        return "unterminated character constant"
    return f"bad character U+{ord(character):04X} {character!r}"
