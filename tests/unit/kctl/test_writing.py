"""``kctl create``, ``run``, ``delete`` and ``scale``: what they ask of the server, and what they say of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.errors import Cause
from kubelab.client.client import Client
from kubelab.kctl.delete import FORCE_WARNING, SCOPE_WARNING
from kubelab.kctl.deleting import until_gone
from kubelab.kctl.resource import Info
from tests.support.clock import FakeClock
from tests.support.objects import namespace as make_namespace
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: app
    image: x
"""
BAD = POD.format(name="bad").replace("image:", "imagine:")


def test_create_from_files(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(POD.format(name="b") + "---\n" + POD.format(name="c"))
    (tmp_path / "a.json").write_text('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}')
    (tmp_path / "c.txt").write_text("not a manifest")
    created = shell("create", "-f", str(tmp_path))
    assert created.stdout == "namespace/n created\npod/b created\npod/c created\n"
    assert (created.code, created.stderr) == (0, "")
    assert shell.server.get(scheme.PODS, "default/b") is not None


def test_warnings_are_printed_once_each(shell: Shell) -> None:
    shell.server.warnings = ["spec.a: hardly meant", "spec.b: \x1b[2J"]
    shell.stdin = f"{POD.format(name='a')}---\n{POD.format(name='b')}".encode()
    created = shell("create", "-f", "-")
    assert (created.code, created.stdout) == (0, "pod/a created\npod/b created\n")
    assert created.stderr == "Warning: spec.a: hardly meant\nWarning: spec.b: ^[[2J\n"
    run = shell("run", "c", "--image=x")
    assert (run.stdout, run.stderr) == ("pod/c created\n", created.stderr)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"apiVersion: v1\nkind: Pod\ndata: " + b"[" * 100_000, "f.yml: error converting YAML to JSON: yaml: line 3: "),
        (b"apiVersion: v1\nkind: \0\n", "f.yml: error converting YAML to JSON: yaml: line 2: character U+0000 "),
        ("kind: Pod\n".encode("utf-16"), "f.yml: line 1: not UTF-8 text; it is UTF-16, save it as UTF-8"),
        (b"\x7fELF\xff\xff", "f.yml: line 1: not UTF-8 text"),
        (b"'" + b"x" * 1_000_000, "f.yml: error converting YAML to JSON: yaml: line 1: "),
    ],
)
def test_a_hostile_file_is_one_line_of_error(shell: Shell, tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "f.yml").write_bytes(content)
    for command in ("create", "delete"):
        refused = shell(command, "-f", str(tmp_path / "f.yml"))
        assert (refused.code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("error: error parsing ")
        assert told in refused.stderr
        assert (refused.stderr.count("\n"), len(refused.stderr) < 500) == (1, True)


def test_nothing_is_created_when_any_file_is_wrong(shell: Shell, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(POD.format(name="good"))
    bad.write_text(BAD)
    refused = shell("create", "-f", str(good), "-f", str(bad))
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr == (
        f'error: error validating "{bad}": error validating data: {bad}:8: unknown field '
        '"spec.containers[0].imagine", did you mean "image"?\n'
    )
    assert not shell.server.calls


def test_one_refused_object_does_not_stop_the_others(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "three.yml"
    file.write_text("---\n".join(POD.format(name=n) for n in ("a", "taken", "c")))
    shell.server.add(make_pod("taken"))
    created = shell("create", "-f", str(file))
    assert (created.code, created.stdout) == (1, "pod/a created\npod/c created\n")
    told = f'Error from server (AlreadyExists): error when creating "{file}": pods "taken" already exists\n'
    assert created.stderr == told


def test_what_was_printed_can_be_created_again(shell: Shell) -> None:
    shell.server.add(make_pod("web"))
    shell.stdin = shell("get", "pod", "web", "-o", "yaml").stdout.replace("name: web", "name: again").encode()
    assert b"resourceVersion" in shell.stdin
    assert shell("create", "-f", "-").stdout == "pod/again created\n"


def test_invalid_objects_as_kubectl_lists_them(shell: Shell) -> None:
    shell.stdin = POD.format(name="web").encode()
    one, two = Cause("spec.a", "Required value"), Cause("spec.b", 'Invalid value: "x": bad')
    shell.server.fail(errors.invalid("Pod", "web", [one]), verb="create")
    assert shell("create", "-f", "-").stderr == 'The Pod "web" is invalid: spec.a: Required value\n'
    shell.server.fail(errors.invalid("Pod", "web", [one, two]), verb="create")
    told = 'The Pod "web" is invalid: \n* spec.a: Required value\n* spec.b: Invalid value: "x": bad\n'
    assert shell("create", "-f", "-").stderr == told
    shell.server.fail(
        errors.Invalid("x", name="l", kind="Lease", group="coordination.k8s.io", causes=[one]), verb="create"
    )
    assert shell("create", "-f", "-").stderr == 'The Lease "l" is invalid: spec.a: Required value\n'
    shell.server.fail(errors.not_found("namespaces", "nowhere"), verb="create")
    told = 'Error from server (NotFound): error when creating "STDIN": namespaces "nowhere" not found\n'
    assert shell("create", "-f", "-", "-n", "nowhere").stderr == told


def test_the_namespace_of_a_file_and_of_the_command_line(shell: Shell) -> None:
    shell.server.add(make_namespace("a"))
    shell.stdin = POD.format(name="web\n  namespace: a").encode()
    told = (
        'error: the namespace from the provided object "a" does not match the namespace "b". '
        "You must pass '--namespace=a' to perform this operation.\n"
    )
    assert shell("create", "-f", "-", "-n", "b").stderr == told
    assert shell("create", "-f", "-").code == 0
    assert shell.server.get(scheme.PODS, "a/web") is not None


def test_a_dry_run_prints_what_the_file_has(shell: Shell) -> None:
    shell.stdin = b"""\
{apiVersion: v1, kind: Pod, metadata: {generateName: a-}, spec: {containers: [{name: b, image: c, resources: {}}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: space}, status: {}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: cm, namespace: mine}}
"""
    assert (
        shell("create", "-f", "-", "--dry-run=client", "-o", "yaml").stdout
        == """\
apiVersion: v1
kind: Pod
metadata:
  generateName: a-
  namespace: default
spec:
  containers:
  - image: c
    name: b
    resources: {}
---
apiVersion: v1
kind: Namespace
metadata:
  name: space
status: {}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: cm
  namespace: mine
"""
    )
    named = shell("create", "-f", "-", "--dry-run=client")
    assert named.stdout.splitlines() == [
        "pod/<unknown> created (dry run)",
        "namespace/space created (dry run)",
        "configmap/cm created (dry run)",
    ]
    assert shell("create", "-f", "-", "--dry-run=client", "-o", "name").stdout.startswith("pod/<unknown>\n")


def test_several_objects_are_several_documents(shell: Shell) -> None:
    shell.stdin = f"{POD.format(name='a')}---\n{POD.format(name='b')}".encode()
    created = shell("create", "-f", "-", "-o", "yaml").stdout
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(created)] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "\n", "---\n---\n", "# only a comment\n"])
def test_nothing_to_create(shell: Shell, text: str) -> None:
    shell.stdin = text.encode()
    refused = shell("create", "-f", "-")
    assert (refused.code, refused.stderr) == (1, "error: no objects passed to create\n")


