"""Exclude files from a build's context by ``.dockerignore``, with the rules of docker and BuildKit
(https://docs.docker.com/build/concepts/context/#dockerignore-files, github.com/moby/patternmatcher).

The last pattern that matches a path, or a folder above it, decides; ``!`` includes again. ``*`` and ``?`` stay within a
name, ``**`` is any number of folders, ``[a-z]`` one character, ``\\`` makes the next character ordinary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import normpath


class BadIgnorePattern(ValueError):
    """A line of the file is no pattern; the message names file and line."""


@dataclass(frozen=True, slots=True)
class IgnorePattern:
    """One line. ``prefix`` is what every path that matches begins with."""

    regex: re.Pattern[str]
    prefix: str
    excludes: bool


Matched = tuple[bool, ...]  # for each pattern, whether it matches a folder


class IgnorePatterns:
    """A whole file. Paths are relative to the context, with ``/``."""

    def __init__(self, patterns: Sequence[IgnorePattern]) -> None:
        self._patterns = patterns

    def excluded(self, path: str) -> bool:
        """Whether a path is kept out, by itself or with a folder above it."""
        out, matched = False, (False,) * len(self._patterns)
        for end in [at for at, char in enumerate(path) if char == "/"] + [len(path)]:
            out, matched = self.below(path[:end], matched)
        return out

    def below(self, path: str, above: Matched = ()) -> tuple[bool, Matched]:
        """The same for a path in a folder whose matches are ``above``; also returns the matches below the path."""
        out, matched = False, list[bool]()
        for number, pattern in enumerate(self._patterns):
            hit = bool(above) and above[number]
            # a pattern that could change nothing is not asked, as in BuildKit; only one above it decides below
            if not hit and pattern.excludes != out:
                hit = pattern.regex.fullmatch(path) is not None
            matched.append(hit)
            if hit:
                out = pattern.excludes
        return out, tuple(matched)

    def may_take_back_below(self, folder: str) -> bool:
        """Say whether an excluded folder may contain included files."""
        inside = f"{folder}/"
        return any(
            pattern.prefix.startswith(inside) or inside.startswith(pattern.prefix)
            for pattern in self._patterns
            if not pattern.excludes
        )


def read(text: str, name: str) -> IgnorePatterns:
    """Read a file; BadPattern."""
    patterns: list[IgnorePattern] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        excludes = not pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip()
        if not pattern:
            raise BadIgnorePattern(f'{name}:{number}: illegal exclusion pattern: "!"')
        path = "/" + normpath(pattern).lstrip("/")
        try:
            patterns.append(_compiled(path[1:], excludes))
        except BadIgnorePattern:
            raise BadIgnorePattern(f"{name}:{number}: syntax error in pattern: {pattern[:200]}") from None
    return IgnorePatterns(patterns)


def _compiled(pattern: str, excludes: bool) -> IgnorePattern:
    out, at, prefix, literal = "", 0, "", True
    while at < len(pattern):
        char = pattern[at]
        at += 1
        ordinary = ""
        if char == "*" and pattern.startswith("*", at):
            at += 1
            # "**x" alone matches anything that ends in x; "**/x" and all other forms stand for whole folders
            anything = at == 2 and not re.search(r"[/*?\[\\]", pattern[at:])
            if pattern.startswith("/", at):
                at += 1
            out += ".*" if anything or at >= len(pattern) else "(?:.*/)?"
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            char_class, at = _class(pattern, at)
            out += char_class
        else:
            if char == "\\":
                char, at = _escaped(pattern, at - 1)
            out += re.escape(char)
            ordinary = char
        literal = literal and bool(ordinary)
        prefix += ordinary if literal else ""
    return IgnorePattern(re.compile(out, re.DOTALL), prefix, excludes)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """``a-z]`` as a regular expression has it, and where it ends (Go's path.Match)."""
    out = "[^" if pattern.startswith("^", at) else "["
    at += len(out) - 1
    ranges = 0
    while not ranges or not pattern.startswith("]", at):
        if pattern[at : at + 1] in ("-", "]", ""):
            raise BadIgnorePattern
        low, at = _escaped(pattern, at)
        high = low
        if pattern.startswith("-", at):
            if pattern[at + 1 : at + 2] in ("-", "]"):
                raise BadIgnorePattern
            high, at = _escaped(pattern, at + 1)
        if low <= high:  # else it matches nothing
            out += f"{re.escape(low)}-{re.escape(high)}"
        ranges += 1
    return (f"{out}]" if out not in ("[", "[^") else ("[^/]" if out == "[^" else "(?!)")), at + 1


def _escaped(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    if at >= len(pattern):
        raise BadIgnorePattern
    return pattern[at], at + 1
