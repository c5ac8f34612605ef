"""Flags as kubectl's parser (spf13/pflag) reads them, on click's options.

What people type and read in tutorials works: ``-l=app=web``, ``-lapp=web``, ``-l app=web``, ``--selector=app=web``,
``-Aw``, ``--all=true``, ``--all=false``, flags behind arguments, ``--`` before what is not a flag. And ``--l=app=web``,
which kubectl refuses, is taken as ``-l``: the tutorial that kubelab follows writes it.

:func:`normalise` turns all of that into one form, ``--name=value``, that click reads without surprises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from kubelab.apimachinery import durations

Kind = Literal["bool", "int", "string", "selector", "list", "csv", "duration"]

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class UsageProblem(Exception):
    """A command line that makes no sense. ``command`` is such as ``kctl get``; ``hint`` adds kubectl's second line."""

    def __init__(self, message: str, command: str = "", *, hint: Literal["", "flag", "arguments"] = "") -> None:
        super().__init__(message)
        self.message, self.command, self.hint = message, command, hint

    def lines(self) -> str:
        """Give the message as it is printed on standard error."""
        text = f"error: {self.message}"
        if self.hint == "flag":
            text += f"\nSee '{self.command} --help' for usage."
        elif self.hint == "arguments":
            text += f"\nSee '{self.command} -h' for help and examples"
        return text


class _Type(click.ParamType[Any]):
    def __init__(self, kind: Kind) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return _read(self.name, value)
        except ValueError as err:
            flag = param.shown if isinstance(param, Flag) else ""
            where = ctx.command_path if ctx else ""
            raise UsageProblem(f'invalid argument "{value}" for "{flag}" flag: {err}', where, hint="flag") from None


class Flag(click.Option):
    """An option with kubectl's rules. ``bare`` is its value when none is given: ``--all`` is ``--all=true``."""

    def __init__(
        self,
        *names: str,
        kind: Kind = "string",
        default: Any = None,
        bare: str | None = None,
        hidden: bool = False,
        required: bool = False,
        help: str = "",
    ) -> None:
        several = kind in ("list", "csv")
        if default is None:
            default = {"bool": False, "string": "", "selector": "", "duration": 0.0}.get(kind, () if several else None)
        super().__init__(
            list(names),
            type=_Type("string" if several else kind),
            default=default,
            multiple=several,
            hidden=hidden,
            help=help,
        )
        self.kind: Kind = kind
        self.bare = "true" if kind == "bool" else bare
        self.must = required
        longs = [o.removeprefix("--") for o in self.opts if o.startswith("--")]
        self.long = longs[0]
        self.short = next((o[1:] for o in self.opts if not o.startswith("--")), "")

    @property
    def shown(self) -> str:
        """``-A, --all-namespaces``."""
        return f"-{self.short}, --{self.long}" if self.short else f"--{self.long}"

    def usage(self) -> str:
        """``-A, --all-namespaces=false:``, as the help shows it."""
        default: Any = self.default
        if self.kind in ("list", "csv"):
            text = "[]"
        elif self.kind == "bool":
            text = "true" if default else "false"
        elif self.kind in ("string", "selector"):
            text = f"'{default}'"
        elif self.kind == "duration":
            text = f"{default or 0:g}s"
        else:
            text = str(default)
        return f"{self.shown}={text}:"

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        value = super().process_value(ctx, value)
        if self.kind == "csv" and value:
            return tuple(part for item in value for part in item.split(",") if part)
        return value


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line in one form. ``flags`` are ``--name=value``; ``dash`` is how many arguments came before ``--``."""

    flags: list[str]
    arguments: list[str]
    dash: int = -1

    def changed(self, flag: str) -> bool:
        """Say whether the command line sets a flag (pflag's word)."""
        return any(f.startswith(f"--{flag}=") for f in self.flags)


def normalise(flags: Sequence[Flag], args: Sequence[str], command: str) -> CommandLine:
    """Sort a command line into flags and arguments. Raises UsageProblem as kubectl words it."""
    longs = {f.long: f for f in flags}
    shorts = {f.short: f for f in flags if f.short}
    parsed: list[str] = []
    arguments: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return CommandLine(parsed, arguments + rest, len(arguments))
        if word.startswith("--"):
            parsed.append(_long(word, rest, longs, shorts, command))
        elif word.startswith("-") and word != "-":
            parsed += _shorts(word, rest, shorts, command)
        else:
            arguments.append(word)
    return CommandLine(parsed, arguments)


def words(flags: Sequence[Flag], args: Sequence[str]) -> list[tuple[int, str]]:
    """Give the arguments that are no flags and no flag's value, with their places: how a sub-command is found."""
    longs = {f.long: f for f in flags}
    shorts = {f.short: f for f in flags if f.short}
    positions: list[tuple[int, str]] = []
    n = 0
    while n < len(args):
        word = args[n]
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            positions.append((n, word))
        elif "=" not in word:
            flag = longs.get(_dashed(word[2:])) if word.startswith("--") else shorts.get(word[1:])
            takes_next = word.startswith("--") or len(word) == 2
            if takes_next and (flag is None or flag.bare is None):
                n += 1
        n += 1
    return positions


def parse_bool(text: str) -> bool:
    """Read a truth value as Go does. Raises ValueError."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _read(kind: str, value: str) -> Any:
    if kind == "bool":
        return parse_bool(value)
    if kind == "int":
        if not re.fullmatch(r"[-+]?[0-9]+", value):
            raise ValueError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        if not -(2**63) <= int(value) < 2**63:
            raise ValueError(f'strconv.ParseInt: parsing "{value}": value out of range')
        return int(value)
    if kind == "selector":  # spaces alone are no selector; they do not select everything
        return value.strip()
    return durations.parse(value) if kind == "duration" else value


def _dashed(name: str) -> str:
    return name.replace("_", "-")  # as kubectl: --show_labels is --show-labels


def _long(word: str, rest: list[str], longs: dict[str, Flag], shorts: dict[str, Flag], command: str) -> str:
    name, equals, value = word[2:].partition("=")
    name = _dashed(name)
    if not name or name.startswith("-"):
        raise UsageProblem(f"bad flag syntax: {word}", command, hint="flag")
    flag = longs.get(name) or (shorts.get(name) if len(name) == 1 else None)
    if flag is None:
        raise UsageProblem(f"unknown flag: --{name}", command, hint="flag")
    if equals:
        return f"--{flag.long}={value}"
    if flag.bare is not None:
        return f"--{flag.long}={flag.bare}"
    if not rest:
        raise UsageProblem(f"flag needs an argument: --{name}", command, hint="flag")
    return f"--{flag.long}={rest.pop(0)}"


def _shorts(word: str, rest: list[str], shorts: dict[str, Flag], command: str) -> list[str]:
    """Read ``-Aw``, ``-owide``, ``-o=wide`` and ``-o wide``."""
    parsed: list[str] = []
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None:
            raise UsageProblem(f"unknown shorthand flag: '{letter}' in {word}", command, hint="flag")
        if letters.startswith("="):
            parsed.append(f"--{flag.long}={letters[1:]}")
            break
        if flag.bare is not None:
            parsed.append(f"--{flag.long}={flag.bare}")
        elif letters:
            parsed.append(f"--{flag.long}={letters}")
            break
        elif rest:
            parsed.append(f"--{flag.long}={rest.pop(0)}")
        else:
            raise UsageProblem(f"flag needs an argument: '{letter}' in {word}", command, hint="flag")
    return parsed
