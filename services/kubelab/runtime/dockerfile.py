"""Reading Dockerfiles: the instructions that kubelab builds, and a clear word about the others
(https://docs.docker.com/reference/dockerfile/)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

SUPPORTED = ("FROM", "COPY", "ADD", "RUN", "ENV", "ARG", "WORKDIR", "USER", "EXPOSE", "LABEL", "CMD", "ENTRYPOINT")
_NAME = re.compile(r"\w+", re.ASCII)


class DockerfileError(ValueError):
    """The Dockerfile cannot be built; the message names the file, the line, the instruction."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. ``text`` is all after its name, continued lines joined."""

    line: int
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.text}"

    def json_list(self) -> list[str] | None:
        """The exec form, ``["node", "/app.js"]``; None for the shell form."""
        try:
            value: Any = json.loads(self.text)
        except ValueError:
            return None
        if isinstance(value, list) and all(isinstance(one, str) for one in cast(list[object], value)):
            return cast(list[str], value)
        return None

    def command(self) -> list[str]:
        """Either form as an argument list."""
        listed = self.json_list()
        return listed if listed is not None else ["/bin/sh", "-c", self.text]


def parse(text: str, path: str) -> list[Instruction]:
    """Read a Dockerfile; DockerfileError for what is not supported, or does not begin with FROM."""
    found: list[Instruction] = []
    for line, joined in _logical_lines(text):
        name, *others = joined.split(maxsplit=1)
        name, rest = name.upper(), others[0] if others else ""
        if name not in SUPPORTED:
            raise DockerfileError(
                f"{path}:{line}: {name} is not supported by `kubelab image build`, which knows {', '.join(SUPPORTED)}. "
                f"Build it with `docker build -t NAME .`, then `docker save NAME | kubelab image load -`."
            )
        if not rest:
            raise DockerfileError(f"{path}:{line}: {name} requires at least one argument")
        if rest.startswith("--"):
            flag = rest.split()[0].split("=")[0]
            raise DockerfileError(
                f"{path}:{line}: {name} {flag} is not supported by `kubelab image build`. "
                f"Build it with `docker build -t NAME .`, then `docker save NAME | kubelab image load -`."
            )
        if "<<" in rest and name in ("RUN", "COPY", "ADD") and re.search(r"<<-?[\"']?\w+", rest):
            raise DockerfileError(
                f"{path}:{line}: {name} with a here-document is not supported by `kubelab image build`"
            )
        found.append(Instruction(line, name, rest))
    if not found:
        raise DockerfileError(f"{path}: the Dockerfile is empty")
    first = next((i for i in found if i.name != "ARG"), found[0])
    if first.name != "FROM":
        raise DockerfileError(
            f"{path}:{first.line}: expected FROM, got {first.name}: no build stage in current context"
        )
    stages = [i for i in found if i.name == "FROM"]
    if len(stages) > 1:
        raise DockerfileError(
            f"{path}:{stages[1].line}: a second FROM (multi-stage) is not supported by `kubelab image build`. "
            f"Build it with `docker build -t NAME .`, then `docker save NAME | kubelab image load -`."
        )
    return found


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with what continues them; comments and empty lines left out."""
    lines: list[tuple[int, str]] = []
    start, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not parts:
            start = number
        if line.endswith("\\"):
            parts.append(line[:-1].rstrip())
            continue
        lines.append((start, " ".join([*parts, line])))
        parts = []
    if parts:
        lines.append((start, " ".join(parts)))
    return lines


class _BadWord(ValueError):
    """A word cannot be read: a quote or a brace is never closed."""


def words(text: str) -> list[str]:
    """Split at spaces outside of quotes, which stay: what is put in for a variable is not split again."""
    found: list[str] = []
    quote, at, begun = "", 0, -1
    while at < len(text):
        char = text[at]
        if begun < 0 and not char.isspace():
            begun = at
        if char == "\\" and quote != "'":
            at += 1  # whatever comes next is part of the word
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace() and begun >= 0:
            found.append(text[begun:at])
            begun = -1
        at += 1
    return [*found, text[begun:]] if begun >= 0 else found


def expand(text: str, variables: Mapping[str, str], instruction: Instruction, path: str) -> str:
    """A word as it is meant: without its quotes, with ``$NAME``, ``${NAME}``, ``${NAME:-default}``,
    ``${NAME:+if-set}`` put in except within single quotes; DockerfileError."""
    try:
        return _Word(text, variables).read()
    except _BadWord as err:
        raise DockerfileError(f"{path}:{instruction.line}: {instruction.name}: {err}") from err


class _Word:
    """Docker's shell lexer (github.com/moby/buildkit, frontend/dockerfile/shell/lex.go), read from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text, self._variables, self._at = text, variables, 0

    def read(self, until: str = "") -> str:
        """What comes before ``until``, or all."""
        found: list[str] = []
        while self._at < len(self._text):
            char = self._next()
            if char == until:
                return "".join(found)
            if char == "'":
                found.append(self._single_quoted())
            elif char == '"':
                found.append(self._double_quoted())
            elif char == "$":
                found.append(self._variable())
            else:
                found.append(self._next() if char == "\\" else char)
        if until:
            raise _BadWord(f"syntax error: missing '{until}' in {self._text!r}")
        return "".join(found)

    def _next(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise _BadWord("unexpected end of statement while looking for matching single-quote")
        inside, self._at = self._text[self._at : end], end + 1
        return inside

    def _double_quoted(self) -> str:
        found: list[str] = []
        while char := self._next():
            if char == '"':
                return "".join(found)
            if char == "$":
                found.append(self._variable())
            elif char == "\\":
                following = self._next()
                found.append(following if following in ('"', "$", "\\") else char + following)
            else:
                found.append(char)
        raise _BadWord("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        """What stands after a ``$``, which stays where no name follows."""
        braced = self._text.startswith("{", self._at)
        name = _NAME.match(self._text, self._at + braced)
        if name is None:
            if braced:
                raise _BadWord(f"syntax error: bad substitution in {self._text!r}")
            return "$"
        self._at = name.end()
        value = self._variables.get(name[0])
        if not braced:
            return value or ""
        ending = self._next()
        if ending == "}":
            return value or ""
        empty_counts = ending == ":"  # ${A:-b} where A is unset or empty, ${A-b} where it is unset
        modifier = self._next() if empty_counts else ending
        if modifier not in ("-", "+"):
            raise _BadWord(f"unsupported modifier ({modifier}) in substitution")
        other = self.read("}")
        is_set = bool(value) if empty_counts else value is not None
        if modifier == "+":
            return other if is_set else ""
        return (value or "") if is_set else other


def pairs(instruction: Instruction, path: str, variables: Mapping[str, str]) -> dict[str, str]:
    """``A=1 B="two words"``, or the old form ``A one value``; DockerfileError."""
    found = words(instruction.text)
    if "=" not in found[0] and len(found) > 1:
        value = instruction.text[len(found[0]) :].strip()
        return {found[0]: expand(value, variables, instruction, path)}
    made: dict[str, str] = {}
    for word in found:
        key, equals, value = word.partition("=")
        if not equals:
            told = f"Syntax error - can't find = in {word!r}. Must be of the form: name=value"
            raise DockerfileError(f"{path}:{instruction.line}: {instruction.name}: {told}")
        made[expand(key, variables, instruction, path)] = expand(value, variables, instruction, path)
    return made


def arguments(instruction: Instruction, path: str, variables: Mapping[str, str]) -> dict[str, str | None]:
    """What ARG declares: names, with their defaults or None; DockerfileError."""
    made: dict[str, str | None] = {}
    for word in words(instruction.text):
        key, equals, value = word.partition("=")
        made[key] = expand(value, variables, instruction, path) if equals else None
    return made


def sources_and_target(instruction: Instruction, path: str, variables: Mapping[str, str]) -> tuple[list[str], str]:
    """What COPY and ADD copy, and where to; DockerfileError."""
    listed = instruction.json_list() or words(instruction.text)
    if len(listed) < 2:
        told = f"{instruction.name} requires at least two arguments, but only one was provided"
        raise DockerfileError(f"{path}:{instruction.line}: {told}")
    *sources, target = (expand(word, variables, instruction, path) for word in listed)
    for word in sources:
        if "://" in word:
            told = f"{instruction.name} of an address is not supported by `kubelab image build`: download it first"
            raise DockerfileError(f"{path}:{instruction.line}: {told}")
    return sources, target
