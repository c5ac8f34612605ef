"""``kctl autoscale``."""

from __future__ import annotations

import pytest

from tests.unit.kctl.conftest import Shell

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "x:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec: {containers: [{name: main, image: "x:1"}]}
"""


@pytest.fixture
def web(shell: Shell) -> Shell:
    shell.add(DEPLOYMENT)
    return shell


def test_an_autoscaler_is_made(web: Shell) -> None:
    done = web("autoscale", "deploy", "web", "--min=2", "--max=5", "--cpu-percent=80")
    assert done.stdout == "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    made = "{.spec.scaleTargetRef.kind} {.spec.minReplicas} {.spec.maxReplicas} {.spec.metrics[0].resource.target}"
    shown = web("get", "hpa", "web", "-o", f"jsonpath={made}").stdout
    assert shown == 'Deployment 2 5 {"averageUtilization":80,"type":"Utilization"}'
    again = web("autoscale", "deploy/web", "--max=5")
    assert 'horizontalpodautoscalers.autoscaling "web" already exists' in again.stderr


def test_what_is_sent(web: Shell) -> None:
    assert web("autoscale", "deploy", "web", "--name=x", "--max=3", "--dry-run=client", "-o", "yaml").stdout == (
        "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata:\n  creationTimestamp: null\n  name: x\n"
        "spec:\n  maxReplicas: 3\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: web\n"
        "status:\n  currentReplicas: 0\n  desiredReplicas: 0\n"
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("deploy web", 'error: required flag(s) "max" not set\n'),
        ("deploy web --max=0", "error: --max=MAXPODS is required and must be at least 1, max: 0\n"),
        (
            "deploy web --max=1 --min=2",
            "error: --max=MAXPODS must be larger or equal to --min=MINPODS, max: 1, min: 2\n",
        ),
        (
            "pod web --max=2",
            "error: cannot autoscale a Pod: could not find scale subresource for /v1, Resource=pods in discovery "
            "information\n",
        ),
        ("deploy none --max=2", 'Error from server (NotFound): deployments.apps "none" not found\n'),
    ],
)
def test_refused(web: Shell, words: str, error: str) -> None:
    outcome = web("autoscale", *words.split())
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(error)
