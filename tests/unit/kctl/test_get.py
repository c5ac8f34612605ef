"""``kctl get``: tables side by side, whole objects, and what changes."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
import yaml

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.errors import BadRequest, Forbidden, Unavailable
from kubelab.kctl import resource as resources
from kubelab.kctl.documentprinters import NamePrinter
from kubelab.kctl.get import watch as watching
from kubelab.kctl.get.request import GetRequest
from kubelab.kctl.tableprinter import PrintOptions
from kubelab.kctl.tables import Columns
from tests.unit.kctl.conftest import Shell


def pod(name: str, namespace: str = "default", **labels: str) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.namespace = name, namespace
    made.metadata.labels.update(labels)
    made.spec.containers.add(name="app", image="x")
    return made


def service(name: str, **labels: str) -> core_pb2.Service:
    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace = name, "default"
    made.metadata.labels.update(labels)
    return made


@pytest.fixture(autouse=True)
def objects(shell: Shell) -> None:
    shell.server.add(pod("web", app="web", **{"example.com/tier": "front"}), pod("db"), pod("other", "user"))
    shell.server.add(service("web", app="web"))
    node = core_pb2.Node()
    node.metadata.name = "cp-1"
    shell.server.add(node)


TABLES = {
    "get pods": """\
NAME   READY       STATUS       RESTARTS       AGE
db     ready-db    status-db    restarts-db    1s
web    ready-web   status-web   restarts-web   1s
""",
    "get pods -n user --no-headers": "other   ready-other   status-other   restarts-other   1s\n",
    "get po -A": """\
NAMESPACE   NAME    READY         STATUS         RESTARTS         AGE
default     db      ready-db      status-db      restarts-db      1s
default     web     ready-web     status-web     restarts-web     1s
user        other   ready-other   status-other   restarts-other   1s
""",
    "get pods web -o wide": """\
NAME   READY       STATUS       RESTARTS       AGE   IP       NODE       NOMINATED NODE       READINESS GATES
web    ready-web   status-web   restarts-web   1s    ip-web   node-web   nominated node-web   readiness gates-web
""",
    "get pods -l=app=web --show-labels -L app,example.com/tier -L nope": """\
NAME   READY       STATUS       RESTARTS       AGE   APP   TIER    NOPE   LABELS
web    ready-web   status-web   restarts-web   1s    web   front          app=web,example.com/tier=front
""",
    "get pods,svc --l=app=web": """\
NAME      READY       STATUS       RESTARTS       AGE
pod/web   ready-web   status-web   restarts-web   1s

NAME          TYPE       CLUSTER-IP       EXTERNAL-IP       PORT(S)       AGE
service/web   type-web   cluster-ip-web   external-ip-web   port(s)-web   1s
""",
    "get svc/web pod/db pod/web": """\
NAME          TYPE       CLUSTER-IP       EXTERNAL-IP       PORT(S)       AGE
service/web   type-web   cluster-ip-web   external-ip-web   port(s)-web   1s

NAME      READY       STATUS       RESTARTS       AGE
pod/db    ready-db    status-db    restarts-db    1s
pod/web   ready-web   status-web   restarts-web   1s
""",
    "get pod/db pod/web": """\
NAME   READY       STATUS       RESTARTS       AGE
db     ready-db    status-db    restarts-db    1s
web    ready-web   status-web   restarts-web   1s
""",
    "get pods -o name": "pod/db\npod/web\n",
    "get svc,po -o name --chunk-size=1": "service/web\npod/db\npod/web\n",
    "get pods,svc -l app=web --no-headers": """\
pod/web   ready-web   status-web   restarts-web   1s
service/web   type-web   cluster-ip-web   external-ip-web   port(s)-web   1s
""",
    "get pods.v1. db -o name": "pod/db\n",
    "get no cp-1 -A": """\
NAME   STATUS        ROLES        AGE   VERSION
cp-1   status-cp-1   roles-cp-1   1s    version-cp-1
""",
    "get po --chunk-size=1 --no-headers --show-kind": """\
