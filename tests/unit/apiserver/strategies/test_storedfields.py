"""Rules of the fields that a pod has and kubelab does not act on yet: volumes, probes, hooks, placement."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.apimachinery.manifest.decode import decode
from tests.unit.apiserver.strategies.answers import RULES

CONTAINER = "  containers:\n  - name: c\n    image: a\n"


def pod(spec: str) -> Any:
    (document,) = decode(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: d}}\nspec:\n{spec}", "pod.yml")
    RULES["pods"].default(document.obj)
    RULES["pods"].prepare_for_create(document.obj)
    return document.obj


CASES = {
    "emptyDir and another source": (
        CONTAINER + "  volumes: [{name: v, emptyDir: {}, secret: {secretName: s}}]",
        ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
    ),
    "a secret without a name": (
        CONTAINER + "  volumes: [{name: v, secret: {}}]",
        ["spec.volumes[0].secret.secretName: Required value"],
    ),
    "two mounts at one path": (
        CONTAINER + "    volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a}]\n  volumes: [{name: v}]",
        ['spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
    ),
    "no handler": (
        CONTAINER + "    startupProbe: {periodSeconds: 1}",
        ["spec.containers[0].startupProbe: Required value: must specify a handler type"],
    ),
    "a readiness probe that ends the container": (
        CONTAINER + "    readinessProbe: {tcpSocket: {port: 80}, terminationGracePeriodSeconds: 1}",
        [
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: "
            "must not be set for readinessProbes"
        ],
    ),
    "a port that is none": (
        CONTAINER + "    livenessProbe: {grpc: {port: 70000}}",
        [
            "spec.containers[0].livenessProbe.grpc.port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    ),
    "a scheme that is none": (
        CONTAINER + "    lifecycle: {preStop: {httpGet: {port: 80, scheme: FTP}}}",
        [
            'spec.containers[0].lifecycle.preStop.httpGet.scheme: Unsupported value: "FTP": '
            'supported values: "HTTP", "HTTPS"'
        ],
    ),
    "an init container with a container's name": (
        CONTAINER + "  initContainers: [{name: c, image: a}]",
        ['spec.initContainers[0].name: Duplicate value: "c"'],
    ),
    "an init container's own faults": (
        CONTAINER + "  initContainers: [{name: i, image: a, volumeMounts: [{name: v, mountPath: /a}]}]",
        ['spec.initContainers[0].volumeMounts[0].name: Not found: "v"'],
    ),
    "a sidecar has probes": (
        CONTAINER + "  initContainers: [{name: i, image: a, restartPolicy: Always, livenessProbe: {grpc: {port: 1}}}]",
        [],
    ),
    "In without values": (
        CONTAINER + "  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
        "{nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}]}]}}}",
        [
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
            ".matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        ],
    ),
    "a weight out of range": (
        CONTAINER + "  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: "
        "[{weight: 0, preference: {}}]}}",
        [
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: "
            "Invalid value: 0: must be in the range 1-100"
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pod_is_refused_in_upstreams_words(case: str) -> None:
    spec, expected = CASES[case]
    assert [f"{cause.field}: {cause.message}" for cause in RULES["pods"].validate(pod(spec))] == expected


def test_what_is_not_said_gets_upstreams_defaults() -> None:
    obj = pod(CONTAINER + "    livenessProbe: {httpGet: {port: 80}}\n  volumes: [{name: v}]")
    probe = obj.spec.containers[0].livenessProbe
    assert (probe.timeoutSeconds, probe.periodSeconds, probe.successThreshold, probe.failureThreshold) == (1, 10, 1, 3)
    assert (probe.handler.httpGet.path, probe.handler.httpGet.scheme) == ("/", "HTTP")
    assert obj.spec.volumes[0].volumeSource.HasField("emptyDir")
