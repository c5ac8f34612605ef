"""Clients of a container's monitor, without a container."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from kubelab.runtime.launcher import attached
from kubelab.runtime.launcher.attached import MAX_WAITING, SIZE, STDIN, STDIN_END, WANTED, Attached, Input
from kubelab.runtime.launcher.console import listen


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


def step(served: Attached) -> None:
    """Carry out all that is due now."""
    while True:
        poll = select.poll()
        for fd, events in served.interests():
            poll.register(fd, events)
        ready = dict(poll.poll(0))
        if not ready:
            return
        served.take(ready)


@contextlib.contextmanager
def client(tmp_path: Path, served: Attached, wanted: bytes) -> Generator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.connect(str(tmp_path / attached.SOCKET))
        link.settimeout(10)
        link.send(WANTED + wanted)
        step(served)
        yield link


@pytest.mark.parametrize("once", [True, False])
def test_stdin_ends_with_its_first_client_only_where_it_is_once(tmp_path: Path, folder: int, once: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    served = Attached(listen(folder, attached.SOCKET, socket.SOCK_SEQPACKET), Input(writing, once=once))
    with client(tmp_path, served, b'["stdout"]') as looking:
        looking.send(STDIN + b"from one who only looks")
        looking.send(STDIN_END)
        step(served)
    step(served)
    with client(tmp_path, served, b'["stdin"]') as typing:
        typing.send(STDIN + b"typed")
        step(served)
        assert os.read(reading, 100) == b"typed"
    step(served)
    if once:
        assert os.read(reading, 100) == b""
    else:
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        os.close(writing)
    served.close()
    os.close(reading)


def test_output_goes_to_all_that_want_it_and_the_end_comes_after_it(tmp_path: Path, folder: int) -> None:
    served = Attached(listen(folder, attached.SOCKET, socket.SOCK_SEQPACKET), Input(-1))
    with client(tmp_path, served, b'["stdout", "stderr"]') as both, client(tmp_path, served, b'["stderr"]') as one:
        served.deliver("stdout", b"out")
        served.deliver("stderr", b"err")
        both.send(SIZE + attached.SIZES.pack(80, 24))  # nothing to resize
        step(served)
        served.close()
        assert [both.recv(100) for _ in range(3)] == [b"oout", b"xerr", b""]
        assert [one.recv(100) for _ in range(2)] == [b"xerr", b""]


def test_a_client_that_does_not_read_holds_up_until_it_reads_or_goes(tmp_path: Path, folder: int) -> None:
    served = Attached(listen(folder, attached.SOCKET, socket.SOCK_SEQPACKET), Input(-1))
    with client(tmp_path, served, b'["stdout"]') as slow:
        sent = 0
        while not served.holding_up:
            served.deliver("stdout", b"x" * 10_000)
            sent += 10_000
        assert sent < 10 * MAX_WAITING
        received = 0
        while received < sent:
            received += len(slow.recv(attached.MAX_PACKET + 1)) - 1
            step(served)
        assert (received, served.holding_up) == (sent, False)
        while not served.holding_up:
            served.deliver("stdout", b"x" * 10_000)
    step(served)
    assert not served.holding_up
    served.close()


def test_what_nobody_reads_is_not_waited_for(tmp_path: Path, folder: int) -> None:
    reading, writing = os.pipe()
    served = Attached(listen(folder, attached.SOCKET, socket.SOCK_SEQPACKET), Input(writing))
    os.close(reading)
    with client(tmp_path, served, b'["stdin"]') as typing:
        typing.send(STDIN + b"typed")
        step(served)
        served.deliver("stdout", b"not wanted")
    step(served)
    served.close()
    os.close(writing)
