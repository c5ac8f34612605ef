"""``kctl wait``: what it waits for, and what it says."""

from __future__ import annotations

import pytest

from kubelab.apimachinery import scheme
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.wait import Goal, goal
from kubelab.testing.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("condition=Ready", Goal("condition", "Ready", "true")),
        ("condition=Ready=false", Goal("condition", "Ready", "false")),
        ("create", Goal("create")),
        ("Delete", Goal("delete")),
    ],
)
def test_goals(text: str, expected: Goal) -> None:
    assert goal(text) == expected


@pytest.mark.parametrize("text", ["", "Ready", "condition=", "jsonpath={.status.phase}=Running"])
def test_no_goal(text: str) -> None:
    with pytest.raises(UsageProblem, match="unrecognized condition"):
        goal(text)


@pytest.mark.parametrize(
    ("wanted", "ready", "reached"),
    [("true", True, True), ("true", False, False), ("false", False, True), ("true", None, False)],
)
def test_conditions_are_compared_ignoring_case(wanted: str, ready: bool | None, reached: bool) -> None:
    assert Goal("condition", "ready", wanted).reached(make_pod("web", ready=ready)) is reached


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


def test_time_runs_out(shell: Shell) -> None:
    shell.server.add(make_pod("web", ready=False))
    late = shell("wait", "--for=condition=Ready", "pod/web", "--timeout=0.05s")
    assert (late.code, late.stderr) == (1, "error: timed out waiting for the condition on pods/web\n")


def test_gone(shell: Shell) -> None:
    assert shell("wait", "--for=delete", "pod/web").stdout == "pod/web deleted\n"


def test_missing(shell: Shell) -> None:
    missing = shell("wait", "--for=condition=Ready", "pod/web")
    assert (missing.code, missing.stderr) == (1, 'Error from server (NotFound): pods "web" not found\n')
    assert shell.server.get(scheme.PODS, "default/web") is None


def test_no_goal_on_the_command_line(shell: Shell) -> None:
    assert shell("wait", "pod/web").code == 1