def test_generated_objects(shell: Shell) -> None:
    assert shell("run", "web", "--image=x", "--port=8080").stdout == "pod/web created\n"
    pod = shell.server.get(scheme.PODS, "default/web")
    assert pod is not None
    assert pod.spec.containers[0].ports[0].containerPort == 8080
    told = 'Error from server (AlreadyExists): pods "web" already exists\n'
    assert shell("run", "web", "--image=x").stderr == told
    assert shell("create", "service", "loadbalancer", "node", "--tcp=80:8080").stdout == "service/node created\n"
    told = 'error: failed to create LoadBalancer service: services "node" already exists\n'
    assert shell("create", "service", "loadbalancer", "node", "--tcp=80:8080").stderr == told
    assert shell("create", "ns", "a", "-o", "name").stdout == "namespace/a\n"
    shell.server.down = True
    told = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n"
    told += "A cluster that is stopped is started by: kubelab up\n"
    assert shell("create", "service", "nodeport", "x", "--tcp=80").stderr == told


def test_delete_by_name_file_and_selector(shell: Shell) -> None:
    shell.server.add(make_pod("a"), make_pod("b"), make_pod("c"), make_pod("d"))
    for name, label in (("e", "x"), ("f", "x"), ("g", "y")):
        pod = make_pod(name)
        pod.metadata.labels["app"] = label
        shell.server.add(pod)
    assert shell("delete", "pods", "a").stdout == 'pod "a" deleted\n'
    assert shell("delete", "po/b", "pod/c", "-o", "name").stdout == "pod/b\npod/c\n"
    shell.stdin = POD.format(name="d").encode()
    assert shell("delete", "-f", "-").stdout == 'pod "d" deleted\n'
    assert shell("delete", "pods,svc", "-l=app=x").stdout == 'pod "e" deleted\npod "f" deleted\n'
    assert shell("delete", "pods", "--all", "--dry-run=client").stdout == 'pod "g" deleted (dry run)\n'
    assert shell("delete", "pods", "--all").stdout == 'pod "g" deleted\n'
    assert shell("delete", "pods", "--all").stdout == "No resources found\n"
    assert not shell.server.objects(scheme.PODS)


