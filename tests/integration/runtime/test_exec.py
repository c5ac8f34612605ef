"""Exec of the CRI: commands in containers, their streams over SPDY, as a kubelet asks for them."""

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
FOREVER = ["sleep", "infinity"]


@contextlib.asynccontextmanager
async def executing(
    lab: Lab, container: str, *command: str, stdin: bool = False, tty: bool = False
) -> AsyncGenerator[Session]:
    request = cri.ExecRequest(container_id=container, cmd=command, stdin=stdin, stdout=True, stderr=not tty, tty=tty)
    url = (await lab.runtime.Exec(request, timeout=SECONDS)).url
    async with speaking(url, Wanted(stdin, True, not tty, tty)) as session:
        yield session


async def app(lab: Lab) -> str:
    return await lab.run(await lab.sandbox("web"), "app", FOREVER)


async def test_output_and_exit_code(lab: Lab) -> None:
    async with executing(lab, await app(lab), "sh", "-c", "echo out; echo err >&2; exit 3") as session:
        assert await session.end() == 3
    assert (session.stdout, session.stderr) == (b"out\n", b"err\n")
    assert session.status.message == "command terminated with non-zero exit code: exit status 3"


async def test_stdin_ends_by_itself(lab: Lab) -> None:
    container = await app(lab)
    async with executing(lab, container, "sh", "-c", "cat; echo end", stdin=True) as session:
        await session.type("one\n")
        await session.says(b"one\n")
        await session.type("x" * 1_000_000)
        await session.end_of_input()
        assert await session.end() == 0
    assert session.stdout == b"one\n" + b"x" * 1_000_000 + b"end\n"


async def test_a_program_that_is_not_there(lab: Lab) -> None:
    container = await app(lab)
    async with executing(lab, container, "nope") as session:
        told = await session.end()
    assert str(told).endswith(
        'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": executable file not '
        "found in $PATH: unknown"
    )
    with pytest.raises(grpc.aio.AioRpcError, match="executable file not found in"):
        await lab.execute(container, "nope")


async def test_a_terminal(lab: Lab) -> None:
    async with executing(lab, await app(lab), "sh", stdin=True, tty=True) as session:
        await session.resize(101, 37)
        await session.type("PS1=; until stty size | grep 101; do :; done; tty; echo $TERM; echo mark >&2\n")
        await session.says(b"mark\r\n")
        assert b"37 101\r\n" in session.stdout
        assert b"/dev/pts/" in session.stdout
        assert b"xterm\r\n" in session.stdout
        await session.resize(80, 24)
        await session.type("PS1='pro''mpt '; sh -c 'echo asleep; exec sleep 777'\n")
        await session.says(b"asleep\r\n")
        await session.type("\x03")
        await session.says(b"prompt ")
        await session.type("until stty size | grep 80; do :; done; exit 5\n")
        assert await session.end() == 5
        assert b"24 80\r\n" in session.stdout


async def test_what_exec_runs_has_what_the_container_has_and_no_more(lab: Lab) -> None:
    security = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000), no_new_privs=True)
    security.run_as_group.value = 1001
    look = (
        "id -u; id -g; pwd; echo $GREETING; "
        "grep -E '^(CapPrm|CapEff|CapBnd|CapInh|CapAmb|NoNewPrivs|Seccomp|Groups)' /proc/self/status; "
        "readlink /proc/self/ns/*"
    )
    container = await lab.run(
        await lab.sandbox("web"), "app", ["sh", "-c", f"{look}; echo; exec sleep infinity"],
        working_dir="/usr",
        envs=[cri.KeyValue(key="GREETING", value="hello")],
        linux=cri.LinuxContainerConfig(security_context=security),
    )  # fmt: skip
    log = (await lab.status(container)).log_path
    await until(lambda: Path(log).exists() and Path(log).read_text().endswith("F \n"))
    own = [line.split(" ", 3)[3] for line in lab.lines(log)][:-1]
    for tty in (False, True):
        async with executing(lab, container, "sh", "-c", look, tty=tty) as session:
            assert await session.end() == 0
        assert session.stdout.decode().split() == " ".join(own).split()
    assert {"1000", "1001", "/usr", "hello"} <= {*own}


