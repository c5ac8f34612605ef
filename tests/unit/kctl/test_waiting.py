"""``kctl wait``: what it waits for, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubelab.apimachinery import scheme
from kubelab.apimachinery.errors import ApiError, Expired, Unavailable
from kubelab.kctl import listwatch
from kubelab.kctl import resource as resources
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info
from kubelab.kctl.wait import WaitCondition, WaitOptions, _Waiter, parse_condition
from tests.support.clock import FakeClock
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("condition=Ready", WaitCondition("condition", "Ready", "true")),
        ("condition=Ready=false", WaitCondition("condition", "Ready", "false")),
        ("create", WaitCondition("create")),
        ("Delete", WaitCondition("delete")),
    ],
)
def test_goals(text: str, expected: WaitCondition) -> None:
    assert parse_condition(text) == expected


@pytest.mark.parametrize("text", ["", "Ready", "condition="])
def test_no_goal(text: str) -> None:
    with pytest.raises(UsageProblem, match="unrecognized condition"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("wanted", "ready", "reached"),
    [("true", True, True), ("true", False, False), ("false", False, True), ("true", None, False)],
)
def test_conditions_are_compared_ignoring_case(wanted: str, ready: bool | None, reached: bool) -> None:
    assert WaitCondition("condition", "ready", wanted).reached(make_pod("web", ready=ready)) is reached


def test_what_is_there_already(shell: Shell) -> None:
    shell.server.add(make_pod("web", ready=True), make_pod("api", ready=True))
    done = shell("wait", "--for=condition=Ready", "pod/web", "pod/api")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == "pod/web condition met\npod/api condition met\n"


def test_all_and_selectors(shell: Shell) -> None:
    shell.server.add(make_pod("web", ready=True, labels={"app": "a"}), make_pod("api", ready=False))
    assert shell("wait", "--for=condition=Ready", "pod", "-l", "app=a").stdout == "pod/web condition met\n"
    nothing = shell("wait", "--for=condition=Ready", "pod", "-l", "app=z")
    assert (nothing.code, nothing.stderr) == (1, "error: no matching resources found\n")


def test_files_and_selectors(shell: Shell) -> None:
    shell.server.add(make_pod("web", ready=True), make_pod("api", ready=False))
    shell.stdin = (
        b"{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: a}}}\n---\n"
        b"{apiVersion: v1, kind: Pod, metadata: {name: api}}"
    )
    assert shell("wait", "--for=condition=Ready", "-f", "-", "-l", "app=a").stdout == "pod/web condition met\n"
    assert shell("wait", "--for=create", "-f", "-", "-l", "app=z").stderr == "error: no matching resources found\n"


def test_time_runs_out(shell: Shell) -> None:
    shell.clock = FakeClock(auto=True)
    shell.server.add(make_pod("web", ready=False))
    late = shell("wait", "--for=condition=Ready", "pod/web", "--timeout=1h")
    assert (late.code, late.stderr) == (1, "error: timed out waiting for the condition on pods/web\n")
    assert shell.clock.monotonic() == 3600


def test_several_share_the_time_and_each_is_told(shell: Shell) -> None:
    shell.clock = FakeClock(auto=True)
    shell.server.add(make_pod("web", ready=False), make_pod("api", ready=True), make_pod("db", ready=False))
    late = shell("wait", "--for=condition=Ready", "pod/nope", "pod/api", "pod/web", "pod/db", "--timeout=1h")
    assert (late.code, late.stdout) == (1, "pod/api condition met\n")
    assert late.stderr == (
        'Error from server (NotFound): pods "nope" not found\n'
        "timed out waiting for the condition on pods/web\n"
        "timed out waiting for the condition on pods/db\n"
    )
    assert shell.clock.monotonic() == 3600


def test_no_time_is_one_look(shell: Shell) -> None:
    shell.server.add(make_pod("web", ready=False), make_pod("api", ready=True))
    looked = shell("wait", "--for=condition=Ready", "pod/web", "pod/api", "--timeout=0")
    assert (looked.code, looked.stdout) == (1, "pod/api condition met\n")
    assert looked.stderr == "error: condition not met for pods/web\n"
    assert not shell.server.calls_of("watch")
    assert shell("wait", "--for=delete", "pod/web", "--timeout=0").stderr == "error: condition not met for pods/web\n"


def test_what_was_never_there_is_not_told_to_be_gone(shell: Shell) -> None:
    for words in (["pod/web"], ["pod", "-l", "app=nothing"]):
        waited = shell("wait", "--for=delete", *words)
        assert (waited.code, waited.stdout, waited.stderr) == (0, "", "")


def test_the_object_is_printed(shell: Shell) -> None:
    shell.server.add(make_pod("web", ready=True))
    shown = shell("wait", "--for=condition=Ready", "pod/web", "-o", "jsonpath={.metadata.name}")
    assert (shown.code, shown.stdout) == (0, "web")
    assert shell("wait", "--for=create", "pod/web", "-o", "name").stdout == "pod/web\n"
    assert "allowed formats are" in shell("wait", "--for=delete", "pod/x", "-o", "foo").stderr


async def test_gone(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    server = shell.server
    server.add(make_pod("web"))
    printer = ResultPrinter.of("", "none")
    waiting = _Waiter(
        cast(Any, SimpleNamespace(clock=FakeClock(), namespace="default")), WaitCondition("delete"), printer, 60
    )
    options = WaitOptions((), False, "", False, False, "", "delete", "", 60.0)
    task = asyncio.ensure_future(waiting.run(server.client(), resources.parse(["pod/web"]), options))
    await server.until(lambda: server.watching(scheme.PODS) == 1)
    server.remove(scheme.PODS, "default/web")
    assert await asyncio.wait_for(task, 10) == []
    assert capsys.readouterr().out == "pod/web condition met\n"


@pytest.mark.parametrize("lost", [Expired("too old resource version"), Unavailable("the connection was lost"), None])
async def test_a_watch_that_ends_is_followed_by_another_look(shell: Shell, lost: ApiError | None) -> None:
    server, clock = shell.server, FakeClock(auto=True)
    server.add(make_pod("web"))
    states = listwatch.object_states(server.client(), Info(scheme.PODS, "web", "default"), clock)
    async with contextlib.aclosing(states):
        assert await anext(states) is not None
        told = asyncio.ensure_future(anext(states))
        await server.until(lambda: server.watching(scheme.PODS) == 1)
        server.compact()
        server.fail(Unavailable("nobody there"), verb="list", times=3)
        server.break_watches(lost)
        assert await asyncio.wait_for(told, 10) is not None
        assert clock.monotonic() == 3 * listwatch.PAUSE
        told = asyncio.ensure_future(anext(states))
        await server.until(lambda: server.watching(scheme.PODS) == 1)
        server.remove(scheme.PODS, "default/web")
        assert await asyncio.wait_for(told, 10) is None
    assert server.watching(scheme.PODS) == 0


def test_missing(shell: Shell) -> None:
    missing = shell("wait", "--for=condition=Ready", "pod/web")
    assert (missing.code, missing.stderr) == (1, 'Error from server (NotFound): pods "web" not found\n')
    assert shell.server.get(scheme.PODS, "default/web") is None


def test_no_goal_on_the_command_line(shell: Shell) -> None:
    assert shell("wait", "pod/web").code == 1


@pytest.mark.parametrize(
    ("condition", "printed"),
    [
        ("jsonpath={.status.phase}=Running", "pod/web condition met\n"),
        ("jsonpath=.status.phase=Running", "pod/web condition met\n"),
        ("jsonpath={.status.phase}", "pod/web condition met\n"),
        ("jsonpath='{.status.phase}'='Running'".replace("'{", "{").replace("}'", "}"), "pod/web condition met\n"),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', "pod/web condition met\n"),
    ],
)
def test_jsonpath(shell: Shell, condition: str, printed: str) -> None:
    made = make_pod("web")
    made.status.phase = "Running"
    made.status.conditions.add(type="Ready", status="True")
    made.status.conditions.add(type="Initialized", status="False")
    shell.server.add(made)
    waited = shell("wait", "pod/web", f"--for={condition}", "--timeout=0")
    assert (waited.code, waited.stdout, waited.stderr) == (0, printed, "")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("jsonpath=", "jsonpath expression cannot be empty"),
        ("jsonpath={.a}=", "jsonpath wait has to have a value after equal sign, like --for=jsonpath='"),
        ("jsonpath={.a}=b=c", "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or"),
        ("jsonpath={.a}{.b}=c", "unexpected path string, expected a 'name1.name2' or"),
        ("jsonpath={.metadata}=x", "jsonpath leads to a nested object or list which is not supported"),
        ("jsonpath={.metadata['name','uid']}=x", "given jsonpath expression matches more than one value"),
        ("jsonpath={.status.phase}=Failed", "condition not met for pods/web"),
    ],
)
def test_jsonpath_refused(shell: Shell, condition: str, message: str) -> None:
    shell.server.add(make_pod("web", uid="u"))
    refused = shell("wait", "pod/web", f"--for={condition}", "--timeout=0")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"error: {message}")


def test_jsonpath_of_all_namespaces(shell: Shell) -> None:
    shell.server.add(make_pod("web"), make_pod("web", namespace="user"), make_pod("db", namespace="user"))
    line = "wait pods -A --all --for=jsonpath={.metadata.name}=web --timeout=0 --field-selector=metadata.name=web"
    waited = shell(*line.split(" "))
    assert (waited.code, waited.stdout) == (0, "pod/web condition met\n" * 2)
