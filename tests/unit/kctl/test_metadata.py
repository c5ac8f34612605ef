"""``kctl label`` and ``kctl annotate``: the words of kubectl, and what they ask of the server."""

from __future__ import annotations

import pytest

from kubelab.apimachinery import scheme
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell

POD = b"""\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: x}
  annotations: {note: x}
spec:
  containers:
  - name: app
    image: x
"""


def add(shell: Shell, *names: str) -> None:
    for name in names:
        pod = make_pod(name)
        pod.metadata.labels["app"] = "x"
        pod.metadata.annotations["note"] = "x"
        shell.server.add(pod, defaults=True)


def labels(shell: Shell, name: str) -> dict[str, str]:
    pod = shell.server.get(scheme.PODS, f"default/{name}")
    assert pod is not None
    return dict(pod.metadata.labels)


@pytest.mark.parametrize(
    ("changes", "said", "after"),
    [
        ("tier=front", "pod/web labeled", {"app": "x", "tier": "front"}),
        ("app=x", "pod/web not labeled", {"app": "x"}),
        ("app-", "pod/web unlabeled", {}),
        ("app- --overwrite", "pod/web labeled", {}),
        ("app=y --overwrite", "pod/web labeled", {"app": "y"}),
        ("gone-", 'label "gone" not found.\npod/web not labeled', {"app": "x"}),
        ("a=1 app-", "pod/web unlabeled", {"a": "1"}),
        ("a= b=c", "pod/web labeled", {"app": "x", "a": "", "b": "c"}),
        ("a=1 --dry-run=client", "pod/web labeled (dry run)", {"app": "x"}),
        ("a=1 -o name", "pod/web", {"app": "x", "a": "1"}),
    ],
)
def test_label(shell: Shell, changes: str, said: str, after: dict[str, str]) -> None:
    add(shell, "web")
    labelled = shell("label", "pod", "web", *changes.split())
    assert (labelled.code, labelled.stdout, labelled.stderr) == (0, said + "\n", "")
    assert labels(shell, "web") == after


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("label pod web app=y", "'app' already has a value (x), and --overwrite is false"),
        (
            "annotate pod web note=x b=1",
            "--overwrite is false but found the following declared annotation(s): 'note' already has a value (x)",
        ),
        ("label pod web", "at least one label update is required"),
        ("annotate pod web", "at least one annotation update is required"),
        ("label", "one or more resources must be specified as <resource> <name> or <resource>/<name>"),
        ("label a=b", "one or more resources must be specified as <resource> <name> or <resource>/<name>"),
        ("label pods a=b", "resource(s) were provided, but no name was specified"),
        ("label pods a=b c", "all resources must be specified before label changes: c"),
        ("annotate pods a=b c", "all resources must be specified before annotation changes: c"),
        ("label pods web a=b=c", "invalid label spec: a=b=c"),
        ("label pods web a=b a-", "can not both modify and remove a label in the same command"),
        (
            "annotate pods web a=b a- c=d c-",
            "can not both modify and remove the following annotation(s) in the same command: a, c",
        ),
        ("label pods --all -l a=b x=y", "cannot set --all and --selector at the same time"),
        ("label pods --all --field-selector a=b x=y", "cannot set --all and --field-selector at the same time"),
        ("label pods web --list -o yaml", "--list and --output may not be specified together"),
        ("label pods --all a=b --resource-version=1", "--resource-version may only be used with a single resource"),
        ("label pods web -A a=b", "a resource cannot be retrieved by name across all namespaces"),
        (
            "label --local pods web a=b",
            "can only use local files by -f pod.yaml or --filename=pod.json when --local=true is set",
        ),
        ("annotate --local a=b", "one or more files must be specified as -f rsrc.yaml or --filename=rsrc.json"),
        (
            "label --local -f - a=b --dry-run=server",
            "cannot specify --local and --dry-run=server - did you mean --dry-run=client?",
        ),
    ],
)
def test_refused(shell: Shell, command: str, told: str) -> None:
    add(shell, "web", "db")
    shell.stdin = POD
    refused = shell(*command.split())
    assert (refused.code, refused.stdout, refused.stderr) == (1, "", f"error: {told}\n")
    assert not shell.server.calls_of("update") + shell.server.calls_of("patch")


