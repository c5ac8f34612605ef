"""Plugins: programs on PATH named ``kctl-NAME`` or ``kubectl-NAME``, and ``kctl plugin list``.

A word that is no command of kctl's, with the words behind it up to the first flag, names a plugin: ``kctl foo bar`` is
``kctl-foo-bar`` if there is one, else ``kctl-foo`` with the argument ``bar``. A dash within a word is an underscore in
the file's name (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command, CommandEntry, unexpected
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

PREFIXES = ("kctl", "kubectl")


def find(argv: Sequence[str], path: str | None) -> list[str] | None:
    """Give the command line of the plugin that words name: its program and the arguments. None when there is none."""
    words: list[str] = []
    for word in argv:
        if word.startswith("-"):
            break
        words.append(word.replace("-", "_"))
    for count in range(len(words), 0, -1):
        for prefix in PREFIXES:
            name = "-".join([prefix, *words[:count]])
            if "/" not in name and (program := shutil.which(name, path=path)):
                return [program, *argv[count:]]
    return None


def run(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become the plugin: its exit code and its signals are kctl's."""
    sys.stdout.flush()
    os.execve(command[0], list(command), dict(environ))


@dataclass(frozen=True, slots=True)
class ListOptions:
    name_only: bool


def _list(session: Session, args: tuple[str, ...], options: ListOptions) -> int:
    unexpected(session, args)
    found = on_path(session.factory.environ.get("PATH", ""))
    if not found:
        raise Failed("error: unable to find any kubectl plugins in your PATH")
    print("The following compatible plugins are available:\n")
    warnings = 0
    seen: dict[str, Path] = {}
    for plugin in found:
        print(escaped(plugin.name if options.name_only else str(plugin)), flush=True)
        for warning in _warnings(plugin, seen):
            print(f"  - {escaped(warning)}", file=sys.stderr, flush=True)
            warnings += 1
        seen.setdefault(plugin.name, plugin)
    if warnings:
        count = "one plugin warning was" if warnings == 1 else f"{warnings} plugin warnings were"
        raise Failed(f"error: {count} found")
    return 0


def on_path(path: str) -> list[Path]:
    """Give the files on a PATH whose names are those of plugins, in the order in which they count."""
    found: list[Path] = []
    for folder in dict.fromkeys(filter(None, path.split(os.pathsep))):
        try:
            names = sorted(file.name for file in Path(folder).iterdir())
        except OSError:
            continue  # as a shell: a folder of PATH need not exist
        prefixes = tuple(f"{prefix}-" for prefix in PREFIXES)
        found += [Path(folder, name) for name in names if name.startswith(prefixes)]
    return [file for file in found if not file.is_dir()]


def _warnings(plugin: Path, seen: Mapping[str, Path]) -> list[str]:
    """Say why a plugin does not run when its name is typed, in kubectl's words."""
    from kubelab.kctl.root import ROOT

    warnings: list[str] = []
    words = plugin.name.split("-")[1:]
    command: Command | None = ROOT
    for place, word in enumerate(words):
        entry = command.child(word) if command else None
        if entry is None:
            break
        command = entry.load()
        if place == len(words) - 1:
            warnings.append(f'warning: {plugin.name} overwrites existing command: "kctl {" ".join(words)}"')
    if not os.access(plugin, os.X_OK):
        warnings.append(f"warning: {plugin} identified as a kubectl plugin, but it is not executable")
    if plugin.name in seen:
        warnings.append(f"warning: {plugin} is overshadowed by a similarly named plugin: {seen[plugin.name]}")
    return warnings


LIST = Command(
    "list",
    run=_list,
    options=ListOptions,
    flags=(
        Flag(
            "--name-only",
            kind="bool",
            help="If true, display only the binary name of each plugin, rather than its full path",
        ),
    ),
    about="List all available plugin files on a user's PATH. To see plugins binary names without the full path use "
    "--name-only flag.\n\n Available plugin files are those that are: - executable - anywhere on the user's PATH - "
    'begin with "kctl-" or "kubectl-"',
    examples="""\
# List all available plugins
kctl plugin list

# List only binary names of available plugins without paths
kctl plugin list --name-only""",
    usage="kctl plugin list [flags]",
)
PLUGIN = Command(
    "plugin",
    children=(CommandEntry("list", "List all visible plugin executables on a user's PATH", "plugins:LIST"),),
    about="Provides utilities for interacting with plugins.\n\n Plugins provide extended functionality that is not "
    "part of the major command-line distribution: a program kctl-NAME or kubectl-NAME on the PATH runs as kctl NAME.",
    examples="""\
# List all available plugins
kctl plugin list""",
    usage="kctl plugin [flags]",
)
