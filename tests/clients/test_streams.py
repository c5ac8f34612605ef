"""Connections through the api-server: commands, forwarded ports and proxies, by kubectl and kctl."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal, eventually, fetch, try_fetch
from tests.support.ptys import Screen, screen

pytestmark = pytest.mark.timeout(600)
NAMESPACE = "streams"
PATH = f"/api/v1/namespaces/{NAMESPACE}"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "kubelab/web:1", ports: [{containerPort: 8080, name: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: sh
    image: kubelab/sh:1
    command: [sh, -c, "PS1='prompt '; export PS1; exec sh -i"]
    stdin: true
    tty: true
  - {name: echo, image: "kubelab/sh:1", stdin: true, command: [sh, -c, "while read line; do echo got $line; done"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


@pytest.fixture(scope="module", autouse=True)
def web(lab: Terminal) -> Iterator[None]:
    lab.type(f"kctl create namespace {NAMESPACE}")
    lab.type(f"kctl apply -n {NAMESPACE} -f -", stdin=MANIFEST)
    lab.type(f"kctl wait -n {NAMESPACE} --for=condition=Ready pod --all --timeout=120s")
    yield
    lab.type(f"kctl delete namespace {NAMESPACE} --wait=false")


@contextlib.contextmanager
def serving(terminal: Terminal, command: str, ready: str) -> Generator[str]:
    """Run a command that serves until it is interrupted; gives what follows the ready words on its line."""
    with terminal.start(command) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert ready in line, line
            yield line.partition(ready)[2].split()[0]
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
@pytest.mark.parametrize("target", ["pod/web :8080", "service/web :80", "web :http"])
def test_port_forward(tools: Terminal, program: str, target: str) -> None:
    with serving(tools, f"{program} port-forward -n {NAMESPACE} {target}", "Forwarding from ") as address:
        for _ in range(3):
            assert fetch(f"http://{address}/etc/hostname") == "web\n"


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_a_port_that_refuses_is_told_and_ends_the_command(tools: Terminal, program: str) -> None:
    with tools.start(f"{program} port-forward -n {NAMESPACE} web :81") as process:
        assert process.stdout is not None
        address = process.stdout.readline().partition("Forwarding from ")[2].split()[0]
        assert try_fetch(f"http://{address}/") is None
        assert "an error occurred forwarding" in process.stdout.read()
    assert process.returncode == 1


def test_proxies(tools: Terminal) -> None:
    for target in ("pods/web:8080", "pods/web", "services/web", "services/web:80", "services/http:web:80"):
        assert tools.type(f"kubectl get --raw {PATH}/{target}/proxy/etc/hostname").stdout == "web\n"
    refused = tools.type(f"kubectl get --raw {PATH}/pods/web:81/proxy/", code=1)
    assert refused.stderr.startswith("Error from server (ServiceUnavailable): error trying to reach service: ")


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_proxy_of_the_api(tools: Terminal, program: str) -> None:
    with serving(tools, f"{program} proxy --port=0", "Starting to serve on ") as address:
        assert '"gitVersion"' in fetch(f"http://{address}/version")
        assert fetch(f"http://{address}{PATH}/services/web/proxy/etc/hostname") == "web\n"


def in_terminal(terminal: Terminal, command: str) -> contextlib.AbstractContextManager[Screen]:
    return screen(shlex.split(command), terminal.folder, terminal.environment)


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_exec(tools: Terminal, program: str) -> None:
    execute = f"{program} exec -n {NAMESPACE}"
    done = tools.type(f"{execute} web -- sh -c 'echo out; echo err >&2; exit 3'", code=3)
    assert (done.stdout, done.stderr) == ("out\n", "err\ncommand terminated with exit code 3\n")
    assert tools.type(f"{execute} svc/web -- hostname").stdout == "web\n"
    many = "x" * 300_000
    assert tools.type(f"{execute} -i web -- cat", stdin=many).stdout == many
    assert tools.type(f"{execute} web -- cat", stdin="not asked for").stdout == ""
    failed = tools.type(f"{execute} web -- nope", code=1)
    assert 'exec: "nope": executable file not found in $PATH: unknown' in failed.stderr
    quiet = tools.type(f"{execute} -it web -- sh -c 'tty || true'", stdin="").stderr
    assert quiet == "Unable to use a TTY - input is not a terminal or the right kind of file\n"
    named = tools.type(f"{execute} shell -- true")
    assert named.stderr == 'Defaulted container "sh" out of: sh, echo\n'
    nameless = tools.type(f"{execute} web -c nope -- true", code=1).stderr
    assert nameless == "Error from server (BadRequest): container nope is not valid for pod web\n"


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_exec_in_a_terminal(tools: Terminal, program: str) -> None:
    command = f"{program} exec -n {NAMESPACE} -it web -- env PS1='prompt ' sh -i"
    with in_terminal(tools, command) as shown:
        shown.shows("prompt ")
        assert not shown.cooked
        shown.type("tty; sh -c 'echo $0; exec sleep 778' asl''eep\n")
        shown.shows("/dev/pts/")
        shown.shows("asleep")
        shown.type("\x03")
        shown.shows("prompt ")
        shown.resize(101, 37)
        shown.type("until stty size | grep 37; do :; done\n")
        shown.shows("37 101")
        shown.type("exit 5\n")
        assert shown.end() == 5
        assert "command terminated with exit code 5" in shown.text
        assert shown.cooked


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_nothing_goes_on_when_the_client_is_killed(tools: Terminal, program: str) -> None:
    command = f"{program} exec -n {NAMESPACE} -i web -- sh -c '(setsid sleep 779 &); echo ready; sleep 779'"
    with tools.start(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    look = f"kctl exec -n {NAMESPACE} web -- sh -c 'grep -lz ^779 /proc/[0-9]*/cmdline'"
    eventually(lambda: tools.type(look, code=None).stdout == "", what="the end of all that was started")


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_attach(tools: Terminal, program: str) -> None:
    with in_terminal(tools, f"{program} attach -n {NAMESPACE} -it shell -c sh") as shown:
        shown.shows("If you don't see a command prompt, try pressing enter.")
        eventually(lambda: not shown.cooked, what="a raw terminal")
        shown.type("\necho mark''ed\n")
        shown.shows("marked")
        shown.resize(101, 37)
        shown.type("until stty size | grep 37; do :; done\n")
        shown.shows("37 101")
    done = tools.type(f"{program} attach -n {NAMESPACE} shell -c echo -i", stdin="one\n", code=None)
    assert done.code == 0, str(done)
    eventually(lambda: "got one" in tools.type(f"kctl logs -n {NAMESPACE} shell -c echo").stdout)
    assert "marked" in tools.type(f"kctl logs -n {NAMESPACE} shell -c sh").stdout


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_cp(tools: Terminal, program: str, tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "file").write_text("content\n")
    (tmp_path / "large").write_bytes(bytes(range(256)) * 8000)
    copy = f"{program} cp -n {NAMESPACE}"
    tools.type(f"{copy} {tmp_path}/folder web:/tmp/{program}")
    assert tools.type(f"kctl exec -n {NAMESPACE} web -- cat /tmp/{program}/below/file").stdout == "content\n"
    tools.type(f"{copy} {tmp_path}/large web:/tmp/{program}")  # into the folder
    tools.type(f"{program} cp {NAMESPACE}/web:/tmp/{program} {tmp_path}/back")
    assert (tmp_path / "back" / "below" / "file").read_text() == "content\n"
    assert (tmp_path / "back" / "large").read_bytes() == (tmp_path / "large").read_bytes()
    missing = tools.type(f"{copy} web:/tmp/missing {tmp_path}/missing", code=None)
    assert "tar: " in missing.stdout + missing.stderr  # kubectl does not wait for all of it
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_run_and_attach(tools: Terminal, program: str) -> None:
    run = f"{program} run -n {NAMESPACE} --image=kubelab/sh:1 --rm"
    done = tools.type(f"{run} piped -i -q --restart=Never -- sh -c 'cat; exit 4'", stdin="one\n", code=4)
    assert done.stdout.startswith("one\n")
    assert "terminated (Error)" in done.stderr
    assert "NotFound" in tools.type(f"kctl get pod -n {NAMESPACE} piped", code=1).stderr
    with in_terminal(tools, f"{run} typed -it --restart=Never -- env PS1='prompt ' sh -i") as shown:
        shown.shows("try pressing enter.")
        eventually(lambda: not shown.cooked, what="a raw terminal")
        shown.type("\n")
        shown.shows("prompt ")
        shown.type("test -t 0 && echo term''inal; exit\n")
        shown.shows("terminal")
        assert shown.end() == 0
        assert 'pod "typed" deleted' in shown.text
