"""Find clusters of other homes on this machine, for the error of a home that has no such cluster."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The title that every supervisor gives itself; its command line as it was started is written over.
TITLE = re.compile(r"kubelab: supervisor (?P<cluster>\S+) in (?P<home>.+)")


@dataclass(frozen=True, slots=True)
class Other:
    """A supervisor that runs: its user, its ``KUBELAB_HOME`` and its cluster."""

    user: str
    home: Path
    cluster: str


def running(proc: Path = Path("/proc")) -> Iterator[Other]:
    """Find every supervisor of this machine by its title, which every user may read."""
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            title = (folder / "cmdline").read_text(errors="replace").rstrip("\0 ")
            user = folder.stat().st_uid
        except OSError:  # it has ended meanwhile
            continue
        if found := TITLE.fullmatch(title):
            yield Other(_name(user), Path(found["home"]), found["cluster"])


def elsewhere(name: str, home: Path, proc: Path = Path("/proc")) -> str:
    """Say whose cluster of this name runs outside ``home``, and how it is reached; "" when there is none."""
    twin = next((other for other in running(proc) if other.cluster == name and other.home != home), None)
    if twin is None:
        return ""
    own = twin.user == _name(os.geteuid())
    whose, reach = ("yours", "") if own else (f"{twin.user}'s", "sudo ")
    return f'cluster "{name}" is {whose}, in {twin.home}: type the same with {reach}KUBELAB_HOME={twin.home}'


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
