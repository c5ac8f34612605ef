"""An image as far as it is built, and the instructions that change only its configuration."""

from __future__ import annotations

import copy
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from kubelab.runtime.build import instructions as say
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.words import Lexer

DEFAULT_SHELL = ["/bin/sh", "-c"]
PROXIES = frozenset(
    name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)  # fmt: skip
_PORTS = re.compile(r"(?:.*:)?(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp)?)?", re.IGNORECASE | re.ASCII)


@dataclass(slots=True)
class Draft:
    """``chain`` names what the layers so far came from: it is the cache's key. ``globals`` are the ARGs before FROM."""

    lexer: Lexer = field(default_factory=Lexer)
    globals: Mapping[str, str] = field(default_factory=dict[str, str])
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    layers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    diff_ids: list[str] = field(default_factory=list[str])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    author: str = ""
    on_host: bool = False
    own_cmd: bool = False  # this stage says CMD itself
    chain: str = ""

    def child(self) -> Draft:
        """What a stage begins with that is built on this one: its files and configuration, not its ARGs."""
        child = copy.copy(self)
        child.config, child.environment = copy.deepcopy(self.config), dict(self.environment)
        child.layers, child.diff_ids, child.arguments = list(self.layers), list(self.diff_ids), {}
        child.own_cmd = False
        return child

    @property
    def variables(self) -> dict[str, str]:
        """What ``$NAME`` means: ENV goes before ARG."""
        return {**self.arguments, **self.environment}

    @property
    def workdir(self) -> str:
        return self.config.get("WorkingDir") or "/"

    @property
    def shell(self) -> list[str]:
        return self.config.get("Shell") or DEFAULT_SHELL

    def word(self, text: str) -> str:
        """The text as one word with variables put in; SyntaxFault."""
        return self.lexer.word(text, self.variables)

    def in_workdir(self, path: str) -> str:
        """An absolute path without ``..``; a ``/`` at the end stays."""
        joined = normpath(str(PurePosixPath("/", self.workdir, path)))
        joined = "/" + joined.lstrip("/")
        return joined if joined == "/" or not path.endswith("/") else joined + "/"

    def run_variables(self) -> tuple[dict[str, str], frozenset[str]]:
        """What a RUN sees, and the names among it that do not count for the cache: proxies without an ARG."""
        undeclared = {name: self.given[name] for name in PROXIES & self.given.keys() if name not in self.arguments}
        return {**undeclared, **self.variables}, frozenset(undeclared)

    def change(self, instruction: say.Instruction) -> bool:
        """Do what an instruction does to the configuration; False: it is one that changes files. SyntaxFault."""
        match instruction:
            case say.Arg():
                self._declare(instruction)
            case say.Env():
                self.environment |= self._pairs(instruction.pairs)
            case say.Label():
                self.config.setdefault("Labels", {}).update(self._pairs(instruction.pairs))
            case say.Cmd():
                self.config["Cmd"] = instruction.command.arguments(self.shell)
                self.own_cmd = True
            case say.Entrypoint():
                self.config["Entrypoint"] = instruction.command.arguments(self.shell)
                if not self.own_cmd:  # the base image's belonged to the base image's entrypoint
                    self.config.pop("Cmd", None)
            case say.Shell():
                self.config["Shell"] = list(instruction.words)
            case say.User():
                self._set("User", "USER", instruction.user)
            case say.Volume():
                volumes = self.config.setdefault("Volumes", {})
                for path in instruction.paths:
                    volumes[self._not_empty("VOLUME", path)] = {}
            case say.Expose():
                self._expose(instruction)
            case say.StopSignal():
                self.config["StopSignal"] = _signal(self.word(instruction.signal))
            case say.Healthcheck():
                self.config["Healthcheck"] = instruction.check
            case say.Maintainer():
                self.author = self.word(instruction.author)
            case say.OnBuild():
                self.config.setdefault("OnBuild", []).append(instruction.trigger)
            case _:
                return False
        return True

    def _declare(self, instruction: say.Arg) -> None:
        """ARG: what the builder was given, else the default, else what an ARG before FROM has; else it is not set."""
        declared: dict[str, str] = {}
        for name, default in instruction.declared:
            name = self.word(name)
            value = self.globals.get(name) if default is None else self.word(default)
            value = self.given.get(name, value)
            if value is not None:
                declared[name] = value
        self.arguments |= declared

    def _pairs(self, pairs: say.Pairs) -> dict[str, str]:
        expanded = {self.word(name): self.word(value) for name, value in pairs}
        if "" in expanded:
            raise SyntaxFault("names can not be blank")
        if bad := next((name for name in expanded if "\0" in name or "=" in name), None):
            raise SyntaxFault(f"{bad[:60]!r}: not a name")
        return expanded

    def _not_empty(self, name: str, text: str) -> str:
        value = self.word(text)
        if not value:
            raise SyntaxFault(f"{name} specified can not be an empty string")
        return value

    def _set(self, key: str, name: str, text: str) -> None:
        self.config[key] = self._not_empty(name, text)

    def _expose(self, instruction: say.Expose) -> None:
        ports = self.config.setdefault("ExposedPorts", {})
        for text in instruction.ports:
            for port in self.lexer.words(text, self.variables):
                ports.update(dict.fromkeys(_ports(port), {}))


def _ports(text: str) -> list[str]:
    """``80``, ``80/udp``, ``8000-8010``, as ``80/tcp`` …; SyntaxFault."""
    match = _PORTS.fullmatch(text)
    if match is None:
        raise SyntaxFault(f"invalid containerPort: {text[:60]}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last > 65535:
        raise SyntaxFault(f"invalid containerPort: {text[:60]}")
    if last < first:
        raise SyntaxFault(f"invalid range specified for port: {text[:60]}")
    protocol = (match[3] or "tcp").lower()
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _signal(text: str) -> str:
    bare = text.upper().removeprefix("SIG")
    if re.fullmatch(r"RTMIN(\+\d{1,2})?|RTMAX(-\d{1,2})?", bare):
        return text
    numbers = {number.value for number in signal.Signals}
    if text.isascii() and text.isdecimal() and int(text[:9]) in numbers:
        return text
    if not hasattr(signal.Signals, f"SIG{bare}"):
        raise SyntaxFault(f"Invalid signal: {text[:60]}")
    return text
