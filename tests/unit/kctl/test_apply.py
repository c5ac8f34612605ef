"""``kctl apply``, ``patch`` and ``replace`` on the server; what needs none is in golden/kubectl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.kctl.apply.lastapplied import ANNOTATION
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell

SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels: {{app: web}}
data: {data}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: node, image: "node:1"}
"""


def settings(shell: Shell, name: str = "a") -> core_pb2.ConfigMap | None:
    return shell.server.get(scheme.CONFIG_MAPS, f"default/{name}")


def apply(shell: Shell, text: str, *flags: str) -> tuple[int, str, str]:
    shell.stdin = text.encode()
    applied = shell("apply", "-f", "-", *flags)
    return applied.code, applied.stdout, applied.stderr


def test_created_configured_unchanged(shell: Shell) -> None:
    first = SETTINGS.format(name="a", data="{x: '1', z: '<2>'}")
    assert apply(shell, first) == (0, "configmap/a created\n", "")
    assert apply(shell, first) == (0, "configmap/a unchanged\n", "")
    stored = settings(shell)
    assert stored is not None
    assert stored.metadata.annotations[ANNOTATION] == (
        '{"apiVersion":"v1","data":{"x":"1","z":"\\u003c2\\u003e"},"kind":"ConfigMap","metadata":{"annotations":{},'
        '"labels":{"app":"web"},"name":"a","namespace":"default"}}\n'
    )
    assert apply(shell, SETTINGS.format(name="a", data="{x: '3'}")) == (0, "configmap/a configured\n", "")
    stored = settings(shell)
    assert stored is not None
    assert dict(stored.data) == {"x": "3"}


def test_what_others_added_stays_and_what_the_file_dropped_goes(shell: Shell) -> None:
    apply(shell, SETTINGS.format(name="a", data="{x: '1', z: '2'}"))
    assert shell("patch", "cm", "a", "-p", '{"data":{"theirs":"9"}}').stdout == "configmap/a patched\n"
    apply(shell, SETTINGS.format(name="a", data="{x: '1'}"))
    stored = settings(shell)
    assert stored is not None
    assert dict(stored.data) == {"x": "1", "theirs": "9"}


def test_an_object_without_the_annotation_is_warned_of(shell: Shell) -> None:
    shell.stdin = SETTINGS.format(name="a", data="{x: '1'}").encode()
    assert shell("create", "-f", "-").code == 0
    code, stdout, stderr = apply(shell, SETTINGS.format(name="a", data="{x: '1'}"))
    assert (code, stdout) == (0, "configmap/a configured\n")
    assert stderr == (
        f"Warning: resource configmaps/a is missing the {ANNOTATION} annotation which is required by kctl apply. kctl "
        "apply should only be used on resources created declaratively by either kctl create --save-config or kctl "
        "apply. The missing annotation will be patched automatically.\n"
    )
    assert apply(shell, SETTINGS.format(name="a", data="{x: '1'}")) == (0, "configmap/a unchanged\n", "")


def test_a_container_is_merged_by_its_name(shell: Shell) -> None:
    assert apply(shell, POD) == (0, "pod/web created\n", "")
    assert apply(shell, POD.replace("node:1", "node:2")) == (0, "pod/web configured\n", "")
    pod = shell.server.get(scheme.PODS, "default/web")
    assert pod is not None
    assert pod.spec.containers[0].image == "node:2"
    assert pod.spec.containers[0].imagePullPolicy == "IfNotPresent"  # the server's default stayed


