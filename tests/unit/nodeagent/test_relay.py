"""Bytes between standard streams and a unix socket: halves end one by one, and nobody waits for who has gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SECONDS = 20.0
Serve = Callable[[Callable[[socket.socket], None]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def serve(path: Path) -> Iterator[Serve]:
    """Serve one connection by a function, in a thread."""
    threads: list[threading.Thread] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def start(body: Callable[[socket.socket], None]) -> None:
        def accept() -> None:
            with listener.accept()[0] as link:
                body(link)

        threads.append(threading.Thread(target=accept))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    listener.close()


def start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kubelab.nodeagent", "--relay", str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def everything(link: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := link.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_an_answer_comes_after_the_question_has_ended(path: Path, serve: Serve) -> None:
    question = os.urandom(3 << 20)
    serve(lambda link: link.sendall(everything(link)))
    answer, told = start(path).communicate(question, SECONDS)
    assert (answer == question, told) == (True, b"")


def test_a_server_that_has_said_all_may_still_listen(path: Path, serve: Serve) -> None:
    heard: list[bytes] = []

    def body(link: socket.socket) -> None:
        link.sendall(b"all")
        link.shutdown(socket.SHUT_WR)
        heard.append(everything(link))

    serve(body)
    process = start(path)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.read() == b"all"
    process.stdin.write(b"more")
    process.stdin.close()
    assert process.wait(SECONDS) == 0
    process.stdout.close()
    if process.stderr:
        process.stderr.close()
    assert heard == [b"more"]


def test_it_ends_with_the_server_although_input_goes_on(path: Path, serve: Serve) -> None:
    serve(lambda link: link.sendall(b"bye"))
    process = start(path)
    assert process.wait(SECONDS) == 0
    assert process.communicate()[0] == b"bye"


def test_it_ends_when_nobody_reads(path: Path, serve: Serve) -> None:
    ended: list[bool] = []

    def body(link: socket.socket) -> None:
        try:
            while True:
                link.sendall(b"x" * 65536)
        except OSError:
            ended.append(True)

    serve(body)
    process = start(path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(SECONDS) == 0
    for pipe in (process.stdin, process.stderr):
        if pipe:
            pipe.close()


def test_nobody_listens(path: Path) -> None:
    process = start(path)
    answer, told = process.communicate(b"", SECONDS)
    assert (process.returncode, answer) == (1, b"")
    assert told.decode() == f"cannot reach {path}: No such file or directory\n"


def test_it_imports_nothing_large() -> None:
    look = "import sys, kubelab.nodeagent.__main__, kubelab.nodeagent.relay; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert not {"grpc", "google.protobuf", "asyncio", "yaml", "structlog"} & set(modules)
