"""Attach of the CRI: a container's own streams, which its monitor has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.spdy.remotecommand import Wanted
from tests.integration.runtime.lab import SECONDS, Lab, until
from tests.integration.runtime.sessions import Session, speaking

pytestmark = pytest.mark.root
ECHO = ["sh", "-c", "while read line; do echo got $line; echo err $line >&2; done; echo end; exit 6"]
SHELL = ["sh", "-c", "PS1=; export PS1; exec sh -i"]


@contextlib.asynccontextmanager
async def attached(lab: Lab, container: str, *, stdin: bool = True, tty: bool = False) -> AsyncGenerator[Session]:
    request = cri.AttachRequest(container_id=container, stdin=stdin, stdout=True, stderr=not tty, tty=tty)
    url = (await lab.runtime.Attach(request, timeout=SECONDS)).url
    async with speaking(url, Wanted(stdin, True, not tty, tty)) as session:
        yield session


async def started(lab: Lab, command: list[str], *, stdin: bool = True, once: bool = False, tty: bool = False) -> str:
    return await lab.run(await lab.sandbox("web"), "app", command, stdin=stdin, stdin_once=once, tty=tty)


async def logged(lab: Lab, container: str, text: str) -> None:
    log = Path((await lab.status(container)).log_path)
    await until(lambda: text in log.read_text())


async def test_stdin_once_ends_with_its_first_client(lab: Lab) -> None:
    container = await started(lab, ECHO, once=True)
    async with attached(lab, container) as session:
        await session.type("one\n")
        await session.says(b"got one\n")
        await session.end_of_input()
        assert await session.end() == 0
    assert session.stdout == b"got one\nend\n"
    assert session.stderr == b"err one\n"
    assert (await lab.ended(container)).exit_code == 6
    lines = [line.split(" ", 1)[1] for line in lab.lines((await lab.status(container)).log_path)]
    assert sorted(lines) == ["stderr F err one", "stdout F end", "stdout F got one"]


async def test_stdin_once_ends_with_a_client_that_has_gone(lab: Lab) -> None:
    container = await started(lab, ECHO, once=True)
    async with attached(lab, container) as session:
        await session.type("one\n")
        await session.says(b"got one\n")
    assert (await lab.ended(container)).exit_code == 6


async def test_stdin_stays_open_for_the_next_client(lab: Lab) -> None:
    container = await started(lab, ECHO)
    for number in range(3):
        async with attached(lab, container) as session:
            await session.type(f"{number}\n")
            await session.says(f"got {number}\n".encode())
            await session.end_of_input()
            assert await session.end() == 0, "the end of its stdin detaches, as with containerd"
    assert (await lab.status(container)).state == cri.CONTAINER_RUNNING


async def test_all_who_are_attached_see_what_is_printed(lab: Lab) -> None:
    container = await started(lab, ECHO)
    async with attached(lab, container, stdin=False) as looking, attached(lab, container) as typing:
        await typing.type("one\n")
        await typing.says(b"got one\n")
        await looking.says(b"got one\n")
        await looking.type("from one that only looks\n")
        await typing.type("two\n")
        await looking.says(b"two\n")
    await logged(lab, container, "got two")
    assert b"only looks" not in looking.stdout


async def test_a_container_without_stdin_can_be_looked_at(lab: Lab) -> None:
    container = await started(lab, ["sh", "-c", "while :; do echo tick; sleep 0.05; done"], stdin=False)
    async with attached(lab, container) as session:
        await session.says(b"tick\ntick\n")
        await lab.stop_container(container)
        assert await session.end() == 0
    with pytest.raises(grpc.aio.AioRpcError, match="is not running"):
        async with attached(lab, container):
            pass


async def test_a_terminal(lab: Lab) -> None:
    container = await started(lab, SHELL, tty=True)
    async with attached(lab, container, tty=True) as session:
        await session.resize(101, 37)
        await session.type("until stty size | grep 101; do :; done; echo $TERM; sh -c 'echo asleep; exec sleep 777'\n")
        await session.says(b"asleep\r\n")
        assert b"37 101\r\nxterm\r\n" in session.stdout
        await session.type("\x03")
        await session.says(b"^C")
    async with attached(lab, container, tty=True) as session:
        await session.resize(80, 24)
        await session.type("until stty size | grep 80; do :; done; echo a''gain\n")
        await session.says(b"again\r\n")
        assert b"24 80\r\n" in session.stdout
        await session.type("exit 3\n")
        assert await session.end() == 0
    assert (await lab.ended(container)).exit_code == 3
    text = Path((await lab.status(container)).log_path).read_bytes()
    assert b" stdout F 24 80\r\n" in text
    assert b" stderr " not in text


async def test_a_terminal_nobody_is_attached_to_is_logged(lab: Lab) -> None:
    script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; ls -l /dev/console; exit 4"
    container = await started(lab, ["sh", "-c", script], stdin=False, tty=True)
    assert (await lab.ended(container)).exit_code == 4
    assert "stdout F terminal" in "\n".join(lab.lines((await lab.status(container)).log_path))


async def test_a_client_that_does_not_read_loses_nothing_and_frees_the_container_when_it_goes(lab: Lab) -> None:
    size = 5_000_000
    script = f"read line; head -c {size} /dev/zero | tr '\\0' x; echo; echo done; exec sleep infinity"
    container = await started(lab, ["sh", "-c", script])
    async with attached(lab, container) as slow, attached(lab, container) as session:
        await session.type("\n")
        await asyncio.wait([quick := asyncio.ensure_future(session.says(b"done\n"))], timeout=0.5)
        assert not quick.done(), "the container waits for the one who does not read"
        await slow.says(b"done\n")
        await quick
        assert len(slow.stdout) == len(session.stdout) == size + len(b"\ndone\n")
    container = await lab.run(
        await lab.sandbox("other"), "other", ["sh", "-c", script.replace("exec sleep", "sleep")], stdin=True
    )
    async with attached(lab, container) as leaves:
        await leaves.type("\n")
        await leaves.says(b"x")
    await logged(lab, container, "done")


async def test_containers_go_on_without_the_runtime_and_can_be_attached_to_again(lab: Lab) -> None:
    container = await started(lab, SHELL, tty=True)
    async with attached(lab, container, tty=True) as session:
        await session.type("mark=kept; echo ready\n")
        await session.says(b"ready\r\n")
        await lab.kill()
        with pytest.raises(ConnectionError):
            await session.end()
    await lab.start()
    async with attached(lab, container, tty=True) as session:
        await session.type("echo mark is $mark\n")
        await session.says(b"mark is kept\r\n")
    assert (await lab.status(container)).state == cri.CONTAINER_RUNNING


async def test_nothing_is_kept_of_clients_that_have_gone(lab: Lab) -> None:
    container = await started(lab, ECHO)
    monitor = lab.started(container)["monitor"]

    def kept() -> tuple[int, int]:
        runtime, own = Path(f"/proc/{lab.pid}/fd"), Path(f"/proc/{monitor}/fd")
        return len([*runtime.iterdir()]), len([*own.iterdir()])

    async def one() -> None:
        async with attached(lab, container) as session:
            await session.type("x\n")
            await session.says(b"got x\n")

    await one()
    before = kept()
    for _ in range(5):
        await one()
    await until(lambda: kept() <= before)
