"""Which files a volume has, from the objects that it shows."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.manifest.decode import decode
from kubelab.kubelet.volumes import ownership
from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.kubelet.volumes.payloads import Given, files_of

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  uid: u-1
  labels: {app: web, tier: front}
  annotations: {note: a "b"}
spec:
  serviceAccountName: robot
  containers:
  - name: app
    image: a
    resources: {requests: {cpu: 250m, memory: 64Mi}, limits: {cpu: 500m}}
  volumes:
  - name: v
"""
CONFIG = core_pb2.ConfigMap(data={"a.conf": "one", "b.conf": "two"}, binaryData={"raw": b"\xff\x00"})
SECRET = core_pb2.Secret(data={"password": b"s3cret"})


def pod(source: str, spec: str = "") -> core_pb2.Pod:
    (document,) = decode(f"{POD}    {source}\n{spec}", "pod.yml")
    assert isinstance(document.obj, core_pb2.Pod)
    return document.obj


def files(source: str) -> dict[str, tuple[str | bytes, int]]:
    """The files' contents and modes."""
    made = pod(source)
    given = Given(made, {"app": CONFIG}, {"db": SECRET}, {0: "eyJ", 1: "eyK"}, {"memory": "4Gi", "cpu": "2"})
    found = files_of(made.spec.volumes[0].volumeSource, given)
    return {path: (file.content, file.mode) for path, file in found.items()}


SHOWN = {
    "all keys of a config map, binary ones too": (
        "configMap: {name: app}",
        {"a.conf": (b"one", 0o644), "b.conf": (b"two", 0o644), "raw": (b"\xff\x00", 0o644)},
    ),
    "chosen keys, with a mode of their own": (
        "configMap: {name: app, defaultMode: 0400, "
        "items: [{key: a.conf, path: etc/a}, {key: raw, path: r, mode: 0777}]}",
        {"etc/a": (b"one", 0o400), "r": (b"\xff\x00", 0o777)},
    ),
    "an optional key that is not there": ("configMap: {name: app, optional: true, items: [{key: z, path: z}]}", {}),
    "an optional map that is not there": ("configMap: {name: none, optional: true}", {}),
    "a secret": ("secret: {secretName: db, defaultMode: 0440}", {"password": (b"s3cret", 0o440)}),
    "an optional secret that is not there": ("secret: {secretName: none, optional: true}", {}),
    "fields of the pod": (
        "downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, "
        "{path: one, fieldRef: {fieldPath: \"metadata.labels['app']\"}}, "
        "{path: note, mode: 0400, fieldRef: {fieldPath: metadata.annotations}}]}",
        {
            "labels": (b'app="web"\ntier="front"', 0o644),
            "one": (b"web", 0o644),
            "note": (b'note="a \\"b\\""', 0o400),
        },
    ),
    "requests and limits": (
        "downwardAPI: {items: [{path: c, resourceFieldRef: {containerName: app, resource: limits.cpu, divisor: 1m}}, "
        "{path: d, resourceFieldRef: {containerName: app, resource: requests.cpu}}, "
        "{path: m, resourceFieldRef: {containerName: app, resource: requests.memory, divisor: 1Mi}}, "
        "{path: l, resourceFieldRef: {containerName: app, resource: limits.memory, divisor: 1Gi}}]}",
        {"c": (b"500", 0o644), "d": (b"1", 0o644), "m": (b"64", 0o644), "l": (b"4", 0o644)},
    ),
    "several sources": (
        "projected: {defaultMode: 0600, sources: [{serviceAccountToken: {path: token}}, "
        "{configMap: {name: app, items: [{key: a.conf, path: ca.crt}]}}, {secret: {name: db}}, "
        "{downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}}]}",
        {
            "token": (b"eyJ", 0o600),
            "ca.crt": (b"one", 0o600),
            "password": (b"s3cret", 0o600),
            "namespace": (b"shop", 0o600),
        },
    ),
}


@pytest.mark.parametrize("case", SHOWN)
def test_what_a_volume_shows(case: str) -> None:
    source, expected = SHOWN[case]
    assert files(source) == expected


REFUSED = {
    "configMap: {name: none}": 'configmap "none" not found',
    "configMap: {name: app, items: [{key: z, path: z}]}": "configmap references non-existent config key: z",
    "secret: {secretName: none}": 'secret "none" not found',
    "secret: {secretName: db, items: [{key: z, path: z}]}": "references non-existent secret key: z",
    "projected: {sources: [{secret: {name: none}}]}": 'secret "none" not found',
    "downwardAPI: {items: [{path: x, resourceFieldRef: {containerName: z, resource: limits.cpu}}]}": (
        "container z not found"
    ),
}


@pytest.mark.parametrize("source", REFUSED)
def test_a_reference_that_leads_nowhere_is_told_in_upstreams_words(source: str) -> None:
    with pytest.raises(VolumeError) as refused:
        files(source)
    assert str(refused.value) == REFUSED[source]


WHOSE = {
    "nobody says": ("", None, None, 0o644),
    "the pod says": ("  securityContext: {runAsUser: 1000}", 1000, None, 0o600),
    "a group": ("  securityContext: {fsGroup: 2000}", None, 2000, 0o600),
    "both": ("  securityContext: {runAsUser: 1000, fsGroup: 2000}", 1000, 2000, 0o600),
}


@pytest.mark.parametrize("case", WHOSE)
def test_a_token_is_private_where_the_pod_says_whose_its_processes_are(case: str) -> None:
    spec, user, group, mode = WHOSE[case]
    made = pod("projected: {sources: [{serviceAccountToken: {path: token}}]}", spec)
    assert (ownership.user_of(made), ownership.group_of(made)) == (user, group)
    given = Given(made, tokens={0: "eyJ"}, user=user, group=group)
    token = files_of(made.spec.volumes[0].volumeSource, given)["token"]
    assert (token.mode, token.user) == (mode, user)


def test_containers_with_different_users_have_no_user_together() -> None:
    made = pod("emptyDir: {}", "  securityContext: {runAsUser: 1000}")
    made.spec.containers.add(name="other", image="a").securityContext.runAsUser = 1001
    assert ownership.user_of(made) is None
