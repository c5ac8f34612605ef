"""Making groups, putting processes into them, and taking them away: what the launcher and what it launches do.

A place is a list of levels, from the node's own group downwards, each with its limits::

    kubelab/<cluster>/<node> / kubepods / burstable / pod<uid> / pause
                                                               / <container>

Everything blocks, and raises OSError with the file's name.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelab.linux import syscalls
from kubelab.linux.processes import kill_and_wait
from kubelab.runtime.cgroups import machine
from kubelab.runtime.cgroups.limits import Limits, files, optional
from kubelab.runtime.cgroups.machine import Offer, Tree

ROUNDS = 5  # of killing what is left: what forks meanwhile is killed in the next one


class Group:
    """One group of processes, in each hierarchy that the machine offers; none of them is no error."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._trees = Offer.from_json(request["offer"]).trees
        self._levels: list[tuple[str, Limits]] = [(name, limits) for name, limits in request["levels"]]
        self._place = "/".join(name for name, _ in self._levels)

    def make(self) -> OpenGroup:
        """Make the group and all above it, with their limits. Done before: done again."""
        for tree in self._trees:
            folder = Path(tree.path)
            for depth, (name, limits) in enumerate(self._levels, 1):
                folder /= name
                folder.mkdir(exist_ok=True)
                if tree.version == 2 and depth < len(self._levels):
                    try:
                        machine.hand_on(str(folder), tree.controllers)
                    except machine.Unusable as err:
                        raise OSError(str(err)) from err
                _limit(tree, folder, limits)
        return self.open()

    def open(self) -> OpenGroup:
        """Hold a group that is there."""
        return OpenGroup({tree: _folder(f"{tree.path}/{self._place}") for tree in self._trees}, self._levels[-1][0])

    def remove(self) -> None:
        """Take the group away, with those below it; what is still in it is killed. Nothing there is no error."""
        for tree in self._trees:
            remove(Path(tree.path, self._place))


class OpenGroup:
    """A group by its descriptors: it is good also where the hierarchies are not seen any more."""

    def __init__(self, folders: Mapping[Tree, int], name: str) -> None:
        self._folders, self._name = folders, name

    def enter(self) -> None:
        """Put the calling process, which has one thread, into the group.

        ``tasks`` of version 1 moves a thread. Moving a process (``cgroup.procs``) has the kernel wait until no process
        forks or ends, some 10 ms; version 2 knows no other way.
        """
        for tree, folder in self._folders.items():
            _enter(tree, folder)

    def run(self, path: str, argv: Sequence[str], streams: Sequence[int]) -> int:
        """Start a program in the group, with these descriptors as its first three; gives its pid.

        It is in there before it is what it is, and whatever it forks is in there, too.
        """
        if not self._folders:
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams)]
            return os.posix_spawn(path, [*argv], os.environ, file_actions=actions)
        born = next((folder for tree, folder in self._folders.items() if tree.version == 2), -1)
        pid = syscalls.fork_into(born) if born >= 0 else os.fork()
        if pid == 0:
            try:
                for tree, folder in self._folders.items():
                    if folder != born:
                        _enter(tree, folder)
                for number, fd in enumerate(streams):
                    os.dup2(fd, number)
                os.execv(path, [*argv])
            except OSError as err:
                os.write(streams[2], f"{path}: {err}\n".encode())
            finally:
                os._exit(127)
        return pid

    def subgroup(self, name: str) -> Subgroup:
        """Make a group below, for processes that are to be known apart from the others of this one.

        In version 2 it hands no controllers on, in version 1 it is of ``pids`` alone: what is in it has this group's
        limits, and uses them up together with the others.
        """
        known = next((tree for tree in self._folders if tree.version == 2 or "pids" in tree.controllers), None)
        if known is None:
            return Subgroup(self._folders, name, None)
        os.mkdir(name, dir_fd=self._folders[known])
        return Subgroup({**self._folders, known: _folder(name, self._folders[known])}, name, self._folders[known])

    def oom_kills(self) -> int:
        """How many processes of the group the kernel has killed because memory ran out."""
        for tree, folder in self._folders.items():
            if "memory" in tree.controllers:
                file = "memory.oom_control" if tree.version == 1 else "memory.events"
                for line in _read(file, folder).splitlines():
                    name, _, count = line.partition(" ")
                    if name == "oom_kill":
                        return int(count)
        return 0

    def remove(self) -> None:
        """Take the group away; what is still in it is killed. Nothing there is no error."""
        for folder in self._folders.values():
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
            try:
                _remove(self._name, above)
            finally:
                os.close(above)


