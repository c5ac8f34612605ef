"""``python -m kubelab.pki``: certificates and configuration for a cluster of containers; done when they are there.

It may run again at any time: what is there and valid stays, what is missing is made. The stamp of the version that
began is kept; a later one that lays things out differently says so instead of mixing the two.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.pki import certificates, layout

LAYOUT = "1"  # of what stands in the volumes; raised when an older one cannot be used
STAMP = "layout"


class StampError(Exception):
    """The volumes belong to another version; the message says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make everything; gives the exit code."""
    options = _options(argv)
    cluster = layout.Cluster(options.network, options.control_planes, options.workers)
    authority: Path = options.out / "authority"
    now = datetime.datetime.fromtimestamp(SystemClock().time(), datetime.UTC)
    try:
        check_stamp(authority)
        certificates.ensure(authority, cluster.nodes, now, cluster.names)
        for folder in layout.folders(cluster):
            write(options.out, authority, folder)
        for n in range(1, cluster.workers + 1):
            (options.out / f"node-{n}" / "run").mkdir(exist_ok=True, mode=0o700)
    except (OSError, StampError) as err:
        print(f"pki: {err}", file=sys.stderr)  # noqa: T201 — this is its log
        return 1
    print(f"pki: {GIT_VERSION}: certificates of {cluster.control_planes} + {cluster.workers} nodes are there")  # noqa: T201
    return 0


def check_stamp(authority: Path) -> None:
    """Leave a stamp, or look at the one that is there. Raises StampError when it is another version's."""
    stamp = authority / STAMP
    here = f"{LAYOUT} {platform.machine()}"
    if not stamp.exists():
        authority.mkdir(parents=True, exist_ok=True, mode=0o700)
        stamp.write_text(f"{here} {GIT_VERSION}\n")
        return
    version, machine, made_by = [*stamp.read_text().split(), "", "", ""][:3]
    if machine != platform.machine():
        raise StampError(
            f"these volumes are of a {machine or 'nameless'} machine, and this image is for {platform.machine()}: "
            "build the images on this machine (docker compose build), and begin anew: docker compose down --volumes"
        )
    if version != LAYOUT:
        raise StampError(
            f"these volumes were laid out by kubelab {made_by or 'of another version'} (layout {version or '?'}), "
            f"and this is {GIT_VERSION} (layout {LAYOUT}): begin anew (docker compose down --volumes deletes every "
            "object), or go back to that version"
        )


def write(out: Path, authority: Path, folder: layout.Folder) -> None:
    """Put a process's files where only it may read them."""
    target = out / folder.path
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in (*target.glob("*.crt"), *target.glob("*.key")):
        if old.name not in folder.copies:
            old.unlink()  # of an earlier version, and still good for whoever finds it
    files = {name: text.encode() for name, text in folder.texts.items()}
    files |= {name: (authority / source).read_bytes() for name, source in folder.copies.items()}
    for name, data in files.items():
        temporary = target / f".{name}"
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        os.chown(temporary, folder.owner, folder.owner)
        temporary.replace(target / name)
    os.chown(target, folder.owner, folder.owner)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kubelab.pki", description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("/pki"), help="where the volumes are mounted")
    parser.add_argument("--network", type=ipaddress.IPv4Network, default=ipaddress.IPv4Network("192.168.49.0/24"))
    parser.add_argument("--control-planes", type=int, default=3, help="how many there may be")
    parser.add_argument("--workers", type=int, default=3)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
