"""Pods with users of their own (``hostUsers: false``): user namespaces, and files that look owned by them.

The process that holds a pod's namespaces makes the user namespace first, so that the pod's other namespaces belong to
it (user_namespaces(7)). The pod's user 0 is ``base`` on the machine, 1 is ``base + 1``, up to 65,535; the kubelet
chooses the base. Files of layers, of the host's folders and of volumes keep their owners on disk: they are seen through
idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP), and what the pod writes into its own layer belongs to the base.

Needs Linux 5.19 (idmapped layers below overlay) and file systems that can be idmapped: not those of a machine whose
folders lie on an overlay, such as a node that is a container. :func:`problem` tries it.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.linux import syscalls

if TYPE_CHECKING:
    from kubelab.runtime.rootfs.inroot import Root

LENGTH = 65_536  # of every pod's range, as upstream's kubelet has it
PLACES = "/sys/fs/cgroup"  # a tmpfs of the monitor's own (launched.own_mounts); a pod's root user can walk to it


class Users(NamedTuple):
    """A pod's users. ``base`` is the pod's root on the machine, ``space`` the file of the namespace."""

    base: int
    space: str

    @classmethod
    def of_request(cls, request: Mapping[str, Any] | None) -> Users | None:
        """As a launcher's request carries it."""
        return cls(request["base"], request["space"]) if request else None

    def as_request(self) -> dict[str, object]:
        return self._asdict()


def base_of(config: cri.PodSandboxConfig) -> int:
    """The first number of a pod's range on the machine; 0 for a pod with the machine's users. ValueError for a mapping
    that is not one range of 65,536, the same for users and groups."""
    options = config.linux.security_context.namespace_options.userns_options
    if options.mode != cri.POD or not (options.uids or options.gids):
        return 0
    if list(options.uids) != list(options.gids) or len(options.uids) != 1:
        raise ValueError("userns_options: expected one mapping, the same for users and groups")
    (mapping,) = options.uids
    if mapping.container_id != 0 or mapping.length != LENGTH or not LENGTH <= mapping.host_id <= 2**32 - 2 * LENGTH:
        raise ValueError(f"userns_options: expected {LENGTH} ids from 0 of the pod, from {LENGTH} of the machine")
    return mapping.host_id


def enter(base: int) -> None:
    """Make a user namespace and be in it, still with the machine's user: see :func:`become_root`. OSError."""
    parent = os.getpid()
    ready, go = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:  # the maps are written from outside, by a process with rights there
        code = 1
        try:
            os.close(go)
            if os.read(ready, 1):
                for name in ("uid_map", "gid_map"):
                    Path(f"/proc/{parent}/{name}").write_text(f"0 {base} {LENGTH}")
                code = 0
        finally:
            os._exit(code)
    os.close(ready)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        os.write(go, b"x")
    finally:
        os.close(go)
        ended = os.waitpid(child, 0)[1]
    if ended:
        raise OSError("the user namespace's ids cannot be mapped")


def become_root() -> None:
    """Be the namespace's root, which is an unprivileged user of the machine."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def idmapped(fd: int, users: Users, name: str) -> int:
    """Mount what a descriptor is of at a place of the monitor's own, with the pod's users; gives a descriptor of that.
    OSError where the file system cannot be."""
    is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    place = Path(PLACES, "idmapped", name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir() if is_folder else place.touch()
    space = os.open(users.space, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.mount_idmapped(fd, space, str(place))
    except OSError as err:
        raise OSError(err.errno, f"failed to set MOUNT_ATTR_IDMAP on {name}: {os.strerror(err.errno or 0)}") from err
    finally:
        os.close(space)
    return os.open(place, os.O_PATH | os.O_CLOEXEC)


def adapt(bundle: dict[str, Any], users: Users) -> None:
    """Have a container's bind mounts seen with the pod's users. OSError for one that cannot be."""
    for number, mount in enumerate(bundle["mounts"]):
        if mount["type"] != "bind":
            continue
        source = os.open(mount["source"], os.O_PATH | os.O_CLOEXEC)
        try:
            os.close(idmapped(source, users, f"mount-{number}"))
        except OSError as err:
            raise OSError(err.errno, f"{mount['destination']}: {err.strerror}") from err
        finally:
            os.close(source)
        mount["source"] = f"{PLACES}/idmapped/mount-{number}"


def problem(mount: Callable[[Users], Root]) -> str:
    """Try all that such a pod takes, in a process that ends afterwards; gives why it cannot be, or nothing.

    ``mount`` mounts a root that shows the host's folders to these users.
    """
    ready, ready_end = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_probed(ready_end, parent)
    os.close(ready_end)
    try:
        why = os.read(ready, 4096).decode(errors="replace")
        if why != "ready":
            return why or "a user namespace cannot be made"
        users = Users(LENGTH, f"/proc/{pid}/ns/user")
        with mount(users) as root:
            owner = root.stat("usr").st_uid if root.exists("usr") else LENGTH
        return "" if owner == LENGTH else "the host's folders are not seen with the pod's users"
    except OSError as err:
        return err.strerror or str(err)
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be_probed(tell: int, parent: int) -> NoReturn:
    """Make the namespaces of a pod, mount what its containers do, and wait to be killed, or for the parent's end."""
    try:
        enter(LENGTH)
        syscalls.unshare(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        syscalls.die_with_parent()  # not before: the kernel forgets it when a namespace gives new capabilities
        if os.getppid() != parent:
            os._exit(1)
        if os.fork() == 0:  # the first process of the namespace of processes, which /proc shows
            try:
                become_root()
                syscalls.mount("proc", "/proc", "proc")
                os.write(tell, b"ready")
            except OSError as err:
                os.write(tell, (err.strerror or "").encode())
            os._exit(0)
        os.wait()
        signal.pause()
    except OSError as err:
        os.write(tell, (err.strerror or "").encode())
    finally:
        os._exit(1)
