"""kctl names versions: the preferred one of a kind, and another one that is served besides."""

from __future__ import annotations

import json

from tests.unit.kctl.conftest import Shell

HPA = """
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 3
  targetCPUUtilizationPercentage: 60
"""


def test_the_version_that_is_preferred(shell: Shell) -> None:
    for words in ("deployments.v1.apps", "deploy.apps", "pods.v1."):
        assert shell("get", words).stderr == "No resources found in default namespace.\n", words


def test_a_version_besides(shell: Shell) -> None:
    shell.stdin = HPA.encode()
    assert shell("apply", "-f", "-").stdout == "horizontalpodautoscaler.autoscaling/web created\n"
    assert shell("apply", "-f", "-").stdout == "horizontalpodautoscaler.autoscaling/web unchanged\n"
    first = json.loads(shell("get", "horizontalpodautoscalers.v1.autoscaling", "web", "-o", "json").stdout)
    assert (first["apiVersion"], first["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 60)
    preferred = json.loads(shell("get", "hpa", "web", "-o", "json").stdout)
    assert preferred["apiVersion"] == "autoscaling/v2"
    assert preferred["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    assert "web" in shell("get", "hpa.v1.autoscaling").stdout
    assert shell("delete", "-f", "-").stdout == 'horizontalpodautoscaler.autoscaling "web" deleted\n'


def test_a_version_that_is_not_there(shell: Shell) -> None:
    found = shell("get", "deployments.v2.apps")
    assert (found.code, found.stderr) == (1, 'error: the server doesn\'t have a resource type "deployments"\n')