class Subgroup(OpenGroup):
    """A group below an open one, ``above``; without any where no hierarchy is good for that: then nothing is known of
    who is in it."""

    def __init__(self, folders: Mapping[Tree, int], name: str, above: int | None) -> None:
        super().__init__(folders, name)
        self._above = -1 if above is None else above

    def kill(self) -> None:
        """Kill all that is in it, and wait until it has ended; nothing is forked there any more."""
        for folder in self._opened():
            for file, word in (("cgroup.kill", b"1"), ("pids.max", b"0")):
                with contextlib.suppress(FileNotFoundError):  # of the other version, or of a kernel before 5.14
                    _write(file, word, folder)
            for _ in range(ROUNDS):  # what forked before that is killed in the next one
                if not (members := _members(folder)):
                    break
                kill_and_wait(members)

    def release(self) -> None:
        """Take it away; what is still in it goes on in the group above."""
        for folder in self._opened():
            for _ in range(ROUNDS):  # what forks meanwhile is moved in the next one
                if not (members := _members(folder)):
                    break
                for pid in members:
                    with contextlib.suppress(ProcessLookupError):
                        _write("cgroup.procs", str(pid).encode(), self._above)
            with contextlib.suppress(OSError):  # what cannot be moved goes with the group above
                os.rmdir(self._name, dir_fd=self._above)

    def _opened(self) -> Iterator[int]:
        """Its folder, once; not where the group has gone meanwhile, together with the one above."""
        if self._above < 0:
            return
        try:
            folder = _folder(self._name, self._above)
        except OSError as err:
            if err.errno in (errno.ENOENT, errno.ENODEV):
                return
            raise
        try:
            yield folder
        finally:
            os.close(folder)


def remove(folder: Path) -> None:
    """Take a group away, with those below it; what is still in it is killed. Nothing there is no error."""
    try:
        above = _folder(str(folder.parent))
    except FileNotFoundError:
        return
    try:
        _remove(folder.name, above)
    finally:
        os.close(above)


def prune(offer: Offer, keep: Collection[str]) -> None:
    """Take away the groups of pods that are not there any more: a runtime was killed before it could."""
    for tree in offer.trees:
        for folder in _pods(Path(tree.path)):
            if str(folder.relative_to(tree.path)) not in keep:
                remove(folder)


def remove_all(offer: Offer, name: str) -> None:
    """Take the node's own groups away, and those above them that ``name`` has and no other program uses."""
    for tree in offer.trees:
        folder = Path(tree.path)
        remove(folder)
        for above in [*folder.parents][: len(Path(name).parts) - 1]:
            with contextlib.suppress(OSError):  # another node's is in there
                above.rmdir()


def _limit(tree: Tree, folder: Path, limits: Limits) -> None:
    for name, value in files(tree.version, tree.controllers, limits):
        try:
            fd = os.open(folder / name, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if optional(name):
                continue
            raise
        try:
            os.write(fd, value.encode())
        except OSError as err:
            raise OSError(err.errno, f"cannot write {value} to {folder / name}: {err.strerror}") from err
        finally:
            os.close(fd)


def _pods(top: Path) -> Iterable[Path]:
    """The groups of pods, of every quality of service."""
    for folder in _below(top / "kubepods"):
        yield from [folder] if folder.name.startswith("pod") else _below(folder)


def _below(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _enter(tree: Tree, folder: int) -> None:
    _write("tasks" if tree.version == 1 else "cgroup.procs", b"0", folder)


def _folder(path: str, above: int | None = None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=above)


def _write(name: str, word: bytes, folder: int) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.write(fd, word)
    finally:
        os.close(fd)


def _read(name: str, folder: int) -> str:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)) as file:
        return file.read()


def _members(folder: int) -> list[int]:
    """The processes in a group; none where it has been taken away meanwhile."""
    try:
        return [int(pid) for pid in _read("cgroup.procs", folder).split()]
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ENODEV):
            return []
        raise


def _remove(name: str, above: int) -> None:
    for rounds in range(ROUNDS, -1, -1):
        try:
            os.rmdir(name, dir_fd=above)
            return
        except FileNotFoundError:
            return
        except OSError as err:
            if err.errno not in (errno.EBUSY, errno.ENOTEMPTY) or not rounds:
                raise
        with contextlib.suppress(FileNotFoundError):
            folder = _folder(name, above)
            try:
                _clear(folder)
            finally:
                os.close(folder)


def _clear(folder: int) -> None:
    """Take away what is below a group, and kill what is in it and wait until it has ended."""
    with os.scandir(folder) as entries:
        below = [entry.name for entry in entries if entry.is_dir()]
    for name in below:
        _remove(name, folder)
    kill_and_wait(int(pid) for pid in _read("cgroup.procs", folder).split())
