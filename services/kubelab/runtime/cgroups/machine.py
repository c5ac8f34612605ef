"""Which control groups this machine lets a node use: version 1, version 2, or each for some controllers (hybrid).

The node's groups are made below the one that the launcher is in, so that limits which that has hold for the node's pods
as well. In version 2 a group that holds processes hands no controllers on: there it is the nearest group above that
does, at last the top.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from kubelab.runtime.cgroups.limits import CONTROLLERS


@dataclass(frozen=True, slots=True)
class Tree:
    """A group of the node's own, in one hierarchy, and the controllers that can be used in it."""

    version: int
    controllers: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Offer:
    """``missing`` says of each controller that cannot be used why."""

    trees: tuple[Tree, ...] = ()
    missing: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(CONTROLLERS, "not looked for"))

    def as_json(self) -> dict[str, Any]:
        """As it travels to and from the launcher, and lies on disk."""
        return {"trees": [asdict(tree) for tree in self.trees], "missing": dict(self.missing)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Offer:
        trees = [Tree(one["version"], tuple(one["controllers"]), one["path"]) for one in document["trees"]]
        return cls(tuple(trees), dict(document["missing"]))


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy; ``root`` is which of its groups is seen at ``at``."""

    version: int
    controllers: frozenset[str]
    root: str
    at: str


class Unusable(Exception):
    """No group can be made in a hierarchy; the message says why."""


def find(name: str, earlier: Offer | None = None, proc: Path = Path("/proc/self")) -> Offer:
    """Make the node's groups, ``name`` (a relative path) below the launcher's own. The ones that are ``earlier`` from a
    runtime before this one are used on, where they are still there: pods may be running in them."""
    if earlier and earlier.trees and all(os.access(tree.path, os.W_OK) for tree in earlier.trees):
        return earlier
    mounts = _mounts((proc / "mountinfo").read_text())
    own_groups = _own(mounts, (proc / "cgroup").read_text())
    trees: list[Tree] = []
    missing: dict[str, str] = {}
    for version, places in _places(mounts, own_groups).items():
        available = [c for c in CONTROLLERS if c in places]
        for groups, controllers in _grouped((places[c], c) for c in available):
            tree, why = _make_most(version, groups, controllers, name)
            trees += [tree] if tree else []
            missing.update(dict.fromkeys(controllers, why))
    offered = {controller for tree in trees for controller in tree.controllers}
    reasons = {c: missing.get(c, "no control groups with it are mounted") for c in CONTROLLERS if c not in offered}
    return Offer(tuple(trees), reasons)


def existing(name: str, proc: Path = Path("/proc/self")) -> list[Path]:
    """Find the groups of this name that were made below this process's own, or above it where that was not possible."""
    mounts = _mounts((proc / "mountinfo").read_text())
    places = _places(mounts, _own(mounts, (proc / "cgroup").read_text()))
    found = {Path(group) / name for groups in places.values() for group in chain.from_iterable(groups.values())}
    return sorted(folder for folder in found if folder.is_dir())


def _mounts(mountinfo: str) -> list[Mount]:
    """What proc(5) says of /proc/PID/mountinfo, as far as it is of control groups."""
    mounts: list[Mount] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words, kind = before.split(), after.split()
        if len(words) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, at = (word.replace("\\040", " ") for word in words[3:5])
        if kind[0] == "cgroup":
            mounts.append(Mount(1, frozenset(kind[2].split(",")) & set(CONTROLLERS), root, at))
        else:
            mounts.append(Mount(2, frozenset(_words(Path(at) / "cgroup.controllers")), root, at))
    return [mount for mount in mounts if Path(mount.at).is_dir()]


def _own(mounts: Sequence[Mount], text: str) -> dict[Mount, str]:
    """The folder of the group that this process is in, by hierarchy (cgroups(7), /proc/PID/cgroup)."""
    groups: dict[Mount, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        named = set(controllers.split(","))
        for mount in mounts:
            if (mount.version == 1 and mount.controllers & named) or (mount.version == 2 and not controllers):
                inside = path.removeprefix(mount.root) if mount.root != "/" else path
                folder = f"{mount.at}/{inside.strip('/')}".rstrip("/")
                groups[mount] = folder if Path(folder).is_dir() else mount.at
    return groups


def _places(mounts: Sequence[Mount], groups: Mapping[Mount, str]) -> dict[int, dict[str, list[str]]]:
    """By version and controller, the groups in which the node's own may be made, the best first."""
    places: dict[int, dict[str, list[str]]] = {1: {}, 2: {}}
    for mount in mounts:
        start = groups.get(mount, mount.at)
        for controller in mount.controllers:
            upwards = [start] if mount.version == 1 else [*_upwards(start, mount.at)]
            places[mount.version].setdefault(controller, upwards)
    return places


def _upwards(start: str, top: str) -> Iterator[str]:
    folder = start
    while folder != top:
        yield folder
        folder = str(Path(folder).parent)
    yield top


def _grouped(places: Iterable[tuple[list[str], str]]) -> list[tuple[list[str], list[str]]]:
    """Controllers that are in the same place, together: ``cpu,cpuacct`` of version 1, all of version 2."""
    by_path: dict[tuple[str, ...], list[str]] = {}
    for folders, controller in places:
        by_path.setdefault(tuple(folders), []).append(controller)
    return [(list(folders), controllers) for folders, controllers in by_path.items()]


def _make_most(version: int, places: Sequence[str], controllers: Sequence[str], name: str) -> tuple[Tree | None, str]:
    """Make the node's group with as many of the controllers as can be had together; and why not with all."""
    why = ""
    for count in range(len(controllers), 0, -1):
        for some in combinations(controllers, count):
            try:
                return _make(version, places, some, name), why
            except Unusable as err:
                why = why or str(err)
    return None, why


def _make(version: int, places: Sequence[str], controllers: Sequence[str], name: str) -> Tree:
    """Make the node's group in the first place where that is possible. Raises Unusable with the last reason."""
    why: Unusable | None = None
    for place in places:
        try:
            if version == 2:
                hand_on(place, controllers)
            return Tree(version, tuple(controllers), make_below(version, place, name, controllers))
        except Unusable as err:
            why = why or err  # of the launcher's own group: the reason that a person can mend
    raise why or Unusable("there is no group to make others in")


def make_below(version: int, place: str, name: str, controllers: Sequence[str]) -> str:
    """Make ``name`` below a group, with all between. Raises Unusable."""
    folder = Path(place)
    for part in Path(name).parts:
        folder /= part
        try:
            folder.mkdir(exist_ok=True)
        except OSError as err:
            raise Unusable(f"{folder} cannot be made: {err.strerror}") from err
        if version == 2:
            hand_on(str(folder), controllers)
    return str(folder)


def hand_on(folder: str, controllers: Sequence[str]) -> None:
    """Let the groups below one of version 2 use these controllers. Raises Unusable."""
    path = Path(folder) / "cgroup.subtree_control"
    lacking = set(controllers) - set(_words(Path(folder) / "cgroup.controllers"))
    if lacking:
        raise Unusable(f"{folder} has no controller {', '.join(sorted(lacking))}")
    missing = [name for name in controllers if name not in _words(path)]
    if not missing:
        return
    try:
        path.write_text(" ".join(f"+{name}" for name in missing))
    except OSError as err:
        busy = " (it holds processes itself)" if err.errno == 16 else ""
        raise Unusable(f"{folder} does not hand on {', '.join(missing)}: {err.strerror}{busy}") from err


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # a group that is going away
        return []