def test_one_refused_document_does_not_hold_back_the_others(shell: Shell) -> None:
    text = "---\n".join(SETTINGS.format(name=name, data="{x: '1'}") for name in ("a", "Not_A_Name", "c"))
    code, stdout, stderr = apply(shell, text)
    assert (code, stdout) == (1, "configmap/a created\nconfigmap/c created\n")
    assert stderr.startswith('The ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name"')
    shell.server.fail(errors.forbidden("configmaps", "a", "no"), verb="patch")
    shell.server.fail(errors.forbidden("configmaps", "c", "no"), verb="create")
    shell.server.remove(scheme.CONFIG_MAPS, "default/c")
    text = "---\n".join(SETTINGS.format(name=name, data="{x: '2'}") for name in ("a", "c", "b"))
    code, stdout, stderr = apply(shell, text)
    assert (code, stdout) == (1, "configmap/b created\n")
    assert 'Error from server (Forbidden): error when applying patch:\n{"data":{"x":"2"},"metadata":' in stderr
    assert (
        'to:\nResource: "/v1, Resource=configmaps", GroupVersionKind: "/v1, Kind=ConfigMap"\n'
        'Name: "a", Namespace: "default"\nfor: "STDIN": configmaps "a" is forbidden: no\n'
    ) in stderr
    assert 'Error from server (Forbidden): error when creating "STDIN": configmaps "c" is forbidden: no\n' in stderr


