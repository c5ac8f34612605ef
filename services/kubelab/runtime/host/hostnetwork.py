"""The way to image registries: a node of a local cluster has no route out of it, the machine around it has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

from kubelab.linux import syscalls

VARIABLE = "KUBELAB_HOST_NETNS"


@contextlib.contextmanager
def host_network() -> Generator[None]:
    """Put the calling thread into the network namespace that the environment names, until the body ends.

    Without one, this node's own network is the way out. Connections and name look-ups of the body count, nothing else.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        yield
        return
    with open("/proc/thread-self/ns/net", "rb") as current, open(path, "rb") as host:  # noqa: PTH123 — only descriptors
        syscalls.setns(host.fileno(), syscalls.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(current.fileno(), syscalls.CLONE_NEWNET)
