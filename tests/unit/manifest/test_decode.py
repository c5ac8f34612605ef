"""Manifests to messages: what is read, and every way in which one can be wrong, with its path, file and line."""

from __future__ import annotations

import json
from typing import cast

import pytest
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.manifest.diagnostics import DecodeStage, Diagnostic, ManifestError

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: app
    image: x
"""


def diagnostics(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(ManifestError) as refused:
        decode(text, "f.yml")
    return refused.value.diagnostics


def pod(text: str) -> core_pb2.Pod:
    (document,) = decode(text, "f.yml")
    assert isinstance(document.obj, core_pb2.Pod)
    return document.obj


def test_every_form_of_a_field() -> None:
    read = pod("""\
apiVersion: v1
kind: Pod
metadata:
  name: "1"
  creationTimestamp: null
  deletionTimestamp: 2024-05-01T12:00:00+02:00
  labels: {app: web, empty: , quoted: "true"}
spec:
  terminationGracePeriodSeconds: 0
  hostNetwork: yes
  securityContext: {}
  containers:
  - name: app
    command: [sh, -c, "sleep 1"]
    env:
    - name: A
      valueFrom: {configMapKeyRef: {name: conf, key: a, optional: false}}
    envFrom:
    - secretRef: {name: s}
    resources:
      limits: {cpu: 2, memory: 64Mi, ephemeral-storage: 1e3}
      requests: {cpu: 0.5}
""")
    assert read.metadata.name == "1"
    assert not read.metadata.HasField("creationTimestamp")
    assert read.metadata.deletionTimestamp.seconds == 1714557600
    assert dict(read.metadata.labels) == {"app": "web", "empty": "", "quoted": "true"}
    assert read.spec.HasField("terminationGracePeriodSeconds")
    assert read.spec.hostNetwork
    assert read.spec.HasField("securityContext")
    assert not read.HasField("status")
    container = read.spec.containers[0]
    assert [*container.command] == ["sh", "-c", "sleep 1"]
    reference = container.env[0].valueFrom.configMapKeyRef
    assert (reference.localObjectReference.name, reference.key) == ("conf", "a")
    assert reference.HasField("optional")
    assert container.envFrom[0].secretRef.localObjectReference.name == "s"
    limits = {key: value.string for key, value in container.resources.limits.items()}
    assert limits == {"cpu": "2", "memory": "64Mi", "ephemeral-storage": "1e3"}
    assert container.resources.requests["cpu"].string == "0.5"


@pytest.mark.parametrize(
    ("written", "kind", "number", "name"),
    [("8080", 0, 8080, ""), ('"8080"', 1, 0, "8080"), ("http", 1, 0, "http")],
)
def test_int_or_string(written: str, kind: int, number: int, name: str) -> None:
    text = f"apiVersion: v1\nkind: Service\nspec: {{ports: [{{port: 1, targetPort: {written}}}]}}"
    service = cast(core_pb2.Service, decode(text, "f")[0].obj)
    port = service.spec.ports[0].targetPort
    assert (port.type, port.intVal, port.strVal) == (kind, number, name)


@pytest.mark.parametrize(
    "written", ["NO", "y", "0123", "1_000", "1e3", "1.10", "yes", "0x1F", "+5", ".5", "1.", "-.inf", "FALSE"]
)
def test_text_that_is_no_text_is_quoted_as_it_is_written(written: str) -> None:
    """krane#818, helm#2782: ``country: NO`` and ``version: 1.10``."""
    for text in (
        f"apiVersion: v1\nkind: ConfigMap\ndata: {{k: {written}}}\n",
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{labels: {{k: {written}}}}}\n",
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {written}\n",
    ):
        (diagnostic,) = diagnostics(text)
        assert diagnostic.message.endswith(f'expected a string; write "{written}" in quotes')
        (right,) = decode(text.replace(f": {written}", f': "{written}"'), "f")
        assert written in str(right.obj), "the advice is good"


@pytest.mark.parametrize("written", ["80.0", "8e1", "80", "80.", "0x50"])
def test_a_whole_number_is_an_integer_however_it_is_written(written: str) -> None:
    text = f"apiVersion: v1\nkind: Service\nspec: {{ports: [{{port: {written}, targetPort: {written}}}]}}"
    port = cast(core_pb2.Service, decode(text, "f")[0].obj).spec.ports[0]
    assert (port.port, port.targetPort.type, port.targetPort.intVal) == (80, 0, 80)


@pytest.mark.parametrize("written", ["1e300", ".inf", ".nan", "80.5", "3000000000.0"])
def test_what_is_no_integer_is_none(written: str) -> None:
    text = f"apiVersion: v1\nkind: Service\nspec: {{ports: [{{port: {written}, targetPort: {written}}}]}}"
    assert [diagnostic.path for diagnostic in diagnostics(text)] == ["spec.ports[0].port", "spec.ports[0].targetPort"]