NAMELESS = b"{apiVersion: v1, kind: ConfigMap, metadata: {%s}}"
TOLD = "error: resource name may not be empty\n"


@pytest.mark.parametrize("metadata", [b"", b"generateName: gen-", b'name: ""'])
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("delete", 'error: error when deleting "STDIN": resource name may not be empty\n'),
        ("delete --ignore-not-found", 'error: error when deleting "STDIN": resource name may not be empty\n'),
        ("get", TOLD),
        ("describe", TOLD),
        ("wait --for=delete", TOLD),
        ("scale --replicas=1", TOLD),
    ],
)
def test_a_file_without_a_name_means_no_object_and_not_all(
    shell: Shell, command: str, told: str, metadata: bytes
) -> None:
    shell.stdin = NAMELESS % b"name: a" + b"\n---\n" + NAMELESS % metadata
    refused = shell(*command.split(), "-f", "-")
    assert (refused.code, refused.stdout, refused.stderr) == (1, "", told)
    assert not shell.server.calls


@pytest.mark.parametrize("command", ["delete", "get", "describe", "wait --for=delete", "scale --replicas=1"])
def test_an_empty_name_means_no_object_and_not_all(shell: Shell, command: str) -> None:
    for names in (["a", ""], [""]):
        refused = shell(*command.split(), "cm", *names)
        assert (refused.code, refused.stdout, refused.stderr) == (1, "", TOLD)
    assert not shell.server.calls


def test_delete_takes_of_a_file_what_a_selector_chooses(shell: Shell) -> None:
    for name in ("a", "b"):
        shell.server.add(core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(name=name, namespace="default")))
    shell.stdin = NAMELESS % b"name: a" + b"\n---\n" + NAMELESS % b"name: b, labels: {app: x}"
    nothing = shell("delete", "-f", "-", "-l", "app=z")
    assert (nothing.code, nothing.stdout, nothing.stderr) == (0, "No resources found\n", "")
    assert shell("delete", "-f", "-", "-l", "app=x").stdout == 'configmap "b" deleted\n'
    assert [cm.metadata.name for cm in shell.server.objects(scheme.CONFIG_MAPS)] == ["a"]


@pytest.mark.parametrize("command", ["get", "describe", "delete", "wait --for=create", "scale --replicas=1"])
def test_files_or_arguments(shell: Shell, command: str) -> None:
    told = "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
    assert shell(*command.split(), "-f", "-", "cm").stderr == f"error: {told}\n"


