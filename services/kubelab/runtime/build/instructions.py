"""What a Dockerfile's instructions say, each as a value of its own
(https://docs.docker.com/reference/dockerfile/; words as in BuildKit's frontend/dockerfile/instructions).

Variables are not put in yet: that depends on what comes before an instruction in its stage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.health import health_check
from kubelab.runtime.build.lines import HereDocument, Line, here_document, json_list
from kubelab.runtime.build.words import split

Pairs = tuple[tuple[str, str], ...]
WAY_ROUND = "Build it with `docker build -t NAME .`, then `docker save NAME | kubelab image load -`."
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_FLAGS = {
    "FROM": ("platform",),
    "RUN": ("mount", "network", "security"),
    "COPY": ("from", "chown", "chmod", "link"),
    "ADD": ("chown", "chmod", "link"),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}
_REFUSED = {"RUN": ("device",), "COPY": ("parents", "exclude"),
            "ADD": ("exclude", "checksum", "keep-git-dir", "unpack")}  # fmt: skip
_REPEATED = ("mount",)
_SWITCHES = ("link",)


@dataclass(frozen=True, slots=True)
class Command:
    """What RUN, CMD and ENTRYPOINT run: an argument list, or a text for the shell."""

    words: tuple[str, ...]
    shell: bool

    def arguments(self, shell: list[str]) -> list[str]:
        return [*shell, *self.words] if self.shell else [*self.words]


@dataclass(frozen=True, slots=True)
class Instruction:
    line: Line


@dataclass(frozen=True, slots=True)
class From(Instruction):
    base: str
    name: str  # of the stage; "" without
    platform: str


@dataclass(frozen=True, slots=True)
class Arg(Instruction):
    declared: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Env(Instruction):
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Label(Instruction):
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """COPY, and ADD with ``unpack``."""

    unpack: bool
    sources: tuple[str, ...]
    documents: tuple[HereDocument, ...]
    target: str
    source_stage: str  # of --from; "" is the build context
    chown: str
    chmod: str
    link: bool


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    command: Command
    mounts: tuple[str, ...]
    network: str


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expose(Instruction):
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """``check`` as the image's configuration has it: durations in nanoseconds."""

    check: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    author: str


@dataclass(frozen=True, slots=True)
class OnBuild(Instruction):
    trigger: str  # the instruction's text, for builds on this image


