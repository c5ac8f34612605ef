"""This machine's architecture by Go's name (``amd64``), which images, nodes and versions use.

https://github.com/opencontainers/image-spec/blob/main/image-index.md#platform-variants
"""

from __future__ import annotations

import platform

_BY_MACHINE = {  # what uname(2) says
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "i386": "386",
    "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64", "loongarch64": "loong64",
}  # fmt: skip


def architecture(machine: str = "") -> str:
    """Give ``amd64`` for ``x86_64`` and so on; a machine that Go has no word for keeps its own. Empty: this one."""
    name = machine or platform.machine()
    return _BY_MACHINE.get(name, name)
