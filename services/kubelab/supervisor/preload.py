"""Imports for all components of a local cluster, made once: forks of this process share the memory that this takes.

A page is shared until a process writes to it. So the garbage collector is kept away from what has been imported, and
the free places between imported objects are taken: a fork would put its first objects there, one or two on each page.
"""

from __future__ import annotations

import gc
import importlib
import sys

# What Python's allocator has for objects of a few sizes, each in pages of its own: multiples of 16 up to 512 bytes.
# Of each size a few hundred places are free after the imports.
_SIZES = range(48, 513, 16)
_PLACES = 400

_taken: list[bytes] = []


def preload() -> None:
    """Import every component's module. One that fails is reported on stderr; its own process will fail with it."""
    from kubelab.supervisor import plan

    for module in (*plan.MODULES.values(), plan.TUNNELS_MODULE, "kubelab.supervisor.rpc", "kubelab.component.logs"):
        try:
            importlib.import_module(module)
        except Exception as err:  # noqa: BLE001 — its own process will fail with it, and say so in its own log
            print(f"{module} cannot be imported: {err!r}", file=sys.stderr)  # noqa: T201
    share()


def share() -> None:
    """Prepare what is in memory for forks. Objects that are made from now on do not lie among those of before."""
    gc.collect()
    empty = sys.getsizeof(b"")
    for size in _SIZES:
        _taken.extend(bytes(size - empty) for _ in range(_PLACES))
    gc.freeze()
