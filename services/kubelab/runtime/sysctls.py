"""What a node's network namespace has to be told before it carries traffic of pods."""

from __future__ import annotations

import os
from pathlib import Path

from kubelab.component.config import ConfigError

IPV4 = Path("/proc/sys/net/ipv4")
# Forward; do not drop what comes back another way; do not tell pods of shorter ways that they do not have.
WANTED = {
    "ip_forward": "1",
    "conf/all/rp_filter": "0",
    "conf/default/rp_filter": "0",
    "conf/all/send_redirects": "0",
    "conf/default/send_redirects": "0",
}


class NotWritable(ConfigError):
    """A setting is not as wanted and cannot be changed; the message says which, and what to do."""


def write() -> None:
    """Set what is not set yet. Raises NotWritable."""
    for key, value in WANTED.items():
        path = IPV4 / key
        if path.read_text().strip() == value:
            continue
        try:
            path.write_text(value)
        except OSError as err:
            name = f"net.ipv4.{key.replace('/', '.')}"
            raise NotWritable(
                f"cannot set {name}={value}: {os.strerror(err.errno or 0)}; a container needs it to be a node's "
                f"machine (python -m kubelab.nodeagent), or in a compose file the lines sysctls: {{{name}: {value}}}"
            ) from err