def test_a_selector_chooses_what_is_labelled(shell: Shell) -> None:
    add(shell, "a", "b")
    shell.server.add(make_pod("c"), defaults=True)
    assert shell("label", "pods", "-l", "app=x", "n=1").stdout == "pod/a labeled\npod/b labeled\n"
    assert shell("label", "pods", "--all", "n=1").stdout == ("pod/a not labeled\npod/b not labeled\npod/c labeled\n")
    assert shell("label", "pods", "--field-selector", "metadata.name=c", "n-").stdout == "pod/c unlabeled\n"
    assert shell("label", "pods", "-A", "-l", "n", "m=1").stdout == "pod/a labeled\npod/b labeled\n"
    assert labels(shell, "c") == {}


def test_one_refused_object_does_not_hold_back_the_others(shell: Shell) -> None:
    add(shell, "a", "b")
    shell.server.add(make_pod("c"), defaults=True)
    labelled = shell("label", "pods", "a", "nope", "b", "c", "app=y")
    assert (labelled.code, labelled.stdout) == (1, "pod/c labeled\n")
    assert labelled.stderr == (
        "'app' already has a value (x), and --overwrite is false\n"
        'Error from server (NotFound): pods "nope" not found\n'
    )


def test_listing(shell: Shell) -> None:
    add(shell, "a", "b")
    assert shell("label", "pod", "a", "--list").stdout == "app=x\n"
    assert shell("label", "pods", "a", "b", "--list").stdout == (
        "Listing labels for Pod./a:\n app=x\nListing labels for Pod./b:\n app=x\n"
    )
    assert shell("annotate", "pods", "--all", "--list").stdout.startswith("Listing annotations for Pod./a:\n note=x\n")


def test_another_resource_version_is_a_conflict(shell: Shell) -> None:
    add(shell, "web")
    refused = shell("label", "pod", "web", "a=b", "--resource-version=1")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error from server (Conflict): ")
    assert labels(shell, "web") == {"app": "x"}


def test_annotate(shell: Shell) -> None:
    add(shell, "web")
    assert shell("annotate", "pod", "web", "a=b=c", "note-").stdout == "pod/web annotated\n"
    assert shell("annotate", "pod/web", "kubernetes.io/change-cause=one").code == 0
    assert shell("annotate", "pod/web", "kubernetes.io/change-cause=two").code == 0
    pod = shell.server.get(scheme.PODS, "default/web")
    assert pod is not None
    assert dict(pod.metadata.annotations) == {"a": "b=c", "kubernetes.io/change-cause": "two"}


def test_the_command_line_is_recorded(shell: Shell) -> None:
    add(shell, "web")
    labelled = shell("label", "pod", "web", "a=b", "--record")
    assert labelled.stderr == "Flag --record has been deprecated, --record will be removed in the future\n"
    pod = shell.server.get(scheme.PODS, "default/web")
    assert pod is not None
    assert pod.metadata.annotations["kubernetes.io/change-cause"] == "kctl label pod web a=b --record=true"


def test_a_file_alone_is_changed_locally(shell: Shell) -> None:
    shell.stdin = POD
    printed = shell("label", "--local", "-f", "-", "n=1", "-o", "yaml").stdout
    assert printed == (
        'apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    note: x\n  labels:\n    app: x\n    "n": "1"\n'
        "  name: web\nspec:\n  containers:\n  - image: x\n    name: app\n"
    )
    assert shell("annotate", "--local", "-f", "-", "n=1").stdout == "pod/web annotated\n"
    assert not shell.server.calls


def test_a_file_names_what_is_labelled_on_the_server(shell: Shell) -> None:
    add(shell, "web")
    shell.stdin = POD.replace(b"{app: x}", b"{}")
    assert shell("label", "-f", "-", "n=1").stdout == "pod/web labeled\n"
    assert labels(shell, "web") == {"app": "x", "n": "1"}
