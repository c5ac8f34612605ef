"""Find clusters of other homes on this machine, for the hint in a "not found" error."""

from __future__ import annotations

import itertools
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUPERVISOR = "kubelab.supervisor"


@dataclass(frozen=True, slots=True)
class Other:
    """A supervisor that runs: its user, its ``KUBELAB_HOME`` and its cluster."""

    user: str
    home: Path
    cluster: str


def running(proc: Path = Path("/proc")) -> Iterator[Other]:
    """Find every supervisor of this machine by its command line, which every user may read."""
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            arguments = (folder / "cmdline").read_text(errors="replace").split("\0")
            user = folder.stat().st_uid
        except OSError:  # it has ended meanwhile
            continue
        options = dict(itertools.pairwise(arguments))
        if options.get("-m") == SUPERVISOR and "--home" in options and "--cluster" in options:
            yield Other(_name(user), Path(options["--home"]), options["--cluster"])


def hint(name: str, home: Path, proc: Path = Path("/proc")) -> str:
    """Say where a cluster of this name runs that is not in ``home``; "" when there is none."""
    twin = next((other for other in running(proc) if other.cluster == name and other.home != home), None)
    if twin is None:
        return ""
    return f'{twin.user} runs a cluster "{name}" in {twin.home}: type the same with sudo KUBELAB_HOME={twin.home}'


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
