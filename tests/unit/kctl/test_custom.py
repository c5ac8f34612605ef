"""kctl on kinds that a CustomResourceDefinition adds: it learns them from the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from kubelab.api.apiextensions.v1.apiextensions_pb2 import CustomResourceDefinition
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apiserver.customresources import naming
from kubelab.apiserver.customresources.kinds import storages_of
from tests.unit.kctl.conftest import Shell

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names:
    {plural: crontabs, singular: crontab, kind: CronTab, listKind: CronTabList, shortNames: [ct],
    categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        description: A table of times.
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            properties:
              cronSpec: {type: string, description: When it runs.}
              ports: {type: array, items: {type: object, properties: {name: {type: string}}}}
              replicas: {type: integer}
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns: [{name: Spec, type: string, jsonPath: .spec.cronSpec}]
"""
CRONTAB = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: one, labels: {a: b}}
spec: {cronSpec: "* *", replicas: 1}
"""


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Leave nothing learnt behind."""
    yield
    scheme.learn(())


@pytest.fixture
def server(shell: Shell) -> Shell:
    """A server that serves the definition."""
    (document,) = decode(CRD, "crd")
    crd = cast(CustomResourceDefinition, document.obj)
    naming.accept(crd, [], 0)
    shell.server.add(crd)
    api = shell.server.api
    for storage in storages_of(crd, lambda: False):
        cache = api.resources.make_cache(storage)
        api.resources.add(storage, cache)
        api.reflector._keep(cache)  # pyright: ignore[reportPrivateUsage]
    shell.server.front = api.resources_front  # with real tables
    return shell


def test_apply_get_change_and_delete(server: Shell) -> None:
    server.stdin = CRONTAB.encode()
    assert server("apply", "-f", "-").stdout == "crontab.stable.example.com/one created\n"
    assert server("apply", "-f", "-").stdout == "crontab.stable.example.com/one unchanged\n"
    server.stdin = CRONTAB.replace("replicas: 1", "replicas: 2").encode()
    assert server("apply", "-f", "-").stdout == "crontab.stable.example.com/one configured\n"
    assert server("get", "ct", "one", "-o", "jsonpath={.spec}").stdout == '{"cronSpec":"* *","replicas":2}'
    assert server("get", "ct").stdout.splitlines()[0].split() == ["NAME", "SPEC"]
    assert "crontab.stable.example.com/one" in server("get", "all", "-o", "name").stdout
    assert server("label", "crontab", "one", "x=y").stdout == "crontab.stable.example.com/one labeled\n"
    scaled = server("scale", "ct/one", "--replicas=3")
    assert scaled.stderr == ""
    assert scaled.stdout == "crontab.stable.example.com/one scaled\n"
    described = server("describe", "ct", "one").stdout
    assert "API Version:  stable.example.com/v1" in described
    assert "Cron Spec:  * *" in described
    assert server("delete", "-f", "-").stdout == 'crontab.stable.example.com "one" deleted\n'


def test_what_the_server_does_not_have_either(shell: Shell) -> None:
    found = shell("get", "crontabs")
    assert (found.code, found.stderr) == (1, 'error: the server doesn\'t have a resource type "crontabs"\n')
    shell.stdin = CRONTAB.encode()
    assert 'no matches for kind "CronTab" in version "stable.example.com/v1"' in shell("apply", "-f", "-").stderr


def test_explain(server: Shell) -> None:
    text = server("explain", "crontabs").stdout
    assert text.startswith(
        "GROUP:      stable.example.com\nKIND:       CronTab\nVERSION:    v1\n\nDESCRIPTION:\n    A table of times.\n"
    )
    assert "  metadata\t<ObjectMeta>\n" in text
    assert "  spec\t<Object> -required-\n    <no description>\n" in text
    text = server("explain", "ct.spec.cronSpec").stdout
    assert "FIELD: cronSpec <string>\n\n\nDESCRIPTION:\n    When it runs.\n" in text
    text = server("explain", "crontabs.stable.example.com.spec", "--recursive").stdout
    assert "  cronSpec\t<string>\n  ports\t<[]Object>\n    name\t<string>\n" in text
    assert "    annotations\t<map[string]string>\n" in server("explain", "ct", "--recursive").stdout
    assert server("explain", "ct.spec.nope").stderr == 'error: field "nope" does not exist\n'
