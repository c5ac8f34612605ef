"""Reading Dockerfiles: the instructions that kubelab builds, and a clear word about the others
(https://docs.docker.com/reference/dockerfile/)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

SUPPORTED = ("FROM", "COPY", "ADD", "RUN", "ENV", "ARG", "WORKDIR", "USER", "EXPOSE", "LABEL", "CMD", "ENTRYPOINT")
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")
_EXPANDED = ("COPY", "ADD", "ENV", "WORKDIR", "USER", "EXPOSE", "LABEL")


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


def expand(instruction: Instruction, variables: Mapping[str, str]) -> Instruction:
    """Put in ``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME:+if-set}`` where Docker does."""
    if instruction.name not in _EXPANDED:
        return instruction
    return Instruction(instruction.line, instruction.name, expand_text(instruction.text, variables))


def expand_text(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        found = variables.get(match[1] or match[2], "")
        if match[3] == "-":
            return found or match[4]
        if match[3] == "+":
            return match[4] if found else ""
        return found

    return _VARIABLE.sub(value, text)


def pairs(instruction: Instruction, path: str) -> dict[str, str]:
    """``A=1 B="two words"``, or the old form ``A one value``; DockerfileError."""
    words = _words(instruction, path)
    if "=" not in words[0] and len(words) > 1 and instruction.name != "ARG":
        return {words[0]: instruction.text[len(words[0]) :].strip()}
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and instruction.name != "ARG":
            told = f"Syntax error - can't find = in {word!r}. Must be of the form: name=value"
            raise DockerfileError(f"{path}:{instruction.line}: {instruction.name}: {told}")
        found[key] = value
    return found


def _words(instruction: Instruction, path: str) -> list[str]:
    try:
        return shlex.split(instruction.text)
    except ValueError as err:
        raise DockerfileError(f"{path}:{instruction.line}: {instruction.name}: {err}") from err


def sources_and_target(instruction: Instruction, path: str) -> tuple[list[str], str]:
    """What COPY and ADD copy, and where to; DockerfileError."""
    words = instruction.json_list() or _words(instruction, path)
    if len(words) < 2:
        told = f"{instruction.name} requires at least two arguments, but only one was provided"
        raise DockerfileError(f"{path}:{instruction.line}: {told}")
    for word in words[:-1]:
        if "://" in word:
            told = f"{instruction.name} of an address is not supported by `kubelab image build`: download it first"
            raise DockerfileError(f"{path}:{instruction.line}: {told}")
    return words[:-1], words[-1]