pod/db    ready-db    status-db    restarts-db    1s
pod/web   ready-web   status-web   restarts-web   1s
""",
    "get pods --field-selector metadata.name=db -o name": "pod/db\n",
}


@pytest.mark.parametrize("command", TABLES)
def test_printed(shell: Shell, command: str) -> None:
    got = shell(*command.split())
    assert got.stdout == TABLES[command]
    assert (got.code, got.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "code", "stdout", "stderr"),
    [
        ("get rc", 0, "", "No resources found in default namespace.\n"),
        ("get rc -A", 0, "", "No resources found\n"),
        ("get pods -n empty", 0, "", "No resources found in empty namespace.\n"),
        ("get pods.v1. -n empty", 0, "", "No resources found in empty namespace.\n"),
        ("get leases.v1.coordination.k8s.io", 0, "", "No resources found in default namespace.\n"),
        ("get ns -l x=y", 0, "", "No resources found\n"),
        ("get rc,secrets", 0, "", "No resources found in default namespace.\n"),
        ("get pod nope", 1, "", 'Error from server (NotFound): pods "nope" not found\n'),
        ("get pod nope --ignore-not-found", 0, "", ""),
        ("get rc --ignore-not-found", 0, "", ""),
        ("get pod nope -o yaml", 1, "", 'Error from server (NotFound): pods "nope" not found\n'),
        (
            "get rc,pod nope",
            1,
            "",
            'Error from server (NotFound): replicationcontrollers "nope" not found\n'
            'Error from server (NotFound): pods "nope" not found\n',
        ),
        (
            "get pod db nope --no-headers",
            1,
            "db    ready-db   status-db   restarts-db   1s\n",
            'Error from server (NotFound): pods "nope" not found\n',
        ),
    ],
)
def test_missing(shell: Shell, command: str, code: int, stdout: str, stderr: str) -> None:
    got = shell(*command.split())
    assert (got.code, got.stdout, got.stderr) == (code, stdout, stderr)


def test_one_object_or_a_list(shell: Shell) -> None:
    one = yaml.safe_load(shell("get", "pod", "web", "-o", "yaml").stdout)
    assert (one["kind"], one["metadata"]["name"]) == ("Pod", "web")
    listed = json.loads(shell("get", "pods", "-o", "json").stdout)
    assert (listed["kind"], [i["metadata"]["name"] for i in listed["items"]]) == ("List", ["db", "web"])
    assert json.loads(shell("get", "pod", "db", "web", "-o", "json").stdout)["kind"] == "List"
    empty = yaml.safe_load(shell("get", "rc", "-o", "yaml").stdout)
    assert empty == {"apiVersion": "v1", "items": [], "kind": "List", "metadata": {"resourceVersion": ""}}


def test_files_name_objects(shell: Shell) -> None:
    shell.stdin = b"apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: user}\n"
    assert shell("get", "-f", "-", "-o", "name").stdout == "pod/other\n"


def test_a_selector_chooses_among_the_objects_of_a_file(shell: Shell) -> None:
    shell.stdin = b"""\
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db}}
"""
    assert shell("get", "-f", "-", "-l", "app=web", "-o", "name").stdout == "pod/web\n"
    assert shell("get", "-f", "-", "-l", "!app", "-A", "-o", "name").stdout == "pod/db\n"
    assert shell("describe", "-f", "-", "-l", "app=web").stdout.startswith("Name:         web\n")
    assert shell("get", "-f", "-", "-l", "app=z").stderr == "No resources found in default namespace.\n"
    assert shell("describe", "-f", "-", "-l", "app=z").stderr == "No resources found in default namespace.\n"
    told = (
        'error: the provided selector "a=(" is not valid: unable to parse requirement: '
        "found '(', expected: identifier\n"
    )
    assert shell("get", "-f", "-", "-l", "a=(").stderr == told


def test_what_was_printed_is_accepted_again(shell: Shell) -> None:
    shell.stdin = shell("get", "pods", "-o", "yaml").stdout.encode()
    assert shell("create", "-f", "-", "--dry-run=client").stdout.splitlines() == [
        "pod/db created (dry run)",
        "pod/web created (dry run)",
    ]


def test_server_errors(shell: Shell) -> None:
    shell.server.fail(Forbidden('pods is forbidden: User "x" cannot list resource "pods"'), verb="list")
    assert shell("get", "pods").stderr.startswith("Error from server (Forbidden): pods is forbidden")
    shell.server.fail(Unavailable("the connection was refused"))
    refused = shell("get", "pods")
    told = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n"
    told += "A cluster that is stopped is started by: kubelab up\n"
    assert (refused.code, refused.stdout, refused.stderr) == (1, "", told)


class Watching:
    """A running ``kctl get -w``: the lines that it has printed so far."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.lines: list[str] = []

    async def until(self, lines: int) -> None:
        def printed() -> bool:
            self.lines += self._shell.capture.readouterr().out.splitlines()
            return len(self.lines) >= lines

        await self._shell.server.until(printed)