def test_nothing_is_applied_when_a_file_cannot_be_read(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(SETTINGS.format(name="a", data="{x: '1'}"))
    (tmp_path / "b.yml").write_text("a: [\n")
    refused = shell("apply", "-f", str(tmp_path))
    assert (refused.code, refused.stdout) == (1, "")
    assert "b.yml: error converting YAML to JSON: yaml: line " in refused.stderr
    assert not shell.server.calls


def test_dry_runs(shell: Shell) -> None:
    text = SETTINGS.format(name="a", data="{x: '1'}")
    assert apply(shell, text, "--dry-run=client") == (0, "configmap/a created (dry run)\n", "")
    assert apply(shell, text, "--dry-run=server") == (0, "configmap/a created (server dry run)\n", "")
    assert settings(shell) is None
    apply(shell, text)
    changed = SETTINGS.format(name="a", data="{x: '2'}")
    assert apply(shell, changed, "--dry-run=client") == (0, "configmap/a configured (dry run)\n", "")
    _, printed, _ = apply(shell, changed, "--dry-run=server", "-o", "yaml")
    assert yaml.safe_load(printed)["data"] == {"x": "2"}
    stored = settings(shell)
    assert stored is not None
    assert dict(stored.data) == {"x": "1"}


def test_whole_objects_are_printed_as_one_list(shell: Shell) -> None:
    text = "---\n".join(SETTINGS.format(name=name, data="{x: '1'}") for name in ("a", "b"))
    _, printed, _ = apply(shell, text, "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(printed)["items"]] == ["a", "b"]
    assert apply(shell, text, "-o", "name") == (0, "configmap/a\nconfigmap/b\n", "")


def test_a_selector_chooses_among_the_documents(shell: Shell) -> None:
    text = SETTINGS.format(name="a", data="{}") + "---\n" + SETTINGS.format(name="b", data="{}").replace("web", "db")
    assert apply(shell, text, "-l", "app=db") == (0, "configmap/b created\n", "")
    assert apply(shell, text, "-l", "app=no") == (1, "", "error: no objects passed to apply\n")


def test_a_name_must_be_there(shell: Shell) -> None:
    nameless = SETTINGS.format(name="a", data="{}").replace("name: a", "generateName: a-")
    assert apply(shell, nameless) == (1, "", "error: from a-: cannot use generate name with apply\n")


def test_prune(shell: Shell) -> None:
    text = "---\n".join(SETTINGS.format(name=name, data="{x: '1'}") for name in ("a", "b", "c"))
    apply(shell, text)
    shell.stdin = SETTINGS.format(name="by-hand", data="{}").encode()
    shell("create", "-f", "-")
    only = SETTINGS.format(name="a", data="{x: '1'}")
    flags = ("--prune", "-l", "app=web")
    dry = apply(shell, only, *flags, "--dry-run=client")
    assert dry == (
        0,
        "configmap/a configured (dry run)\nconfigmap/b pruned (dry run)\nconfigmap/c pruned (dry run)\n",
        "",
    )
    pruned = apply(shell, only, *flags, "--prune-allowlist=core/v1/ConfigMap")
    assert pruned == (0, "configmap/a unchanged\nconfigmap/b pruned\nconfigmap/c pruned\n", "")
    assert settings(shell, "by-hand") is not None
    assert settings(shell, "b") is None


def test_a_conflict_is_tried_again(shell: Shell) -> None:
    apply(shell, SETTINGS.format(name="a", data="{x: '1'}"))
    shell.server.fail(errors.conflict("configmaps", "a", "changed"), verb="patch")
    assert apply(shell, SETTINGS.format(name="a", data="{x: '2'}")) == (0, "configmap/a configured\n", "")


def test_force_replaces_what_cannot_be_patched(shell: Shell) -> None:
    apply(shell, POD)
    changed = POD.replace("name: node", "name: other")
    refused = apply(shell, changed)
    assert refused[0] == 1
    assert 'The Pod "web" is invalid: ' in refused[2]
    assert apply(shell, changed, "--force", "--grace-period=0")[:2] == (0, "pod/web configured\n")
    pod = shell.server.get(scheme.PODS, "default/web")
    assert pod is not None
    assert [container.name for container in pod.spec.containers] == ["other"]


def test_what_client_side_apply_made_moves_to_the_server_side(shell: Shell) -> None:
    """Without conflicts; what only the earlier file had goes, and the annotation stays true."""
    apply(shell, SETTINGS.format(name="a", data="{x: '1', old: '2'}"))
    text = SETTINGS.format(name="a", data="{x: '3'}")
    assert apply(shell, text, "--server-side") == (0, "configmap/a serverside-applied\n", "")
    stored = settings(shell)
    assert stored is not None
    assert dict(stored.data) == {"x": "3"}
    assert json.loads(stored.metadata.annotations[ANNOTATION])["data"] == {"x": "3"}
    managers = {(one.manager, one.operation) for one in stored.metadata.managedFields}
    assert managers == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    before = stored.metadata.resourceVersion
    assert apply(shell, text, "--server-side") == (0, "configmap/a serverside-applied\n", "")
    again = settings(shell)
    assert again is not None
    assert again.metadata.resourceVersion == before
    assert apply(shell, SETTINGS.format(name="a", data="{y: '4'}")) == (0, "configmap/a configured\n", "")


def test_the_server_applies(shell: Shell) -> None:
    text = SETTINGS.format(name="a", data="{x: '1'}")
    assert apply(shell, text, "--server-side") == (0, "configmap/a serverside-applied\n", "")
    stored = settings(shell)
    assert stored is not None
    assert ANNOTATION not in stored.metadata.annotations
    other = SETTINGS.format(name="a", data="{x: '2'}")
    code, stdout, stderr = apply(shell, other, "--server-side", "--field-manager=other")
    assert (code, stdout) == (1, "")
    assert stderr.startswith('error: Apply failed with 1 conflict: conflict with "kubectl": .data.x\nPlease review')
    assert stderr.endswith("using-api/server-side-apply/#conflicts\n")
    forced = apply(shell, other, "--server-side", "--field-manager=other", "--force-conflicts")
    assert forced == (0, "configmap/a serverside-applied\n", "")
    dry = apply(shell, text, "--server-side", "--dry-run=server", "--force-conflicts")
    assert dry == (0, "configmap/a serverside-applied (server dry run)\n", "")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-p", '{"data":{"x":"2"}}'), "configmap/a patched"),
        (("-p", "data: {x: '2'}"), "configmap/a patched"),
        (("-p", '{"data":{"x":"1"}}'), "configmap/a patched (no change)"),
        (("--type=json", "-p", '[{"op":"replace","path":"/data/x","value":"2"}]'), "configmap/a patched"),
        (("--type=merge", "-p", '{"data":{"x":null}}', "-o", "name"), "configmap/a"),
        (("-p", '{"data":{"x":"2"}}', "--dry-run=server"), "configmap/a patched (server dry run)"),
        (("-p", '{"data":{"x":"2"}}', "--dry-run=client"), "configmap/a patched (dry run)"),
    ],
)
def test_patch(shell: Shell, flags: tuple[str, ...], said: str) -> None:
    apply(shell, SETTINGS.format(name="a", data="{x: '1'}"))
    patched = shell("patch", "cm", "a", *flags)
    assert (patched.code, patched.stdout, patched.stderr) == (0, said + "\n", "")
    stored = settings(shell)
    assert stored is not None
    changes = "(" not in said and "null" not in "".join(flags)
    assert stored.data["x"] == ("2" if changes else "1") or "null" in "".join(flags)