def test_a_failed_deletion_is_told_before_the_others_are_gone(shell: Shell) -> None:
    pod = make_pod("web")
    pod.spec.nodeName = "node-1"  # it has thirty seconds of grace, and nobody ends it
    shell.server.add(pod)
    deleted = shell("delete", "pod", "web", "nope")
    told = 'Error from server (NotFound): pods "nope" not found\n'
    assert (deleted.code, deleted.stdout, deleted.stderr) == (1, 'pod "web" deleted\n', told)
    assert not shell.server.calls_of("watch")


def test_deleting_what_is_not_there(shell: Shell) -> None:
    missing = shell("delete", "pod", "x", "y")
    told = 'Error from server (NotFound): pods "x" not found\nError from server (NotFound): pods "y" not found\n'
    assert (missing.code, missing.stdout, missing.stderr) == (1, "", told)
    ignored = shell("delete", "pod", "x", "--ignore-not-found")
    assert (ignored.code, ignored.stdout, ignored.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("flags", "grace", "policy", "said"),
    [
        ([], None, "Background", "deleted"),
        (["--grace-period=5"], 5, "Background", "deleted"),
        (["--grace-period=0"], 1, "Background", "deleted"),
        (["--now"], 1, "Background", "deleted"),
        (["--force"], 0, "Background", "force deleted"),
        (["--force", "--grace-period=0"], 0, "Background", "force deleted"),
        (["--cascade=orphan"], None, "Orphan", "deleted"),
        (["--cascade=foreground"], None, "Foreground", "deleted"),
        (["--cascade"], None, "Background", "deleted"),
    ],
)
def test_how_it_is_deleted(shell: Shell, flags: list[str], grace: int | None, policy: str, said: str) -> None:
    shell.server.add(make_pod("web"))
    deleted = shell("delete", "pod", "web", "--wait=false", *flags)
    assert deleted.stdout == f'pod "web" {said}\n'
    assert deleted.stderr == (FORCE_WARNING + "\n" if "--force" in flags else "")
    request = shell.server.calls_of("delete")[0].request
    options = request.options  # type: ignore[union-attr]
    assert (options.gracePeriodSeconds if options.HasField("gracePeriodSeconds") else None) == grace
    assert options.propagationPolicy == policy


@pytest.mark.parametrize(("word", "policy"), [("true", "background"), ("1", "background"), ("false", "orphan")])
def test_cascades_of_old(shell: Shell, word: str, policy: str) -> None:
    shell.server.add(make_pod("web"))
    deleted = shell("delete", "pod", "web", f"--cascade={word}", "--wait=false")
    told = f"warning: --cascade={word} is deprecated (boolean value) and can be replaced with --cascade={policy}.\n"
    assert (deleted.code, deleted.stdout, deleted.stderr) == (0, 'pod "web" deleted\n', told)
    options = shell.server.calls_of("delete")[0].request.options  # type: ignore[union-attr]
    assert options.propagationPolicy == policy.title()


async def test_delete_waits_until_the_object_is_gone(shell: Shell) -> None:
    """A placed pod has thirty seconds of grace; one of the same name that is made anew does not count."""
    server = shell.server
    pod = make_pod("web")
    pod.spec.nodeName = "node-1"
    server.add(pod)
    uid = server.objects(scheme.PODS)[0].metadata.uid
    client: Client = server.client()
    await client.delete(scheme.PODS, "web", "default")
    waiting = asyncio.ensure_future(until_gone(client, Info(scheme.PODS, "web", "default"), uid, FakeClock()))
    await server.until(lambda: server.watching(scheme.PODS) == 1)
    server.compact()
    server.break_watches(errors.Expired("too old resource version"))
    await server.until(lambda: server.watching(scheme.PODS) == 1 and len(server.calls_of("watch")) == 2)
    assert not waiting.done()
    server.remove(scheme.PODS, "default/web")
    server.add(make_pod("web"))
    await asyncio.wait_for(waiting, 10)
    assert server.watching(scheme.PODS) == 0