async def test_many_at_once(lab: Lab) -> None:
    container = await app(lab)

    async def one(number: int) -> None:
        async with executing(lab, container, "sh", "-c", f"cat; exit {number}", stdin=True, tty=False) as session:
            await session.type(f"{number}" * 1000)
            await session.end_of_input()
            assert await session.end() == number
        assert session.stdout == f"{number}".encode() * 1000

    await asyncio.gather(*(one(number) for number in range(20)))
    assert (await lab.execute(container, "true")).exit_code == 0
    await until(lambda: "kl-exec" not in lab.processes().values())


DAEMONS = "(setsid sleep 777 & ); sleep 777 & (sleep 777 & exec true); echo ready; {}"


@pytest.mark.parametrize("tty", [False, True])
async def test_nothing_goes_on_when_the_caller_leaves(lab: Lab, tty: bool) -> None:
    container = await app(lab)
    async with executing(lab, container, "sh", "-c", DAEMONS.format("sleep 777"), stdin=True, tty=tty) as session:
        await session.says(b"ready")
    await until(lambda: sorted(lab.processes().values()).count("sleep") == 2)  # the pod's and the container's
    await until(lambda: "kl-exec" not in lab.processes().values())


async def test_nothing_goes_on_when_the_caller_leaves_what_nobody_reads(lab: Lab) -> None:
    """The connection is full of what the command does not read: its end cannot be read from it."""
    container = await app(lab)
    async with executing(lab, container, "sh", "-c", "echo ready; sleep 777", stdin=True) as session:
        await session.says(b"ready")
        flood = asyncio.ensure_future(session.type("x" * 5_000_000))
        await asyncio.wait([flood], timeout=0.2)
        assert not flood.done()
        flood.cancel()
    await until(lambda: sorted(lab.processes().values()).count("sleep") == 2)


async def test_what_a_command_leaves_in_the_background_goes_on(lab: Lab) -> None:
    container = await app(lab)
    async with executing(lab, container, "sh", "-c", "sleep 777 & echo started") as session:
        assert await session.end() == 0
    assert session.stdout == b"started\n"
    left = await lab.execute(container, "sh", "-c", "grep -lz ^777 /proc/[0-9]*/cmdline")
    assert left.exit_code == 0


async def test_a_command_ends_with_its_container(lab: Lab) -> None:
    container = await app(lab)
    async with executing(lab, container, "sh", "-c", "echo ready; sleep 777") as session:
        await session.says(b"ready")
        await lab.stop_container(container)
        assert await session.end() == 137
    with pytest.raises(grpc.aio.AioRpcError, match="is not running"):
        async with executing(lab, container, "true"):
            pass


async def test_nothing_of_the_runtime_is_kept(lab: Lab) -> None:
    container = await app(lab)

    def kept() -> tuple[int, int]:
        threads = len([*Path(f"/proc/{lab.pid}/task").iterdir()])
        return len([*Path(f"/proc/{lab.pid}/fd").iterdir()]), threads

    async def several() -> None:
        for tty in (False, True):
            async with executing(lab, container, "cat", stdin=True, tty=tty) as session:
                await session.type("x\n")
                await session.says(b"x")
            async with executing(lab, container, "nope", tty=tty) as session:
                await session.end()

    await several()
    await until(lambda: "kl-exec" not in lab.processes().values())
    before = kept()
    for _ in range(3):
        await several()
    await until(lambda: kept() <= before)
    assert not [*lab.state.glob("containers/*/console*")]


async def test_a_runtime_that_ends_takes_its_commands_along_and_the_next_one_goes_on(lab: Lab) -> None:
    container = await app(lab)
    async with executing(lab, container, "sh", "-c", DAEMONS.format("sleep 777"), stdin=True) as session:
        await session.says(b"ready")
        await lab.kill()
        with pytest.raises(ConnectionError):
            await session.end()
    await until(lambda: sorted(lab.processes().values()).count("sleep") == 2)
    await lab.start()
    async with executing(lab, container, "echo", "again") as session:
        assert await session.end() == 0
    assert session.stdout == b"again\n"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (cri.ExecRequest(cmd=["true"]), "must be set"),
        (cri.ExecRequest(cmd=["true"], stdout=True, stderr=True, tty=True), "cannot both"),
        (cri.ExecRequest(stdout=True), "expected a command"),
    ],
    ids=["no-stream", "terminal-with-stderr", "no-command"],
)
async def test_what_cannot_be_asked_for(lab: Lab, asked: cri.ExecRequest, words: str) -> None:
    asked.container_id = await app(lab)
    with pytest.raises(grpc.aio.AioRpcError, match=words) as refused:
        await lab.runtime.Exec(asked, timeout=SECONDS)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
