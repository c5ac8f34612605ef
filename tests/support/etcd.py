"""A real etcd for tests: one member, or several, on free ports of 127.0.0.1, with client certificates required."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from tests.support.pki import Files, TestAuthority

START_SECONDS = 20.0


@dataclass(slots=True)
class Etcd:
    """``address`` is host:port, ``client`` what an api-server shows it. Its data stay where they are when it dies."""

    address: str
    client: Files
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; RuntimeError with its log when it does not come up."""
        self.begin()
        self.wait_listening()

    def begin(self) -> None:
        """Run it, as one of several that wait for each other."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)

    def wait_listening(self) -> None:
        """Wait for its port; RuntimeError with its log when it does not come up."""
        assert self.process is not None
        _wait_listening(self.process, int(self.address.rpartition(":")[2]), self.log)

    def kill(self) -> None:
        """Let it die without a word, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """Let it stand still with all of its connections open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it for good, if it runs: a graceful end takes it a second, for data that no test will read."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


def missing() -> bool:
    """Whether this machine has no etcd."""
    return shutil.which("etcd") is None


@contextlib.contextmanager
def etcd(folder: Path, authority: TestAuthority, *extra: str) -> Generator[Etcd]:
    """Run one until the body ends."""
    with members(folder, authority, 1, *extra) as (one,):
        yield one


@contextlib.contextmanager
def members(folder: Path, authority: TestAuthority, count: int, *extra: str) -> Generator[tuple[Etcd, ...]]:
    """Run so many members of one cluster until the body ends."""
    server, client = authority.issue("etcd"), authority.issue("kube-apiserver-etcd-client")
    ports = free_ports(2 * count)
    names = ["test"] if count == 1 else [f"test-{n}" for n in range(count)]
    peers = {name: f"http://127.0.0.1:{port}" for name, port in zip(names, ports[count:], strict=True)}
    running: list[Etcd] = []
    for name, port in zip(names, ports, strict=False):
        address = f"127.0.0.1:{port}"
        command = [
            "etcd",
            f"--name={name}",
            f"--data-dir={folder / 'data' / name}",
            f"--listen-client-urls=https://{address}",
            f"--advertise-client-urls=https://{address}",
            f"--listen-peer-urls={peers[name]}",
            f"--initial-advertise-peer-urls={peers[name]}",
            f"--initial-cluster={','.join(f'{one}={url}' for one, url in peers.items())}",
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            f"--trusted-ca-file={server.ca}",
            "--client-cert-auth=true",
            "--unsafe-no-fsync=true",
            "--logger=zap",
            *extra,
        ]
        running.append(Etcd(address, client, command, folder / f"{name}.log"))
    try:
        for one in running:
            one.begin()
        for one in running:
            one.wait_listening()
        yield tuple(running)
    finally:
        for one in running:
            one.end()
        shutil.rmtree(folder / "data", ignore_errors=True)  # 64 MiB of log each, which pytest would keep for three runs


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            one.settimeout(0.05)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise RuntimeError(f"etcd did not start: {log.read_text()[-2000:]}")
