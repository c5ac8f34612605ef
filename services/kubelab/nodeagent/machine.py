"""Make a container (or a machine) ready to run pods; an error about a missing part names the line that provides it.

Each step may be done again at any time. What needs mounts is done by a short-lived process in a mount namespace of its
own: nothing of it is seen afterwards.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from kubelab.linux import syscalls
from kubelab.runtime.launcher import server as launcher
from kubelab.runtime.network import nft, sysctls
from kubelab.topology import listeners

NEEDED = {"SYS_ADMIN": 21, "NET_ADMIN": 12}  # capability(7), numbers of linux/capability.h
_UNCONFINED = "security_opt: [seccomp:unconfined, apparmor:unconfined]"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B


class PreparationError(Exception):
    """This machine cannot become a node; the message has the reason and the remedy."""


def prepare(state_dir: Path, folders: Sequence[Path]) -> None:
    """Check what pods need, set the network up and make ``folders``. Raises PreparationError."""
    check_capabilities(Path("/proc/self/status").read_text())
    for folder in (state_dir, *folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.joinpath(".writable").touch()
            folder.joinpath(".writable").unlink()
        except OSError as err:
            message = f'cannot write to {folder}: {err.strerror}; in a compose file: volumes: ["NAME:{folder}"]'
            raise PreparationError(message) from err
    loopback_up()
    probe = Path(tempfile.mkdtemp(prefix="probe-", dir=state_dir))
    try:
        _in_child(lambda: _with_mounts(probe))
    finally:
        shutil.rmtree(probe)


def check_capabilities(status: str) -> None:
    """Look at ``CapEff`` of a ``/proc/PID/status``. Raises PreparationError."""
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    effective = int(line.split()[1], 16)
    missing = [f"CAP_{name}" for name, bit in NEEDED.items() if not effective & 1 << bit]
    if missing:
        raise PreparationError(
            f"{', '.join(missing)}: not permitted here, and pods need it; in a compose file this service needs "
            f"cap_add: [{', '.join(NEEDED)}]"
        )


def bound_listeners() -> None:
    """Bound the connections to this node's own ports, by source. MachineError where the kernel cannot."""
    try:
        nft.apply(listeners.limits(own_network()))
    except OSError as err:
        raise PreparationError(f"connections to this node's own ports are not bounded by source: {err}") from err


def own_network(device: str = "eth0") -> IPv4Network:
    """The network that this machine shares with the other nodes. OSError when it has none."""
    request = struct.pack("256s", device.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        address, mask = (fcntl.ioctl(any_socket, number, request)[20:24] for number in (_SIOCGIFADDR, _SIOCGIFNETMASK))
    return IPv4Network((address, socket.inet_ntoa(mask)), strict=False)


def loopback_up() -> None:
    """Bring ``lo`` up in this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        if not flags & _IFF_UP:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _with_mounts(probe: Path) -> None:
    """Write settings through a /proc that is not read-only, as a container's own is, and try an overlay."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.make_mounts_private()
        syscalls.mount("proc", "/proc", "proc")
    except OSError as err:
        raise PreparationError(
            f"mounts are not permitted here, and pods need them: {err.strerror}; in a compose file this service needs "
            f"{_UNCONFINED}"
        ) from err
    try:
        syscalls.join_session_keyring()
    except PermissionError as err:  # what Docker's own filter refuses, and crun asks for
        message = f"a keyring is not permitted here, and each container has one; in a compose file: {_UNCONFINED}"
        raise PreparationError(message) from err
    try:
        sysctls.write()
    except sysctls.NotWritable as err:
        raise PreparationError(str(err)) from err
    folders = {name: probe / name for name in ("lower", "upper", "work", "root")}
    for folder in folders.values():
        folder.mkdir()
    options = ",".join(f"{name}dir={folders[name]}" for name in ("lower", "upper", "work"))
    try:
        syscalls.mount("overlay", str(folders["root"]), "overlay", 0, options)
    except OSError as err:
        raise PreparationError(
            f"an overlay cannot be mounted on {probe.parent}: {err.strerror}; in a container it has to be on a volume, "
            f'in a compose file: volumes: ["NAME:{probe.parent.parent}"]'
        ) from err


def _in_child(work: Callable[[], None]) -> None:
    """Run a function in a process of its own. Raises PreparationError with its message."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:

        def say() -> None:
            try:
                work()
            except PreparationError as err:
                os.write(write_fd, str(err).encode())
                raise SystemExit from err  # the parent prints it; no traceback is needed
            os.write(write_fd, b"ok")

        launcher.leave(say)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    if answer != "ok":
        raise PreparationError(answer or "this machine cannot be prepared; see the traceback above")