@pytest.mark.parametrize("written", ["1.1Gi", "0.10", "1e3", "1E3", "1.50", "128974848"])
def test_a_quantity_is_the_files_text(written: str) -> None:
    added = f"    resources: {{limits: {{memory: {written}}}}}\n"
    assert pod(POD + added).spec.containers[0].resources.limits["memory"].string == written


def test_bytes() -> None:
    text = "apiVersion: v1\nkind: Secret\ndata: {a: aGVs\n    bG8=}\nstringData: {b: c}"
    secret = cast(core_pb2.Secret, decode(text, "f")[0].obj)
    assert (dict(secret.data), dict(secret.stringData)) == ({"a": b"hello"}, {"b": "c"})


def test_documents_have_their_lines() -> None:
    text = f"# a comment\n---\n\n{POD}---\n# nothing\n---\n\n{POD.replace('web', 'db')}"
    assert [(d.name, d.line) for d in decode(text, "f")] == [("web", 4), ("db", 16)]
    assert [d.resource for d in decode(text, "f")] == [scheme.PODS, scheme.PODS]


@pytest.mark.parametrize("text", ["", "\n\n", "---\n---\n", "# only\n", "null\n", "\ufeff"])
def test_nothing(text: str) -> None:
    assert decode(text, "f") == []


def test_json() -> None:
    one = '{"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {"name": "\\ud83d\\ude00\\/"}}'
    two = '\n{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}\n'
    documents = decode(one + two, "f.json")
    assert [(d.name, d.line) for d in documents] == [("\U0001f600/", 1), ("n", 4)]
    (diagnostic,) = diagnostics(one + two.replace('"name"', '"nam"'))
    assert (diagnostic.line, diagnostic.message) == (4, 'unknown field "metadata.nam", did you mean "name"?')
    (flow,) = decode("{apiVersion: v1, kind: Pod, metadata: {name: flow}}", "f.yml")
    assert flow.name == "flow"


def test_lists_are_their_items() -> None:
    item = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
    assert [d.name for d in decode(f'{{"apiVersion": "v1", "kind": "List", "items": [{item}, {item}]}}', "f")] == [
        "a"
    ] * 2
    typed = "apiVersion: v1\nkind: PodList\nmetadata: {}\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {nme: a}"
    (diagnostic,) = diagnostics(typed)
    assert (diagnostic.path, diagnostic.line) == ("items[0].metadata.nme", 7)
    assert decode('{"apiVersion": "v1", "kind": "List", "items": []}', "f") == []


@pytest.mark.parametrize("resource", scheme.ALL, ids=lambda r: r.kind)
def test_the_list_of_a_kind_says_what_its_items_are(resource: scheme.Resource[Message]) -> None:
    """An api-server's lists have items without apiVersion and kind."""
    items = "items:\n- metadata: {name: a}\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n"
    documents = decode(f"apiVersion: {resource.api_version}\nkind: {resource.kind}List\n{items}", "f")
    assert [(d.resource.kind, d.name, d.line) for d in documents] == [(resource.kind, "a", 4), ("Pod", "b", 5)]
    assert [p.message for p in diagnostics(f"apiVersion: v1\nkind: List\n{items}")] == [
        "items[0].apiVersion not set",
        "items[0].kind not set",
    ]


def test_anchors_and_merges() -> None:
    text = """\
apiVersion: v1
kind: Pod
metadata:
  labels: &labels {a: b, c: d}
  annotations:
    <<: *labels
    c: mine
"""
    metadata = pod(text).metadata
    assert (dict(metadata.labels), dict(metadata.annotations)) == ({"a": "b", "c": "d"}, {"a": "b", "c": "mine"})


