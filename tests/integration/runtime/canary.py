"""A folder that nothing may touch, watched by the kernel (fanotify(7)): opening, reading and changing show."""

from __future__ import annotations

import ctypes
import os
import struct
from types import TracebackType

_INIT = 0x2 | 0x1 | 0x200  # FAN_NONBLOCK, FAN_CLOEXEC, FAN_REPORT_FID
_MARK = 0x1 | 0x100  # FAN_MARK_ADD, FAN_MARK_FILESYSTEM
_EVENTS = {
    0x1: "access", 0x2: "modify", 0x4: "attrib", 0x20: "open", 0x40: "moved from", 0x80: "moved to", 0x100: "create",
    0x200: "delete", 0x1000: "open to execute",
}  # fmt: skip
_ON_FOLDERS = 0x40000000
_EVENT = struct.Struct("=IBBHQii")
_libc = ctypes.CDLL(None, use_errno=True)


class Canary:
    """Watches the file system that ``path`` is on, which has to be the canary's own. OSError."""

    def __init__(self, path: str) -> None:
        self._fd = _checked(_libc.fanotify_init(_INIT, os.O_RDONLY), "fanotify_init")
        mask = ctypes.c_uint64(sum(_EVENTS) | _ON_FOLDERS)
        _checked(_libc.fanotify_mark(self._fd, _MARK, mask, -100, os.fsencode(path)), "fanotify_mark")

    def touched(self) -> list[str]:
        """What has happened since: the kinds of events, with the process of each."""
        found: list[str] = []
        while True:
            try:
                events = os.read(self._fd, 65536)
            except BlockingIOError:
                return found
            while events:
                length, _, _, _, mask, _, pid = _EVENT.unpack_from(events)
                found += [f"{name} by {pid}" for bit, name in _EVENTS.items() if mask & bit]
                events = events[length:]

    def __enter__(self) -> Canary:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._fd)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
