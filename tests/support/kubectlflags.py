"""The names of the flags of every command of kubectl: ``tests/unit/kctl/golden/kubectlflags.txt``.

A line is a command, a colon, and its flags. ``python -m tests.support.kubectlflags KUBECTL`` writes it anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parents[1] / "unit" / "kctl" / "golden" / "kubectlflags.txt"
_FLAG = re.compile(r"^    (?:-\w, )?--([a-z0-9-]+)=", re.MULTILINE)
_COMMAND = re.compile(r"^  ([a-z][a-z-]*)  +\S", re.MULTILINE)


def golden() -> dict[str, frozenset[str]]:
    """Read the file."""
    lines = (line.partition(":") for line in FILE.read_text().splitlines())
    return {command: frozenset(flags.split()) for command, _, flags in lines}


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


if __name__ == "__main__":
    FILE.write_text("".join(f"{command}: {' '.join(sorted(flags))}\n" for command, flags in sorted(ask(sys.argv[1]))))
