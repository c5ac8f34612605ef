"""What a container prints until it ends: copied into its log, and to those who are attached to it."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping

from kubelab.runtime.launcher.attached import Attached
from kubelab.runtime.launcher.logsink import LogSink

READS = 16  # of one stream, before the others have their turn


def follow(pid: int, streams: Mapping[int, str], sink: LogSink, attached: Attached) -> int:
    """Copy what is printed until the container ends; give its exit code, 128 + n for a signal n."""
    ended = os.pidfd_open(pid)
    for fd in (*streams, ended):
        os.set_blocking(fd, False)
    open_streams = dict(streams)
    while True:
        ready = _poll(ended, open_streams, attached)
        attached.take(ready)
        for fd in [fd for fd in ready if fd in open_streams]:
            if not _pump(fd, open_streams[fd], sink, attached):
                del open_streams[fd]
        if ended in ready:
            break
    for fd, stream in open_streams.items():
        while _pump(fd, stream, sink, attached, at_end=True):
            pass
    sink.flush()
    while True:  # the container's own children may have become ours as well
        ended_pid, status = os.waitpid(-1, 0)
        if ended_pid == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _poll(ended: int, streams: Mapping[int, str], attached: Attached) -> dict[int, int]:
    """Wait until something happens; gives the descriptors, and what it is."""
    poll, events = select.poll(), {ended: select.POLLIN}
    if not attached.holding_up:
        events.update(dict.fromkeys(streams, select.POLLIN))
    for fd, wanted in attached.interests():
        events[fd] = events.get(fd, 0) | wanted
    for fd, wanted in events.items():
        poll.register(fd, wanted)
    return dict(poll.poll())


def _pump(fd: int, stream: str, sink: LogSink, attached: Attached, *, at_end: bool = False) -> bool:
    """Copy some of what is there now; False at the end of the stream, or ``at_end`` when no more is there."""
    for _ in range(READS):
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return not at_end
        except OSError:  # EIO: a terminal that nobody has open any more
            return False
        if not data:
            return False
        sink.write(stream, data)
        attached.deliver(stream, data)
        if attached.holding_up and not at_end:
            return True
    return True
