"""Nothing of an object acts on the terminal on which kctl prints it, whatever the object says."""

from __future__ import annotations

import random

import pytest

from kubelab.apimachinery import terminal
from kubelab.kctl.describe.writer import Writer
from tests.fuzz.objects import KINDS, accepted, held
from tests.fuzz.readers import world_of
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell

TITLE = "\x1b]0;owned\x07"
EVIL = f"a{TITLE}\x9b2J\r\u202eb"
SHOWN = "a^[]0;owned^G\\u009b2J\\r\\u202eb"
READS = ("get", "get -o wide --show-labels", "get -L app", "get -o name", "get -o yaml", "get -o json", "describe")


@pytest.mark.parametrize("make", [accepted, held], ids=lambda make: make.__name__)
@pytest.mark.parametrize("seed", range(6))
def test_nothing_of_an_object_acts_on_the_terminal(shell: Shell, make: object, seed: int) -> None:
    world = world_of(random.Random(seed), make)  # pyright: ignore[reportArgumentType]
    lines = [[*words.split()] for words in READS]
    for resource in KINDS:
        for obj in world.objects[resource.plural]:
            shell.server.add(obj)
        for first, *more in lines:
            scope = ["-A"] if resource.namespaced else []
            checked(shell, first, resource.qualified, *more, *scope)
        for obj in world.objects[resource.plural]:
            name, namespace = obj.metadata.name or "none", f"--namespace={obj.metadata.namespace or 'default'}"
            checked(shell, "describe", f"{resource.qualified}/{name}", namespace)
            checked(shell, "delete", f"{resource.qualified}/{name}", namespace, "--wait=false")
            checked(shell, "wait", "--for=delete", f"{resource.qualified}/{name}", namespace, "--timeout=0s")


def checked(shell: Shell, *argv: str) -> None:
    told = shell(*argv)
    assert not terminal.acts(told.stdout + told.stderr), argv
    assert "bug in kctl" not in told.stderr, (argv, told.stderr)


def test_names_beside_logs(shell: Shell) -> None:
    """What a container prints is its own affair, as with kubectl; the names around it are not."""
    pod = make_pod(EVIL)
    pod.metadata.labels["app"] = "web"
    pod.spec.containers[0].name = EVIL
    pod.spec.containers.add(name="other")
    shell.server.add(pod)
    shell.server.logs["default", EVIL] = f"{TITLE}\n".encode()
    told = shell("logs", "-l", "app=web", "--prefix", "--all-containers")
    assert told.stdout.splitlines()[0] == f"[pod/{SHOWN}/{SHOWN}] {TITLE}"
    told = shell("logs", EVIL)
    assert (told.stdout, told.stderr) == (
        f"{TITLE}\n",
        f'Defaulted container "{SHOWN}" out of: {SHOWN}, other\n',
    )
    told = shell("cluster-info", "dump")
    assert f"==== START logs for container {SHOWN} of pod default/{SHOWN} ====" in told.stdout


def test_values_of_several_lines_as_kubectl_lays_them_out() -> None:
    w = Writer()
    w.annotations("Annotations", {"a": "one\ntwo\x1b[1m\n", "b": "short"})
    assert w.render() == "Annotations:  a:\n                one\n                two^[[1m\n              b: short\n"
