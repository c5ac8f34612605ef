"""A real etcd for tests: one member on free ports of 127.0.0.1, with client certificates required."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from kubelab.testing.pki import Files, TestAuthority

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Etcd:
    """``address`` is host:port, ``client`` what an api-server shows it, ``process`` its server."""

    address: str
    client: Files
    process: subprocess.Popen[bytes]


def missing() -> bool:
    """Whether this machine has no etcd."""
    return shutil.which("etcd") is None


@contextlib.contextmanager
def etcd(folder: Path, authority: TestAuthority, *extra: str) -> Generator[Etcd]:
    """Run one until the body ends; RuntimeError with its log when it does not come up."""
    server = authority.issue("etcd")
    client_port, peer_port = _free_ports(2)
    address = f"127.0.0.1:{client_port}"
    log = (folder / "etcd.log").open("wb")
    process = subprocess.Popen(
        [
            "etcd",
            "--name=test",
            f"--data-dir={folder / 'data'}",
            f"--listen-client-urls=https://{address}",
            f"--advertise-client-urls=https://{address}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-cluster=test=http://127.0.0.1:{peer_port}",
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            f"--trusted-ca-file={server.ca}",
            "--client-cert-auth=true",
            "--unsafe-no-fsync=true",
            "--logger=zap",
            *extra,
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_listening(process, client_port, folder / "etcd.log")
        yield Etcd(address, authority.issue("kube-apiserver-etcd-client"), process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        process.wait(10)
        log.close()


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            one.settimeout(0.05)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise RuntimeError(f"etcd did not start: {log.read_text()[-2000:]}")
