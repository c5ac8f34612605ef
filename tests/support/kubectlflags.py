"""The names of the flags of every command of kubectl: ``tests/unit/kctl/golden/kubectlflags.txt``.

A line is a command, a colon, and its flags, as 1.32 has them, which is the version that kctl follows. Behind ``@`` and
a newer version stand the commands whose flags changed, or that came, and without a colon those that went.
``python -m tests.support.kubectlflags`` asks the programs below ``build/clients`` and writes it anew.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.clients.programs import VERSIONS, program

FILE = Path(__file__).parents[1] / "unit" / "kctl" / "golden" / "kubectlflags.txt"
_FLAG = re.compile(r"^    (?:-\w, )?--([a-z0-9-]+)=", re.MULTILINE)
_COMMAND = re.compile(r"^  ([a-z][a-z-]*)  +\S", re.MULTILINE)

Flags = dict[str, frozenset[str]]


def golden(version: str = VERSIONS[0]) -> Flags:
    """Read the file as a version has it."""
    known: Flags = {}
    for line in FILE.read_text().splitlines():
        if line.startswith("@ "):
            if VERSIONS.index(line[2:]) > VERSIONS.index(version):
                break
            continue
        command, colon, flags = line.partition(":")
        if colon:
            known[command] = frozenset(flags.split())
        else:
            del known[command]
    return known


def ask(kubectl: Path | str, command: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Read the help of a command and of those below it."""
    words = command.split()
    done = subprocess.run([kubectl, *words, "--help"], capture_output=True, text=True, check=True, timeout=60)
    if command:
        yield command, frozenset(_FLAG.findall(done.stdout))
    listed = re.split(r"^\S.*Commands.*:$", done.stdout, flags=re.MULTILINE)[1:]
    for section in listed:
        for name in _COMMAND.findall(section.partition("\n\n")[0]):
            yield from ask(kubectl, f"{command} {name}".strip())


def _text() -> Iterator[str]:
    before: Flags = {}
    for version in VERSIONS:
        kubectl = program("kubectl", version)
        if kubectl is None:
            raise SystemExit(f"error: no kubectl of {version}: make build/clients/{version}/kubectl")
        flags = dict(ask(kubectl))
        if before:
            yield f"@ {version}\n"
        for command in sorted(flags.keys() | before.keys()):
            if command not in flags:
                yield f"{command}\n"
            elif flags[command] != before.get(command):
                yield f"{command}: {' '.join(sorted(flags[command]))}\n"
        before = flags


if __name__ == "__main__":
    FILE.write_text("".join([*_text()]))