def test_patch_records_and_refuses(shell: Shell, tmp_path: Path) -> None:
    apply(shell, SETTINGS.format(name="a", data="{x: '1'}"))
    (tmp_path / "patch.yml").write_text("data: {x: '2'}\n")
    assert shell("patch", "cm/a", "--patch-file", str(tmp_path / "patch.yml"), "--record").code == 0
    stored = settings(shell)
    assert stored is not None
    assert stored.metadata.annotations["kubernetes.io/change-cause"].startswith("kctl patch cm/a --patch-file=")
    missing = shell("patch", "cm", "nope", "-p", "{}")
    assert missing.stderr == 'Error from server (NotFound): configmaps "nope" not found\n'
    shell.stdin = b""
    unread = shell("patch", "cm", "a", "--patch-file", str(tmp_path / "no"))
    assert unread.stderr == f"error: unable to read patch file: open {tmp_path / 'no'}: no such file or directory\n"


def test_replace(shell: Shell) -> None:
    apply(shell, SETTINGS.format(name="a", data="{x: '1'}"))
    shell.stdin = SETTINGS.format(name="a", data="{z: '2'}").encode()
    assert shell("replace", "-f", "-", "--dry-run=client").stdout == "configmap/a replaced (dry run)\n"
    assert shell("replace", "-f", "-").stdout == "configmap/a replaced\n"
    stored = settings(shell)
    assert stored is not None
    assert (dict(stored.data), ANNOTATION in stored.metadata.annotations) == ({"z": "2"}, False)
    assert shell("replace", "-f", "-", "--save-config").code == 0
    stored = settings(shell)
    assert stored is not None
    assert ANNOTATION in stored.metadata.annotations
    shell.stdin = SETTINGS.format(name="nope", data="{}").encode()
    missing = shell("replace", "-f", "-")
    told = 'Error from server (NotFound): error when replacing "STDIN": configmaps "nope" not found\n'
    assert (missing.code, missing.stderr) == (1, told)


def test_replace_by_force(shell: Shell) -> None:
    shell.server.add(make_pod("web"), defaults=True)
    shell.stdin = POD.encode()
    replaced = shell("replace", "--force", "-f", "-")
    assert (replaced.code, replaced.stdout) == (0, 'pod "web" deleted\npod/web replaced\n')
    shell.server.remove(scheme.PODS, "default/web")
    assert shell("replace", "--force", "-f", "-").stdout == "pod/web replaced\n"


def test_create_keeps_its_configuration(shell: Shell) -> None:
    text = SETTINGS.format(name="a", data="{x: '1'}")
    shell.stdin = text.encode()
    assert shell("create", "--save-config", "-f", "-").stdout == "configmap/a created\n"
    assert apply(shell, text) == (0, "configmap/a unchanged\n", "")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--type=json", "-p", '[{"op":"remove","path":"/nothing"}]'),
            "The request is invalid: the server rejected our request due to an error in our request\n",
        ),
        (
            ("--type=merge", "-p", '{"data":{"x":1}}'),
            "The request is invalid: patch: Invalid value: ",
        ),
        (("-p", '{"metadata":{"labels":5}}'), "The request is invalid: patch: Invalid value: "),
        (
            ("-p", '{"metadata":{"ownerReferences":[{"name":"x"}]}}'),
            "Error from server: map: map[name:x] does not contain declared merge key: uid\n",
        ),
        (("-p", "[1"), "error: unable to parse "),
    ],
)
def test_a_patch_that_the_server_refuses_is_told_as_kubectl_tells_it(
    shell: Shell, flags: tuple[str, ...], said: str
) -> None:
    config = core_pb2.ConfigMap(data={"x": "1"})
    config.metadata.name, config.metadata.namespace = "a", "default"
    config.metadata.ownerReferences.add(name="y", uid="u", kind="Pod", apiVersion="v1")
    shell.server.add(config)
    done = shell("patch", "configmap", "a", *flags)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(said)
