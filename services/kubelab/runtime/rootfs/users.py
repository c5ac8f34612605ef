"""The user of a container: found by name or number in the ``/etc/passwd`` and ``/etc/group`` of its mounted root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubelab.runtime.rootfs.inroot import Root

MAX_ID = 2**31 - 1
MAX_FILE = 16 << 20  # bytes of /etc/passwd or /etc/group


class UnknownUser(OSError):
    """There is no such user or group in the root."""


@dataclass(frozen=True, slots=True)
class Identity:
    """``groups`` are those of ``/etc/group`` that name the user as a member."""

    uid: int
    gid: int
    home: str = "/"
    groups: tuple[int, ...] = ()


def settle(process: dict[str, Any], root: Root) -> None:
    """Replace the name in an OCI ``process.user`` (``username``) by numbers, and set what follows from it. UnknownUser.

    ``gid`` stays where it is given, and the image's groups of the user are added to ``additionalGids`` where they are
    to be merged. The first group is among them: else a file that its members may not read could be read by a process
    that gave it up (CVE-2023-25173). A user that is not root has no capabilities but those to gain; HOME is the user's
    unless it is set.
    """
    user = process["user"]
    identity = find(user.pop("username"), root)
    user["uid"] = identity.uid
    user.setdefault("gid", identity.gid)
    of_image = identity.groups if user.pop("merge") else ()
    user["additionalGids"] = list(dict.fromkeys([user["gid"], *user["additionalGids"], *of_image]))
    if identity.uid:
        process["capabilities"].update(effective=[], permitted=[])
    if not any(text.startswith("HOME=") for text in process["env"]):
        process["env"].append(f"HOME={identity.home}")


def find(text: str, root: Root) -> Identity:
    """``www-data``, ``33``, ``33:33``, ``www-data:staff``. UnknownUser for a name that is not there."""
    name, _, group = text.partition(":")
    entry = _first(root, "/etc/passwd", lambda e: len(e) > 5 and name in (e[0], e[2]) and _are_ids(e[2], e[3]))
    if entry:
        user, uid, gid, home = entry[0], int(entry[2]), int(entry[3]), entry[5] or "/"
    elif name.isdecimal():
        user, uid, gid, home = "", _id(name), 0, "/"
    else:
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    if group.isdecimal():
        gid = _id(group)
    elif group:
        group_entry = _first(root, "/etc/group", lambda e: len(e) > 2 and e[0] == group and _are_ids(e[2]))
        if group_entry is None:
            raise UnknownUser(f"unable to find group {group}: no matching entries in group file")
        gid = int(group_entry[2])
    of_groups = _entries(root, "/etc/group") if user and not group else []
    members = tuple(int(e[2]) for e in of_groups if len(e) > 3 and user in e[3].split(",") and _are_ids(e[2]))
    return Identity(uid, gid, home, members)


def _id(text: str) -> int:
    if not _are_ids(text):
        raise UnknownUser(f"uids and gids must be in range 0-{MAX_ID}: {text}")
    return int(text)


def _are_ids(*texts: str) -> bool:
    return all(text.isdecimal() and len(text) < 11 and int(text) <= MAX_ID for text in texts)


def _first(root: Root, path: str, matches: Callable[[list[str]], bool]) -> list[str] | None:
    return next((entry for entry in _entries(root, path) if matches(entry)), None)


def _entries(root: Root, path: str) -> list[list[str]]:
    """A file's lines by their fields; none where there is no such file, or it cannot be read."""
    try:
        content = root.read(path, MAX_FILE)
    except OSError:
        return []
    return [line.split(":") for line in content.decode(errors="replace").splitlines() if line]
