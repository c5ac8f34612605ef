"""Every command of the tree: its flags and the dataclass that they fill name the same things, with the same types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_type_hints

import click
import pytest

from kubelab.kctl.command import GLOBAL_FLAGS, HELP, Command, CommandEntry, options_of
from kubelab.kctl.commonflags import KUSTOMIZE, TEMPLATE_FLAGS
from kubelab.kctl.flags import Flag, Kind
from kubelab.kctl.root import ROOT
from kubelab.kctl.session import ConfigFlags

TYPES: dict[Kind, object] = {
    "bool": bool,
    "csv": tuple[str, ...],
    "duration": float,
    "int": int,
    "list": tuple[str, ...],
    "selector": str,
    "string": str,
}


def tree(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    yield path, command
    for entry in command.children:
        yield from tree(entry.load(), f"{path} {entry.name}")


COMMANDS = dict(tree(ROOT, "kctl"))


def fields_of(flags: tuple[Flag, ...]) -> dict[str | None, object]:
    return {flag.name: TYPES[flag.kind] for flag in flags}


def own_flags(command: Command) -> tuple[Flag, ...]:
    elsewhere = (*GLOBAL_FLAGS, HELP, *(TEMPLATE_FLAGS if command.templated else ()))  # in the value of --output
    if command.kustomizes:  # the command itself refuses it
        elsewhere = (*elsewhere, KUSTOMIZE)
    return tuple(flag for flag in command.flags if flag not in elsewhere)


@pytest.mark.parametrize("path", COMMANDS)
def test_each_option_has_its_flag_and_each_flag_its_option(path: str) -> None:
    command = COMMANDS[path]
    if command.run is None:
        assert command.options is None
        assert command.children
        assert not own_flags(command), "flags that no function reads"
        return
    assert command.options is not None
    assert get_type_hints(command.options) == fields_of(own_flags(command))


@pytest.mark.parametrize("path", COMMANDS)
def test_options_hold_the_defaults_of_a_bare_command_line(path: str) -> None:
    command = COMMANDS[path]
    with click.Context(command, info_name=path) as ctx:
        required = [f"--{flag.long}={'0' if flag.kind == 'int' else ''}" for flag in command.flags if flag.must]
        command.parse_args(ctx, required)
    if command.options is None:
        return
    options = options_of(command.options, ctx.params)
    for name, kind in get_type_hints(command.options).items():
        assert isinstance(getattr(options, name), tuple if kind == tuple[str, ...] else kind), name  # pyright: ignore[reportArgumentType]
    assert command.options.__dataclass_params__.frozen


def test_the_flags_of_all_commands() -> None:
    assert get_type_hints(ConfigFlags) == fields_of(GLOBAL_FLAGS)


def test_the_walk_reaches_every_entry() -> None:
    def entries(command: Command) -> Iterator[CommandEntry]:
        for entry in command.children:
            yield entry
            yield from entries(entry.load())

    assert len(COMMANDS) == 1 + len(list(entries(ROOT)))
    assert {"kctl get", "kctl create service nodeport", "kctl config view", "kctl cluster-info dump"} <= {*COMMANDS}
