"""A component as a process: it serves with TLS, stops cleanly, fails loudly, and comes in several workers."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kubelab.apimachinery.errors import Unavailable
from kubelab.client.transport import Connections, Method
from kubelab.component import logs
from kubelab.rpc.channels import CHANNEL_OPTIONS
from tests.support.pki import Files, TestAuthority

SOURCE = """
import asyncio, os, sys
from dataclasses import dataclass
from kubelab.component.component import Component
from kubelab.component.config import BaseConfig

@dataclass(kw_only=True)
class Config(BaseConfig):
    what: str = "serve"
    processes: int = 1

def say(text):
    os.write(1, f"{text}\\n".encode())  # whole, among the lines of other workers

async def run(config, env):
    async with env.serve() as serving:
        say(f"ready {serving.port} {os.getpid()}")
        if config.what == "serve":
            await env.stop.wait()
            say("bye")
        elif config.what == "loops":
            try:
                await asyncio.Event().wait()
            finally:
                say("cleaned up")
        elif config.what == "fails":
            raise KeyError("bug")
        elif config.what == "callback":
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await env.stop.wait()

COMPONENT = Component("thing", Config, run, workers=lambda config: config.processes)
if __name__ == "__main__":
    sys.exit(COMPONENT.main())
"""


class Process:
    """The component as a child of the test."""

    def __init__(self, folder: Path, files: Files, *flags: str) -> None:
        script = folder / "thing.py"
        script.write_text(textwrap.dedent(SOURCE))
        tls = [f"--tls-ca={files.ca}", f"--tls-certificate={files.certificate}", f"--tls-key={files.key}"]
        self.popen = subprocess.Popen(
            [sys.executable, str(script), "--name=thing@test", "--bind-address=127.0.0.1:0", *tls, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> list[str]:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().split()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        out, err = self.popen.communicate(timeout=30)
        return self.popen.returncode, out, err


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


@pytest.fixture
def files(authority: TestAuthority) -> Files:
    return authority.issue("thing")


@pytest.fixture
def started(tmp_path: Path, files: Files) -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()
            process.wait()
        for pipe in (process.popen.stdout, process.popen.stderr):
            assert pipe is not None
            pipe.close()


def start(started: list[Process], tmp_path: Path, files: Files, *flags: str) -> Process:
    process = Process(tmp_path, files, *flags)
    started.append(process)
    return process


def stub(kind: Any, to: grpc.Channel) -> Any:
    """Make a stub of a library whose types are incomplete."""
    return kind(to)


def channel(port: str, files: Files, *, own: bool = True) -> grpc.Channel:
    key, certificate = (files.key.read_bytes(), files.certificate.read_bytes()) if own else (None, None)
    return grpc.secure_channel(
        f"127.0.0.1:{port}", grpc.ssl_channel_credentials(files.ca.read_bytes(), key, certificate)
    )


def test_it_answers_health_and_reflection_and_stops_cleanly(
    started: list[Process], tmp_path: Path, files: Files
) -> None:
    process = start(started, tmp_path, files)
    _, port, _ = process.line()
    with channel(port, files) as secure:
        answer = stub(health_pb2_grpc.HealthStub, secure).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        (told,) = stub(reflection_pb2_grpc.ServerReflectionStub, secure).ServerReflectionInfo(iter([ask]), timeout=10)
        names = {service.name for service in told.list_services_response.service}
        assert names == {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    code, out, err = process.stop()
    assert (code, out) == (0, "bye\n")
    assert "INFO  stopping" in err


def test_a_caller_without_a_certificate_is_turned_away(started: list[Process], tmp_path: Path, files: Files) -> None:
    process = start(started, tmp_path, files)
    _, port, _ = process.line()
    with channel(port, files, own=False) as insecure, pytest.raises(grpc.RpcError) as caught:
        stub(health_pb2_grpc.HealthStub, insecure).Check(health_pb2.HealthCheckRequest(), timeout=10)
    error: object = caught.value
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_who_does_not_wait_for_stop_is_cancelled(started: list[Process], tmp_path: Path, files: Files) -> None:
    process = start(started, tmp_path, files, "--what=loops")
    process.line()
    assert process.stop(signal.SIGINT)[:2] == (0, "cleaned up\n")


@pytest.mark.parametrize(("what", "says"), [("fails", "KeyError: 'bug'"), ("callback", "ZeroDivisionError")])
def test_a_bug_ends_the_process_with_its_traceback(
    started: list[Process], tmp_path: Path, files: Files, what: str, says: str
) -> None:
    code, _, err = start(started, tmp_path, files, f"--what={what}").wait()
    assert code == 1
    assert says in err


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--processes=many", "thing: command line: --processes: got 'many', expected integer"),
        ("--tls-key=/nowhere/key", "/nowhere/key"),
        ("--bind-address=256.0.0.1:1", "cannot listen on 256.0.0.1:1"),
        ("--metrics-address=256.0.0.1:1", "cannot listen on 256.0.0.1:1"),
    ],
)
def test_a_bad_configuration_is_said_on_stderr(
    started: list[Process], tmp_path: Path, files: Files, flag: str, says: str
) -> None:
    code, out, err = start(started, tmp_path, files, flag).wait()
    assert (code, out) == (1, "")
    assert says in err
    assert "Traceback" not in err


def test_who_holds_its_port_is_said(started: list[Process], tmp_path: Path, files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = start(started, tmp_path, files, f"--bind-address=127.0.0.1:{port}").wait()
    assert code == 1
    name = Path("/proc/self/comm").read_text().strip()
    assert f"cannot listen on 127.0.0.1:{port}: process {os.getpid()} ({name}) holds the port" in err


def test_logs_are_json_on_request(started: list[Process], tmp_path: Path, files: Files) -> None:
    process = start(started, tmp_path, files, "--log-format=json")
    process.line()
    _, _, err = process.stop()
    lines = [json.loads(line) for line in err.splitlines()]
    assert {line["process"] for line in lines} == {"thing@test"}
    assert [line["event"] for line in lines] == ["serving", "stopping"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int, files: Files, path: str = "/metrics", *, own: bool = True) -> str:
    context = ssl.create_default_context(cafile=str(files.ca))
    if own:
        context.load_cert_chain(files.certificate, files.key)
    url = f"https://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return f"{refused.code} {refused.read().decode()}"


def test_metrics_are_for_those_who_may_and_health_is_for_everybody(
    started: list[Process], tmp_path: Path, authority: TestAuthority, files: Files
) -> None:
    port = free_port()
    start(started, tmp_path, files, f"--metrics-address=127.0.0.1:{port}").line()
    people = {"root": "system:masters", "kubernetes-admin": "kubeadm:cluster-admins", "prometheus": "system:monitoring"}
    strangers = {"jane": "people", "system:kube-scheduler": "", "system:node:node-1": "system:nodes"}
    for user, group in people.items():
        assert "process_resident_memory_bytes " in scrape(port, authority.issue(user, group))
    for user, group in strangers.items():
        told = f'403 forbidden: User "{user}" cannot get path "/metrics"'
        assert scrape(port, authority.issue(user, group)) == told
    assert scrape(port, files, own=False) == "401 Unauthorized"
    for path in ("/livez", "/readyz"):
        assert scrape(port, files, path, own=False) == "ok"


def test_one_scrape_shows_every_worker(
    started: list[Process], tmp_path: Path, authority: TestAuthority, files: Files
) -> None:
    port = free_port()
    admin = authority.issue("prometheus", "system:monitoring")
    process = start(started, tmp_path, files, "--processes=2", f"--metrics-address=127.0.0.1:{port}")
    for _ in range(2):
        process.line()
    page = scrape(port, admin)
    for worker in range(2):
        assert f'process_resident_memory_bytes{{worker="{worker}"}}' in page
    assert page.count("# TYPE process_resident_memory_bytes ") == 1


def test_workers_come_back_and_end_with_their_parent(started: list[Process], tmp_path: Path, files: Files) -> None:
    process = start(started, tmp_path, files, "--processes=2")
    workers = [int(process.line()[2]) for _ in range(2)]
    os.kill(workers[0], signal.SIGKILL)
    again = int(process.line()[2])
    assert again not in workers
    code, out, err = process.stop()
    assert (code, out) == (0, "bye\nbye\n")
    assert "ended (-9), again in 0.1s" in err


def test_workers_die_with_a_parent_that_is_killed(started: list[Process], tmp_path: Path, files: Files) -> None:
    process = start(started, tmp_path, files, "--processes=2")
    workers = [os.pidfd_open(int(process.line()[2])) for _ in range(2)]
    process.popen.kill()
    for worker in workers:
        assert select.select([worker], [], [], 10)[0]  # readable when the process has ended
        os.close(worker)


def test_workers_that_cannot_start_end_the_parent(started: list[Process], tmp_path: Path, files: Files) -> None:
    code, _, err = start(started, tmp_path, files, "--processes=2", "--what=fails").wait()
    assert code == 1
    assert "KeyError" in err


async def test_a_paused_server_is_noticed_by_its_watchers(started: list[Process], tmp_path: Path, files: Files) -> None:
    process = start(started, tmp_path, files)
    _, port, _ = process.line()
    # The real options with their seconds divided by 25: which options do it is what this test holds.
    quick = [(key, int(value) // 25 if key.endswith("_ms") else value) for key, value in CHANNEL_OPTIONS]
    credentials = grpc.ssl_channel_credentials(*(p.read_bytes() for p in (files.ca, files.key, files.certificate)))
    watch = Method("/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse)
    connections = Connections(
        [f"127.0.0.1:{port}"], lambda to: grpc.aio.secure_channel(to, credentials, options=quick), caller="test"
    )
    answers = connections.stream(watch, health_pb2.HealthCheckRequest())
    await anext(answers)
    process.popen.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await anext(answers)
    await connections.close()


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file, full = os.open(path, os.O_WRONLY | os.O_CREAT), os.open("/dev/full", os.O_WRONLY)
    try:
        log = logs.LossyFile(file)
        log.write("one\n")
        kept = os.dup(file)
        os.dup2(full, file)
        log.write("two\n")
        log.write("three\n")
        os.dup2(kept, file)
        os.close(kept)
        log.write("four\n")
        log.write("five\n")
    finally:
        os.close(file)
        os.close(full)
    assert path.read_text() == "one\n2 lines of this log are lost: it could not be written\nfour\nfive\n"


def test_workers_tell_their_metrics_to_no_other_process(started: list[Process], tmp_path: Path, files: Files) -> None:
    """Their sockets are abstract: whoever is in the network namespace can connect, pods on the node's network too."""
    process = start(started, tmp_path, files, "--processes=2", f"--metrics-address=127.0.0.1:{free_port()}")
    for _ in range(2):
        process.line()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(10)
        stranger.connect(f"\0kubelab/{process.popen.pid}/metrics/0")
        assert stranger.recv(1) == b""
