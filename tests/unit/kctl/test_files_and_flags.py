"""What several commands do with files and generated objects: --validate, -k, --save-config, --edit, --raw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from kubelab.apimachinery import scheme
from kubelab.kctl.apply.lastapplied import ANNOTATION
from tests.unit.kctl.conftest import Outcome, Shell
from tests.unit.kctl.test_edit import Typist

__all__ = ["typist"]
from tests.unit.kctl.test_edit import typist

MISSPELT = b"""\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: node, image: "node:1", imgae: x}
  unknownField: 1
"""
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: one}\n"
WARNED = 'Warning: unknown field "spec.containers[0].imgae"\nWarning: unknown field "spec.unknownField"\n'


@pytest.mark.parametrize("command", [("create",), ("apply",), ("replace", "--force")])
@pytest.mark.parametrize(("value", "stderr"), [("warn", WARNED), ("ignore", ""), ("false", "")])
def test_unknown_fields_are_left_out(shell: Shell, command: tuple[str, ...], value: str, stderr: str) -> None:
    shell.stdin = MISSPELT
    done = shell(*command, "-f", "-", f"--validate={value}")
    assert (done.code, done.stderr) == (0, stderr)
    assert shell.server.get(scheme.PODS, "default/web") is not None


@pytest.mark.parametrize("flags", [(), ("--validate",), ("--validate=true",), ("--validate=strict",)])
def test_unknown_fields_are_refused(shell: Shell, flags: tuple[str, ...]) -> None:
    shell.stdin = MISSPELT
    refused = shell("create", "-f", "-", *flags)
    assert refused.code == 1
    assert 'unknown field "spec.unknownField"' in refused.stderr
    assert shell.server.get(scheme.PODS, "default/web") is None


def validation_of_the_last(shell: Shell) -> str:
    request = cast(Any, shell.server.calls_of("create")[-1].request)
    return request.options.fieldValidation


def test_the_server_is_told_how_to_validate(shell: Shell) -> None:
    shell.stdin = SETTINGS.encode()
    assert shell("create", "-f", "-", "--validate=warn").code == 0
    assert validation_of_the_last(shell) == "Warn"
    assert shell("create", "configmap", "b", "--from-literal=x=y").code == 0
    assert validation_of_the_last(shell) == "Strict"


@pytest.mark.parametrize("words", ["get pods", "delete", "create", "label x=y", "rollout status", "describe", "expose"])
def test_a_kustomization(shell: Shell, words: str) -> None:
    refused = shell(*words.split(), "-k", "overlay")
    assert refused.code == 1
    assert "kustomize build overlay | kctl " in refused.stderr
    assert shell("get", "-k", "x", "-f", "y").stderr == "error: only one of -f or -k can be specified\n"


def test_a_generated_object_with_its_configuration(shell: Shell) -> None:
    typed = shell("create", "deployment", "web", "--image=x", "--save-config", "--dry-run=client", "-o", "yaml")
    # kubectl 1.32 prints this
    assert yaml.safe_load(typed.stdout)["metadata"]["annotations"][ANNOTATION] == (
        '{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","creationTimestamp":null,"labels":'
        '{"app":"web"}},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":'
        '{"creationTimestamp":null,"labels":{"app":"web"}},"spec":{"containers":[{"name":"x","image":"x","resources":'
        '{}}]}},"strategy":{}},"status":{}}\n'
    )
    refused = shell("create", "deployment", "web", "--image=x", "--validate=foo", "--dry-run=client", "-o", "name")
    assert refused.stderr == (
        'error: invalid - validate option "foo"; must be one of: strict (or true), warn, ignore (or false)\n'
    )


def test_create_lets_edit(shell: Shell, typist: Typist) -> None:
    shell.environ["EDITOR"] = str(typist.program)
    shell.stdin = f"{SETTINGS}---\n{SETTINGS.replace('name: a', 'name: b')}".encode()
    typist.will("x: one=>x: [", "x: [=>x: two", "=># nothing")
    done = shell("create", "-f", "-", "--edit")
    assert done == Outcome(0, "configmap/a created\n", "Edit cancelled, saved file was empty.\n")
    assert "# The edited file failed validation" in typist.seen[1]
    made = shell.server.get(scheme.CONFIG_MAPS, "default/a")
    assert made is not None
    assert made.data["x"] == "two"
    assert shell.server.get(scheme.CONFIG_MAPS, "default/b") is None
    assert not typist.left


def test_create_lets_edit_json(shell: Shell, typist: Typist) -> None:
    shell.environ["EDITOR"] = str(typist.program)
    shell.stdin = SETTINGS.encode()
    typist.will('"x": "one"=>"x": "two"')
    done = shell("create", "-f", "-", "--edit", "-o", "json")
    assert (done.code, json.loads(done.stdout)["data"]) == (0, {"x": "two"})
    shown = {"apiVersion": "v1", "data": {"x": "one"}, "kind": "ConfigMap"}
    metadata = {"name": "a", "namespace": "default"}
    assert typist.seen[0] == json.dumps({**shown, "metadata": metadata}, indent=4) + "\n", "no comments above JSON"


def test_raw_writes(shell: Shell, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text(SETTINGS)
    path = "/api/v1/namespaces/default/configmaps"
    created = shell("create", "--raw", path, "-f", str(body))
    assert (created.code, created.stderr) == (0, "")
    assert json.loads(created.stdout)["metadata"]["uid"]
    body.write_text(SETTINGS.replace("one", "two"))
    assert json.loads(shell("replace", "--raw", f"{path}/a", "-f", str(body)).stdout)["data"] == {"x": "two"}
    assert shell("replace", "--raw", f"{path}/b", "-f", str(body)).code == 1
    body.write_text('{"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}}')
    refused = shell("delete", "--raw", f"{path}/a", "-f", str(body))
    assert "(Conflict)" in refused.stderr
    assert shell("delete", "--raw", f"{path}/a?dryRun=All").code == 0
    assert shell.server.get(scheme.CONFIG_MAPS, "default/a") is not None
    assert shell("delete", "--raw", f"{path}/a").code == 0
    assert shell.server.get(scheme.CONFIG_MAPS, "default/a") is None


# What kubectl 1.32 prints.
@pytest.mark.parametrize(
    ("line", "stderr"),
    [
        ("create --raw /x --edit -f a", "--raw and --edit are mutually exclusive"),
        ("create --raw /x", "must specify one of -f and -k"),
        ("create --raw /x -f http://a", "--raw cannot read from a url"),
        ("create --raw /x -f a -R", "--raw and --recursive are mutually exclusive"),
        ("create --raw /x -f a -l a=b", "--raw and --selector (-l) are mutually exclusive"),
        ("create --raw /x -f a -o yaml", "--raw and --output are mutually exclusive"),
        ("create --raw x -f a", '--raw must be a valid URL path: parse "x": invalid URI for request'),
        ("create --raw /api/v1/namespaces -f nofile", "open nofile: no such file or directory"),
        ("replace --raw /x", "must specify one of -f and -k"),
        ("replace --raw x -f a", '--raw must be a valid URL path: parse "x": invalid URI for request'),
        ("delete --raw /x -f a -f b", "--raw can only use a single local file or stdin"),
        ("delete --raw /x -o name", "--raw and --output are mutually exclusive"),
    ],
)
def test_flags_that_do_not_go_with_raw(shell: Shell, line: str, stderr: str) -> None:
    assert shell(*line.split()).stderr == f"error: {stderr}\n"
    assert not shell.server.calls


def test_delete_asks(shell: Shell) -> None:
    shell.stdin = SETTINGS.encode()
    shell("create", "-f", "-")
    asked = "You are about to delete the following 1 resource(s):\nconfigmap/a\nDo you want to continue? (y/N): "
    for answer in (b"n\n", b"", b"yes\n"):
        shell.stdin = answer
        assert shell("delete", "-i", "cm", "a").stdout == f"{asked}deletion is cancelled\n"
    shell.stdin = b" Y\n"
    assert shell("delete", "--interactive", "configmaps", "--all").stdout == f'{asked}configmap "a" deleted\n'
    assert shell("delete", "-i", "cm", "--all").stdout == "No resources found\n"
    assert "not found" in shell("delete", "-i", "cm", "a").stderr


def test_run_exposes_and_overrides(shell: Shell) -> None:
    refused = shell("run", "a", "--image=b", "--expose", "--dry-run=client")
    assert refused.stderr.startswith("error: --port must be set when exposing a service\n")
    assert (
        shell("run", "a", "--image=b", "--override-type=foo", "--overrides={}").stderr
        == "error: invalid override type: foo\n"
    )
    line = ("run", "a", "--image=b", "--expose", "--port=80", '--overrides={"spec":{"hostNetwork":true}}')
    typed = shell(*line, "--dry-run=client", "-o", "yaml")
    service, pod = yaml.safe_load_all(typed.stdout)
    assert service["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"run": "a"},
    }
    assert pod["spec"]["hostNetwork"] is True
    assert pod["spec"]["containers"][0]["image"] == "b"
    assert shell(*line).stdout == "service/a created\npod/a created\n"
    assert shell("run", "c", "--image=b", "--overrides={").stderr == "error: Invalid JSON Patch\n"
