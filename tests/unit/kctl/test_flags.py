"""Every way to write a flag that pflag accepts, and the words for those that it does not."""

from __future__ import annotations

import pytest

from kubelab.kctl.command import find
from kubelab.kctl.flags import Flag, UsageProblem, normalise
from kubelab.kctl.root import ROOT

FLAGS = (
    Flag("--all-namespaces", "-A", kind="bool"),
    Flag("--cascade", default="background", bare="background"),
    Flag("--filename", "-f", kind="csv"),
    Flag("--label-columns", "-L", kind="csv"),
    Flag("--output", "-o"),
    Flag("--selector", "-l"),
    Flag("--watch", "-w", kind="bool"),
)


@pytest.mark.parametrize(
    ("typed", "flags", "arguments"),
    [
        (["pods", "-l=app=node"], ["--selector=app=node"], ["pods"]),
        (["pods", "-l", "app=node"], ["--selector=app=node"], ["pods"]),
        (["pods", "-lapp=node"], ["--selector=app=node"], ["pods"]),
        (["pods", "--l=app=node"], ["--selector=app=node"], ["pods"]),
        (["pods", "--selector=app=node"], ["--selector=app=node"], ["pods"]),
        (["pods", "--selector", "app=node"], ["--selector=app=node"], ["pods"]),
        (["-L=app", "pods"], ["--label-columns=app"], ["pods"]),
        (["-Aw", "pods"], ["--all-namespaces=true", "--watch=true"], ["pods"]),
        (["-Awowide"], ["--all-namespaces=true", "--watch=true", "--output=wide"], []),
        (["-Awo", "wide"], ["--all-namespaces=true", "--watch=true", "--output=wide"], []),
        (["-A=false"], ["--all-namespaces=false"], []),
        (["--watch=true", "x"], ["--watch=true"], ["x"]),
        (["--watch", "x"], ["--watch=true"], ["x"]),
        (["--cascade", "x"], ["--cascade=background"], ["x"]),
        (["--cascade=orphan", "x"], ["--cascade=orphan"], ["x"]),
        (["--all_namespaces"], ["--all-namespaces=true"], []),
        (["-f", "-"], ["--filename=-"], []),
        (["-", "x"], [], ["-", "x"]),
        (["-o="], ["--output="], []),
        (["a", "--", "-l", "--x"], [], ["a", "-l", "--x"]),
    ],
)
def test_forms(typed: list[str], flags: list[str], arguments: list[str]) -> None:
    line = normalise(FLAGS, typed, "kctl get")
    assert (line.flags, line.arguments) == (flags, arguments)


def test_arguments_before_dashes_are_counted() -> None:
    assert normalise(FLAGS, ["a", "b", "--", "c"], "kctl run").dash == 2
    assert normalise(FLAGS, ["a", "b"], "kctl run").dash == -1


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--nonsense"], "unknown flag: --nonsense"),
        (["--x=1"], "unknown flag: --x"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-Ax"], "unknown shorthand flag: 'x' in -Ax"),
        (["-o"], "flag needs an argument: 'o' in -o"),
        (["--output"], "flag needs an argument: --output"),
        (["--=x"], "bad flag syntax: --=x"),
    ],
)
def test_refused(typed: list[str], told: str) -> None:
    with pytest.raises(UsageProblem) as problem:
        normalise(FLAGS, typed, "kctl get")
    assert problem.value.lines() == f"error: {told}\nSee 'kctl get --help' for usage."


@pytest.mark.parametrize(
    ("argv", "path", "rest"),
    [
        ("get pods", "kctl get", "pods"),
        ("-n x get pods", "kctl get", "-n x pods"),
        ("--namespace x get pods", "kctl get", "--namespace x pods"),
        ("--namespace=x get pods", "kctl get", "--namespace=x pods"),
        ("create service clusterip a --tcp=80", "kctl create service clusterip", "a --tcp=80"),
        ("create -o yaml svc nodeport a", "kctl create service nodeport", "-o yaml a"),
        ("create -f x.yml", "kctl create", "-f x.yml"),
        ("create ns a", "kctl create namespace", "a"),
        ("run a -- get pods", "kctl run", "a -- get pods"),
        ("", "kctl", ""),
        ("grab pods --help", "kctl", "grab pods --help"),
        ("config view --raw", "kctl config view", "--raw"),
    ],
)
def test_the_command_is_found(argv: str, path: str, rest: str) -> None:
    _, found, left = find(ROOT, "kctl", argv.split())
    assert (found, left) == (path, rest.split())


def test_the_last_flag_wins() -> None:
    command, path, rest = find(ROOT, "kctl", ["get", "pods", "-o", "yaml", "--watch", "-o=json", "--watch=false"])
    with command.make_context(path, rest) as ctx:
        assert (ctx.params["output"], ctx.params["watch"]) == ("json", False)