def test_deleting_times_out(shell: Shell) -> None:
    pod = make_pod("web")
    pod.spec.nodeName = "node-1"
    shell.server.add(pod)
    waited = shell("delete", "pod", "web", "--timeout=10ms")
    assert (waited.code, waited.stdout) == (1, 'pod "web" deleted\n')
    assert waited.stderr == "error: timed out waiting for the condition\n"


def test_cluster_scoped_objects_are_warned_of(shell: Shell) -> None:
    shell.server.add(core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="a")))
    deleted = shell("delete", "ns", "a", "-n", "b")
    assert (deleted.stdout, deleted.stderr) == ('namespace "a" deleted\n', SCOPE_WARNING + "\n")


def rc(name: str, replicas: int) -> core_pb2.ReplicationController:
    made = core_pb2.ReplicationController(spec=core_pb2.ReplicationControllerSpec(replicas=replicas))
    made.metadata.name, made.metadata.namespace = name, "default"
    return made


def test_scale(shell: Shell) -> None:
    shell.server.add(rc("web", 2), rc("db", 1))
    assert shell("scale", "rc", "web", "--replicas=5").stdout == "replicationcontroller/web scaled\n"
    assert shell("scale", "rc/web", "rc/db", "--replicas=3").stdout == (
        "replicationcontroller/web scaled\nreplicationcontroller/db scaled\n"
    )
    told = "error: Expected replicas to be 7, was 3\n"
    assert shell("scale", "rc/web", "--current-replicas=7", "--replicas=1").stderr == told
    assert shell("scale", "rc", "--all", "--replicas=0", "-o", "name").stdout == (
        "replicationcontroller/db\nreplicationcontroller/web\n"
    )
    assert [r.spec.replicas for r in shell.server.objects(scheme.REPLICATION_CONTROLLERS)] == [0, 0]
    told = 'error: no objects passed to scale replicationcontrollers "nope" not found\n'
    assert shell("scale", "rc/nope", "--replicas=1").stderr == told
    told = (
        'error: no objects passed to scale [replicationcontrollers "nope" not found, '
        'replicationcontrollers "no" not found]\n'
    )
    assert shell("scale", "rc", "nope", "no", "--replicas=1").stderr == told
    some = shell("scale", "rc", "nope", "web", "--replicas=1")
    told = 'Error from server (NotFound): replicationcontrollers "nope" not found\n'
    assert (some.code, some.stdout, some.stderr) == (1, "replicationcontroller/web scaled\n", told)
    told = "error: --replicas must be less than or equal to 2147483647\n"
    assert shell("scale", "rc/web", "--replicas=2147483648").stderr == told
    shell.server.add(make_pod("pod"))
    told = "Error from server (NotFound): the server could not find the requested resource\n"
    assert shell("scale", "pod/pod", "--replicas=1").stderr == told


def test_scale_waits_for_the_replicas(shell: Shell) -> None:
    shell.clock = FakeClock(auto=True)
    one, two = rc("one", 1), rc("two", 2)
    two.status.replicas = 3
    shell.server.add(one, two)
    assert shell("scale", "rc/two", "--replicas=3", "--timeout=1h").stdout == "replicationcontroller/two scaled\n"
    late = shell("scale", "rc/one", "--replicas=3", "--timeout=1h")
    assert (late.code, late.stdout) == (1, "")
    assert late.stderr == 'error: timed out waiting for "one" to be synced\n'
    assert shell.clock.monotonic() == 3600


def test_scale_is_tried_again_when_the_object_changed_meanwhile(shell: Shell) -> None:
    shell.server.add(rc("web", 2))
    shell.server.fail(errors.conflict("replicationcontrollers", "web", "changed"), verb="update")
    assert shell("scale", "rc/web", "--replicas=5").stdout == "replicationcontroller/web scaled\n"
