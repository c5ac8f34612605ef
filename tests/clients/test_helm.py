"""Released helm 4: a chart from ``helm create`` to ``helm uninstall``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.timeout(900)
HOOK = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-before
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: kubelab/sh:1
        command: [sh, -c, echo before]
"""
TEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations:
    helm.sh/hook: test
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: kubelab/sh:1
    command: [sh, -c, echo tested]
"""
VALUES = "--set image.repository=kubelab/web --set image.tag=1 --set service.port=8080"
NAMESPACE = "charts"


@pytest.fixture(scope="module")
def chart(tools: Terminal) -> Iterator[Terminal]:
    """The chart that ``helm create`` makes, with a hook, and a test that needs no other image."""
    tools.type("helm create nginx")
    templates = tools.folder / "nginx" / "templates"
    (templates / "before.yaml").write_text(HOOK)
    (templates / "tests" / "test-connection.yaml").write_text(TEST)
    tools.type(f"kubectl create namespace {NAMESPACE}")
    yield tools
    tools.type(f"kubectl delete namespace {NAMESPACE} --wait=false")


def helm(terminal: Terminal, words: str) -> str:
    return terminal.type(f"helm {words} --namespace {NAMESPACE}", deadline=240).stdout


def test_a_release_lives(chart: Terminal) -> None:
    installed = helm(chart, f"install web ./nginx {VALUES} --wait --timeout 120s")
    assert re.search(r"^STATUS: deployed\nREVISION: 1$", installed, re.MULTILINE)
    rows = json.loads(helm(chart, "list -o json"))
    assert [(row["name"], row["revision"], row["status"], row["chart"]) for row in rows] == [
        ("web", "1", "deployed", "nginx-0.1.0")
    ]
    ready = chart.type(f"kubectl get deployment web-nginx -n {NAMESPACE} -o jsonpath='{{.status.readyReplicas}}'")
    assert ready.stdout == "1"
    assert chart.type(f"kubectl logs job/web-before -n {NAMESPACE}").stdout == "before\n"
    assert "Phase:          Succeeded" in helm(chart, "test web --timeout 90s")
    flow = chart.type(f"kubelab flow pod/web-test -n {NAMESPACE}").stdout
    assert re.search(r"kubernetes-admin \(says Helm/4\.\S+\) ─+▶ api-server@cp-1 +patch pod web-test", flow), flow

    helm(chart, f"upgrade web ./nginx {VALUES} --set replicaCount=2 --wait --timeout 120s")
    assert "replicaCount: 2" in helm(chart, "get values web")
    assert "replicas: 2" in helm(chart, "get manifest web")
    helm(chart, "rollback web 1 --wait --timeout 120s")
    history = json.loads(helm(chart, "history web -o json"))
    assert [(row["revision"], row["status"]) for row in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert "helm.sh/hook: pre-install" in helm(chart, "get hooks web")
    assert helm(chart, "uninstall web --wait --timeout 120s") == 'release "web" uninstalled\n'
    assert json.loads(helm(chart, "list -o json")) == []
    left = chart.type(f"kubectl get deployments,services -n {NAMESPACE} -o name").stdout
    assert left == ""


def test_a_chart_that_is_refused_leaves_a_failed_release(chart: Terminal) -> None:
    refused = chart.type(f"helm install bad ./nginx --namespace {NAMESPACE} --set service.port=99999", code=1)
    assert "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive" in refused.stderr
    helm(chart, "uninstall bad")


def test_lookups_and_capabilities_come_from_the_server(chart: Terminal) -> None:
    template = chart.folder / "nginx" / "templates" / "versions.yaml"
    template.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: versions}\ndata:\n"
        "  kube: {{ .Capabilities.KubeVersion.Version | quote }}\n"
        '  apps: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}\n'
        '  found: {{ (lookup "v1" "Namespace" "" "default").metadata.name | quote }}\n'
    )
    try:
        shown = helm(chart, f"install seen ./nginx {VALUES} --dry-run=server --no-hooks")
    finally:
        template.unlink()
    assert re.search(r'^  kube: "v1\.32\.', shown, re.MULTILINE)
    assert '  apps: "true"\n  found: "default"\n' in shown


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.charts.example.com}
spec:
  group: charts.example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
"""
GADGET = """\
apiVersion: charts.example.com/v1
kind: Gadget
metadata: {name: "{{ .Release.Name }}"}
spec: {size: {{ .Values.size }}}
"""


def test_a_chart_brings_its_own_kind(chart: Terminal) -> None:
    folder = chart.folder / "gadget"
    (folder / "crds").mkdir(parents=True)
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: gadget\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text("size: 3\n")
    (folder / "crds" / "gadgets.yaml").write_text(CRD)
    (folder / "templates" / "gadget.yaml").write_text(GADGET)
    helm(chart, "install own ./gadget --wait --timeout 120s")
    size = f"kubectl get gadget own -n {NAMESPACE} -o jsonpath='{{.spec.size}}'"
    assert chart.type(size).stdout == "3"
    helm(chart, "upgrade own ./gadget --set size=4 --wait --timeout 120s")
    assert chart.type(size).stdout == "4"
    refused = chart.type(f"helm upgrade own ./gadget --namespace {NAMESPACE} --set size=large", code=1).stderr
    assert ".spec.size: expected numeric (int or float), got string" in refused
    helm(chart, "uninstall own --wait --timeout 120s")
    assert chart.type(f"kubectl get gadgets -n {NAMESPACE} -o name").stdout == ""
    chart.type("kubectl delete crd gadgets.charts.example.com --timeout=60s")
