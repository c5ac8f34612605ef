"""The process that makes a container a node's machine: prepare → start launcher and agent → become its init.

``python -m kubelab.nodeagent [--config FILE]`` is that process. ``python -m kubelab.nodeagent --relay SOCKET`` carries
bytes between its standard streams and a unix socket in here, and imports nothing else.
"""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:
    if argv[:1] == ["--relay"]:
        from kubelab.nodeagent.relay import relay

        if len(argv) != 2:
            print("usage: python -m kubelab.nodeagent --relay SOCKET", file=sys.stderr)  # noqa: T201
            return 2
        return relay(argv[1])
    from kubelab.nodeagent.init import run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