async def watch(shell: Shell, request: GetRequest, *, only: bool, lines: int) -> list[str]:
    """Watch, change two pods meanwhile, and give what was printed."""
    server, printed = shell.server, Watching(shell)
    task = asyncio.ensure_future(watching.run(server.client(), request, only=only))
    await server.until(lambda: server.watching(scheme.PODS) == 1)
    server.add(pod("a-long-name", app="web"))
    server.break_watches()  # the server may end a watch at any time; it is taken up where it ended
    await server.until(lambda: server.watching(scheme.PODS) == 1)
    server.remove(scheme.PODS, "default/db")
    await printed.until(lines)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return printed.lines


async def test_watch_prints_what_is_there_and_what_changes(shell: Shell) -> None:
    request = GetRequest(resources.parse(["pods"]), "default")
    assert await watch(shell, request, only=False, lines=5) == [
        "NAME   READY       STATUS       RESTARTS       AGE",
        "db     ready-db    status-db    restarts-db    1s",
        "web    ready-web   status-web   restarts-web   1s",
        "a-long-name   ready-a-long-name   status-a-long-name   restarts-a-long-name   1s",
        "db            ready-db            status-db            restarts-db            1s",
    ]


async def test_watch_only(shell: Shell) -> None:
    request = GetRequest(resources.parse(["pods"]), "default", printer=NamePrinter())
    assert await watch(shell, request, only=True, lines=2) == ["pod/a-long-name", "pod/db"]


async def test_watch_of_one_object(shell: Shell) -> None:
    request = GetRequest(resources.parse(["pod", "db"]), "default", printing=PrintOptions(no_headers=True))
    printed = await watch(shell, request, only=False, lines=2)
    assert printed == ["db    ready-db   status-db   restarts-db   1s"] * 2


def test_watch_wants_one_type(shell: Shell) -> None:
    assert shell("get", "pods,svc", "-w").stderr == "error: you may only specify a single resource type\n"
    assert shell("get", "pod", "nope", "-w").stderr == 'Error from server (NotFound): pods "nope" not found\n'


def test_columns_remember_their_widths() -> None:
    columns = Columns()
    assert columns.render([["NAME", "AGE"], ["x", "1s"]]) == "NAME   AGE\nx      1s\n"
    assert columns.render([["longer-name", "1s"]]) == "longer-name   1s\n"
    assert columns.render([["y", "1s"]]) == "y             1s\n"
    assert Columns().render([["no", "x"]]) == "no    x\n"


def test_a_list_that_is_refused_names_what_was_asked_for(shell: Shell) -> None:
    for verb in ("get", "delete"):
        shell.server.fail(BadRequest("field label not supported: foo"), verb="list", resource="pods")
        told = 'Unable to find "/v1, Resource=pods" that match label selector "a=b", field selector "foo=bar": field la'
        assert told in shell(verb, "pods", "-l", "a=b", "--field-selector=foo=bar").stderr