WRONG = {  # what is added to the pod, and the problem: path, line, value, expected
    "unknown field": ("    imagine: y\n", "spec.containers[0].imagine", 9, "", "image"),
    "unknown field at the top": ("spce: {}\n", "spce", 9, "", "spec"),
    "a field of another case": ("    Image: y\n", "spec.containers[0].Image", 9, "", "image"),
    "text for a number": (
        "    ports:\n    - containerPort: many\n",
        "spec.containers[0].ports[0].containerPort",
        10,
        '"many"',
        "an integer (int32)",
    ),
    "a number in quotes": (
        "    ports:\n    - containerPort: '80'\n",
        "spec.containers[0].ports[0].containerPort",
        10,
        '"80"',
        "an integer (int32)",
    ),
    "too large": (
        "    ports:\n    - containerPort: 3000000000\n",
        "spec.containers[0].ports[0].containerPort",
        10,
        "3000000000",
        "an integer (int32)",
    ),
    "a fraction": (
        "  terminationGracePeriodSeconds: 1.5\n",
        "spec.terminationGracePeriodSeconds",
        9,
        "1.5",
        "an integer (int64)",
    ),
    "true for a number": (
        "  terminationGracePeriodSeconds: true\n",
        "spec.terminationGracePeriodSeconds",
        9,
        "true",
        "an integer (int64)",
    ),
    "a number for text": ("  nodeName: 5\n", "spec.nodeName", 9, "5", 'a string; write "5" in quotes'),
    "yes for text": ("  nodeName: yes\n", "spec.nodeName", 9, "true", 'a string; write "yes" in quotes'),
    "an octal number for text": ("  nodeName: 010\n", "spec.nodeName", 9, "8", 'a string; write "010" in quotes'),
    "text for a truth value": ("  hostNetwork: 'yes'\n", "spec.hostNetwork", 9, '"yes"', "true or false"),
    "a number for a truth value": ("  hostNetwork: 1\n", "spec.hostNetwork", 9, "1", "true or false"),
    "a list for a mapping": ("  nodeSelector: [a]\n", "spec.nodeSelector", 9, '["a"]', "an object"),
    "a mapping for a list": ("  tolerations: {}\n", "spec.tolerations", 9, "{}", "a list"),
    "text for an object": ("status: x\n", "status", 9, '"x"', "an object"),
    "null in a list": ("  tolerations:\n  -\n", "spec.tolerations[0]", 10, "null", "an object"),
    "a label that is a number": (
        "  nodeSelector: {a: 1}\n",
        "spec.nodeSelector.a",
        9,
        "1",
        'a string; write "1" in quotes',
    ),
    "a quantity": (
        "    resources: {limits: {cpu: lots}}\n",
        "spec.containers[0].resources.limits.cpu",
        9,
        '"lots"',
        "a quantity such as 500m, 64Mi or 2",
    ),
    "a time": (
        "status: {startTime: yesterday}\n",
        "status.startTime",
        9,
        '"yesterday"',
        "a time such as 2006-01-02T15:04:05Z (RFC 3339)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str) -> None:
    added, path, line, value, expected = WRONG[case]
    (diagnostic,) = diagnostics(POD + added)
    assert (diagnostic.stage, diagnostic.source) == (DecodeStage.VALIDATE, "f.yml")
    assert (diagnostic.path, diagnostic.line, diagnostic.value, diagnostic.expected) == (path, line, value, expected)


@pytest.mark.parametrize(
    ("text", "stage", "line", "message"),
    [
        (
            POD.replace("Pod", "Pud"),
            DecodeStage.RECOGNIZE,
            2,
            'resource mapping not found for name: "web" namespace: "" from "f.yml": no matches for kind "Pud" in '
            'version "v1", did you mean "Pod" in version "v1"?',
        ),
        (
            POD.replace("v1", "v2"),
            DecodeStage.RECOGNIZE,
            2,
            'resource mapping not found for name: "web" namespace: "" from "f.yml": no matches for kind "Pod" in '
            'version "v2", did you mean "Pod" in version "v1"?',
        ),
        ("apiVersion: v1\nmetadata: {}\n", DecodeStage.VALIDATE, 1, "kind not set"),
        ("kind: Pod\n", DecodeStage.VALIDATE, 1, "apiVersion not set"),
        ("apiVersion: 1\nkind: Pod\n", DecodeStage.VALIDATE, 1, "apiVersion: Invalid value: 1: expected a string"),
        ("- a\n", DecodeStage.VALIDATE, 1, 'document: Invalid value: ["a"]: expected an object'),
        ("hello\n", DecodeStage.VALIDATE, 1, 'document: Invalid value: "hello": expected an object'),
        (
            POD + "  containers: []\n",
            DecodeStage.PARSE,
            9,
            'error converting YAML to JSON: yaml: line 9: key "containers" already set in map (line 6)',
        ),
        (
            "a: b\n c: d\n",
            DecodeStage.PARSE,
            2,
            "error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: &m {labels: *m}\n",
            DecodeStage.PARSE,
            3,
            "error converting YAML to JSON: yaml: line 3: document is nested too deeply or too large",
        ),
        ('{"a": }', DecodeStage.VALIDATE, 1, "apiVersion not set"),
    ],
)
def test_wrong_documents(text: str, stage: DecodeStage, line: int, message: str) -> None:
    first = diagnostics(text)[0]
    assert (first.stage, first.line) == (stage, line)
    assert first.message == message


def test_all_problems_at_once() -> None:
    text = "---\n".join([POD.replace("image", "imagine").replace("web", "5"), POD.replace("Pod", "Pud"), "kind: Pod\n"])
    with pytest.raises(ManifestError) as refused:
        decode(text, "f.yml")
    assert (
        str(refused.value)
        == """\
error validating "f.yml": error validating data:
* f.yml:4: metadata.name: Invalid value: 5: expected a string; write "5" in quotes
* f.yml:8: unknown field "spec.containers[0].imagine", did you mean "image"?
* f.yml:19: apiVersion not set
resource mapping not found for name: "web" namespace: "" from "f.yml": no matches for kind "Pud" in version "v1", \
did you mean "Pod" in version "v1"? (f.yml:11)"""
    )
