"""Filters that crun has compiled once, to be used again.

crun compiles a profile anew for every container, which takes it longer than everything else that it does (it has a
cache, but not where it is built without libgcrypt, as Debian's is). What it has compiled lies in its own folder. The
next container with the same profile hands it over by ``run.oci.seccomp_bpf_data`` (crun(1)); ``crun exec`` finds it at
the same place then.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

ANNOTATION = "run.oci.seccomp_bpf_data"
FILE = "seccomp.bpf"
MAX_FILTERS = 64  # one for each set of capabilities, and each profile of the node's own
MAX_BYTES = 4096 * 8  # BPF_MAXINSNS instructions


class Filters:
    """The filters of one runtime; nothing is kept when it ends."""

    def __init__(self, crun_root: Path) -> None:
        self._crun_root = crun_root
        self._known: OrderedDict[str, str] = OrderedDict()

    def use(self, bundle: dict[str, Any]) -> None:
        """Put the compiled filter in the place of a container's profile, if there is one by now."""
        section = bundle["linux"].get("seccomp")
        compiled = self._known.get(_key(section)) if section else None
        if compiled:
            self._known.move_to_end(_key(section))
            del bundle["linux"]["seccomp"]
            bundle.setdefault("annotations", {})[ANNOTATION] = compiled

    def learn(self, bundle: dict[str, Any], container: str) -> None:
        """Keep what crun has compiled for a container that has been started. OSError where it is not to be found."""
        section = bundle["linux"].get("seccomp")
        if not section or _key(section) in self._known:
            return
        with (self._crun_root / container / FILE).open("rb") as file:
            program = file.read(MAX_BYTES + 1)
        if not program or len(program) > MAX_BYTES or len(program) % 8:
            raise OSError(f"{FILE} is no filter: it has {len(program)} bytes")
        self._known[_key(section)] = base64.b64encode(program).decode()
        if len(self._known) > MAX_FILTERS:
            self._known.popitem(last=False)


def _key(section: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()