def parse(line: Line, escape: str) -> Instruction:
    """What one instruction says; SyntaxFault."""
    reader = _READERS.get(line.name)
    if reader is None:
        near = get_close_matches(line.name, _READERS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise SyntaxFault(f"unknown instruction: {_shown(line.name)}{hint}")
    flags = _Flags(line)
    if not line.rest and line.name != "SHELL":
        exactly = line.name in ("MAINTAINER", "USER", "WORKDIR", "STOPSIGNAL")
        raise SyntaxFault(f"{line.name} requires {'exactly' if exactly else 'at least'} one argument")
    return reader(line, flags, escape)


class _Flags:
    """An instruction's flags; SyntaxFault for one that it does not have."""

    def __init__(self, line: Line) -> None:
        self._values: dict[str, list[str]] = {}
        for flag in line.flags:
            name, equals, value = flag.removeprefix("--").partition("=")
            if name in _REFUSED.get(line.name, ()):
                raise SyntaxFault(f"{line.name} --{name} is not supported by `kubelab image build`. {WAY_ROUND}")
            if name not in _FLAGS.get(line.name, ()):
                near = get_close_matches(name, _FLAGS.get(line.name, ()), n=1)
                raise SyntaxFault(f"unknown flag: --{_shown(name)}{f' (did you mean {near[0]}?)' if near else ''}")
            if name in self._values and name not in _REPEATED:
                raise SyntaxFault(f"duplicate flag specified: --{name}")
            if name in _SWITCHES:
                value = value if equals else "true"
                if value.lower() not in ("true", "false"):
                    raise SyntaxFault(f"expecting boolean value for flag --{name}, not: {_shown(value)}")
            elif not equals:
                raise SyntaxFault(f"missing a value on flag: --{name}")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str:
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def on(self, name: str) -> bool:
        return self.text(name).lower() == "true"


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


def _command(text: str) -> Command:
    listed = json_list(text)
    return Command((text,), shell=True) if listed is None else Command(listed, shell=False)


def _from(line: Line, flags: _Flags, _: str) -> From:
    words = line.rest.split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise SyntaxFault("FROM requires either one or three arguments")
    name = words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        reason = "name can't start with a number or contain symbols"
        raise SyntaxFault(f'invalid name for build stage: "{_shown(words[2])}", {reason}')
    return From(line, words[0], name, flags.text("platform"))


def _arg(line: Line, _: _Flags, escape: str) -> Arg:
    arguments: list[tuple[str, str | None]] = []
    for word in split(line.rest, escape):
        name, equals, value = word.partition("=")
        if not name:
            raise SyntaxFault("ARG names can not be blank")
        arguments.append((name, value if equals else None))
    return Arg(line, tuple(arguments))


def _pairs(line: Line, escape: str) -> Pairs:
    """``A=1 B="two words"``, or the old form ``A one value``."""
    words = split(line.rest, escape)
    if words and "=" not in words[0]:
        name, *value = line.rest.split(maxsplit=1)
        if not value:
            raise SyntaxFault(f"{line.name} must have two arguments")
        return ((name, value[0]),)
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            reason = f"Syntax error - can't find = in {json.dumps(_shown(word), ensure_ascii=False)}"
            raise SyntaxFault(f"{reason}. Must be of the form: name=value")
        if not name:
            raise SyntaxFault(f"{line.name} names can not be blank")
        pairs.append((name, value))
    return tuple(pairs)


def _copy(line: Line, flags: _Flags, _: str) -> Copy:
    listed = json_list(line.rest)
    words = listed if listed is not None else tuple(line.rest.split())
    if len(words) < 2:
        reason = "requires at least two arguments, but only one was provided. Destination could not be determined"
        raise SyntaxFault(f"{line.name} {reason}")
    *sources, target = words
    if listed is None and _announces(target):
        raise SyntaxFault(f"{line.name} cannot accept a heredoc as a destination")
    documents = tuple(document for document in line.documents if not _bad_file_name(document.name))
    if len(documents) < len(line.documents):
        raise SyntaxFault(f"{line.name} cannot make a file of that name from a heredoc")
    if documents:
        sources = [word for word in sources if not _announces(word)]
    chmod = flags.text("chmod")
    return Copy(
        line, line.name == "ADD", tuple(sources), documents, target,
        flags.text("from"), flags.text("chown"), chmod, flags.on("link"),
    )  # fmt: skip


def _announces(word: str) -> bool:
    try:
        return here_document(word) is not None
    except SyntaxFault:
        return False


def _bad_file_name(name: str) -> bool:
    return name in (".", "..") or "/" in name


def _run(line: Line, flags: _Flags, _: str) -> Run:
    network = flags.text("network") or "default"
    if network not in ("default", "none", "host"):
        raise SyntaxFault(f'unsupported network mode "{_shown(network)}"')
    security = flags.text("security") or "sandbox"
    if security == "insecure":
        raise SyntaxFault(f"RUN --security=insecure is not supported by `kubelab image build`. {WAY_ROUND}")
    if security != "sandbox":
        raise SyntaxFault(f'security "{_shown(security)}" is not valid')
    command = _command(line.rest)
    if not command.words:
        raise SyntaxFault("RUN requires at least one argument")
    return Run(line, command, flags.all("mount"), network)


def _shell(line: Line, _: _Flags, __: str) -> Shell:
    listed = json_list(line.rest)
    if listed is None and line.rest:
        raise SyntaxFault("SHELL requires the arguments to be in JSON form")
    if not listed:
        raise SyntaxFault("SHELL requires at least one argument")
    return Shell(line, listed)


def _volume(line: Line, _: _Flags, __: str) -> Volume:
    listed = json_list(line.rest)
    paths = tuple(path.strip() for path in (listed if listed is not None else line.rest.split()))
    if not paths:
        raise SyntaxFault("VOLUME requires at least one argument")
    if not all(paths):
        raise SyntaxFault("VOLUME specified can not be an empty string")
    return Volume(line, paths)


def _healthcheck(line: Line, flags: _Flags, _: str) -> Healthcheck:
    kind, *others = line.rest.split(maxsplit=1)
    command = _command(others[0]) if others else Command((), shell=False)
    options = {name: flags.text(name) for name in _FLAGS["HEALTHCHECK"]}
    return Healthcheck(line, health_check(kind, command.words, shell=command.shell, options=options))


def _onbuild(line: Line, _: _Flags, escape: str) -> OnBuild:
    name, *_others = line.rest.split(maxsplit=1)
    if name.upper() == "ONBUILD":
        raise SyntaxFault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name.upper() in ("FROM", "MAINTAINER"):
        raise SyntaxFault(f"{name.upper()} isn't allowed as an ONBUILD trigger")
    trigger = line.rest + "".join(f"\n{document.content}{document.name}" for document in line.documents)
    return OnBuild(line, trigger)


_READERS: dict[str, Callable[[Line, _Flags, str], Instruction]] = {
    "FROM": _from,
    "ARG": _arg,
    "ENV": lambda line, _, escape: Env(line, _pairs(line, escape)),
    "LABEL": lambda line, _, escape: Label(line, _pairs(line, escape)),
    "COPY": _copy,
    "ADD": _copy,
    "RUN": _run,
    "CMD": lambda line, _, __: Cmd(line, _command(line.rest)),
    "ENTRYPOINT": lambda line, _, __: Entrypoint(line, _command(line.rest)),
    "SHELL": _shell,
    "USER": lambda line, _, __: User(line, line.rest),
    "WORKDIR": lambda line, _, __: Workdir(line, line.rest),
    "VOLUME": _volume,
    "EXPOSE": lambda line, _, __: Expose(line, tuple(line.rest.split())),
    "STOPSIGNAL": lambda line, _, __: StopSignal(line, line.rest),
    "HEALTHCHECK": _healthcheck,
    "MAINTAINER": lambda line, _, __: Maintainer(line, line.rest),
    "ONBUILD": _onbuild,
}
