"""``python -m kubelab.pki``: make certificates and configuration for a cluster of containers.

It may run again at any time: valid files stay, missing ones are made. The stamp of the version that made them
is kept; a later version with another layout raises an error instead of mixing the two.

With ``--keep`` it stays until SIGTERM, and renews each certificate before its end, in a cluster that runs. A lock on
the authority's folder keeps a second one waiting, such as the one that ``docker compose up`` runs once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import fcntl
import ipaddress
import os
import platform
import signal
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.component import logs
from kubelab.files import atomicfile
from kubelab.pki import certificates, layout, renewal

LAYOUT = "1"  # of what stands in the volumes; raised when an older one cannot be used
STAMP = "layout"


class StampError(Exception):
    """The volumes belong to another version; the message says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make everything; gives the exit code."""
    options = _options(argv)
    cluster = layout.CertificateLayout(options.network, options.control_planes, options.workers)
    out: Path = options.out
    now = datetime.datetime.fromtimestamp(SystemClock().time(), datetime.UTC)
    try:
        make(out, cluster, now)
    except (OSError, StampError) as err:
        print(f"pki: {err}", file=sys.stderr)  # noqa: T201 — this is its log
        return 1
    print(f"pki: {GIT_VERSION}: certificates of {cluster.control_planes} + {cluster.workers} nodes are there")  # noqa: T201
    if options.keep:
        asyncio.run(keep(out, cluster))
    return 0


def make(out: Path, cluster: layout.CertificateLayout, now: datetime.datetime) -> None:
    """Make what is missing, of authorities too. Raises OSError, and StampError for another version's volumes."""
    authority = out / "authority"
    check_stamp(authority)
    with locked(authority):
        certificates.ensure(authority, cluster.nodes, now, cluster.names)
        write_all(out, cluster)
        for n in range(1, cluster.workers + 1):
            (out / f"node-{n}" / "run").mkdir(exist_ok=True, mode=0o700)


async def keep(out: Path, cluster: layout.CertificateLayout) -> None:
    """Renew certificates before their end, and hand them out, until SIGTERM."""
    loop, stop, clock = asyncio.get_running_loop(), asyncio.Event(), SystemClock()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = logs.configure("pki", level="info", form="text", clock=clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(renewal.keep(lambda now: renew(out, cluster, now), clock, log), name="renewal")
        await stop.wait()
        task.cancel()


def renew(out: Path, cluster: layout.CertificateLayout, now: datetime.datetime) -> certificates.Renewed:
    """Make anew what is near its end, and give every process its own. What a full disk kept back last time is handed
    out, too. Raises OSError."""
    authority = out / "authority"
    with locked(authority):
        renewed = certificates.renew(authority, cluster.nodes, now, cluster.names)
        write_all(out, cluster)
    return renewed


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Lock a folder, waiting for another process that has it (flock(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_all(out: Path, cluster: layout.CertificateLayout) -> None:
    """Give every process its folder."""
    for folder in layout.folders(cluster):
        write(out, out / "authority", folder)


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
            old.unlink()  # from an earlier version, and still valid: remove it
    files = {name: text.encode() for name, text in folder.texts.items()}
    files |= {name: (authority / source).read_bytes() for name, source in folder.copies.items()}
    for name, data in files.items():
        if (path := target / name).exists() and path.read_bytes() == data:
            continue
        atomicfile.write(target / name, data, mode=0o600, owner=(folder.owner, folder.owner))
    os.chown(target, folder.owner, folder.owner)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kubelab.pki", description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("/pki"), help="where the volumes are mounted")
    parser.add_argument("--network", type=ipaddress.IPv4Network, default=ipaddress.IPv4Network("192.168.49.0/24"))
    parser.add_argument("--control-planes", type=int, default=3, help="how many there may be")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="stay, and renew certificates before their end")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
