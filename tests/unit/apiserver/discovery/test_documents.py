"""Discovery: the documents against upstream's of 1.32 for the resources that both have."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.apimachinery import scheme
from kubelab.apiserver.discovery import documents
from kubelab.apiserver.discovery.groups import Served, groups, preference
from kubelab.apiserver.resources.table import Resources, builtin

RESOURCES = Resources(builtin())
GROUPS = groups(Served(r, RESOURCES.subresource_verbs(r)) for r in RESOURCES.served)
VERSIONS = {version.api_version: version for group in GROUPS for version in group.versions}
ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
# From api/discovery/api__v1.json and apis__apps__v1.json of Kubernetes 1.32.
UPSTREAM: dict[str, dict[str, dict[str, Any]]] = {
    "v1": {
        "bindings": {"singularName": "binding", "namespaced": True, "kind": "Binding", "verbs": ["create"]},
        "configmaps": {
            "singularName": "configmap",
            "namespaced": True,
            "kind": "ConfigMap",
            "verbs": ALL_VERBS,
            "shortNames": ["cm"],
            "storageVersionHash": "qFsyl6wFWjQ=",
        },
        "namespaces": {
            "singularName": "namespace",
            "namespaced": False,
            "kind": "Namespace",
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            "shortNames": ["ns"],
            "storageVersionHash": "Q3oi5N2YM8M=",
        },
        "namespaces/finalize": {"singularName": "", "namespaced": False, "kind": "Namespace", "verbs": ["update"]},
        "pods": {
            "singularName": "pod",
            "namespaced": True,
            "kind": "Pod",
            "verbs": ALL_VERBS,
            "shortNames": ["po"],
            "categories": ["all"],
            "storageVersionHash": "xPOwRZ+Yhw8=",
        },
        "pods/binding": {"singularName": "", "namespaced": True, "kind": "Binding", "verbs": ["create"]},
        "pods/eviction": {
            "singularName": "",
            "namespaced": True,
            "group": "policy",
            "version": "v1",
            "kind": "Eviction",
            "verbs": ["create"],
        },
        "pods/log": {"singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]},
        "pods/status": {"singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get", "patch", "update"]},
        "replicationcontrollers/scale": {
            "singularName": "",
            "namespaced": True,
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
            "verbs": ["get", "patch", "update"],
        },
    },
    "apps/v1": {
        "deployments": {
            "singularName": "deployment",
            "namespaced": True,
            "kind": "Deployment",
            "verbs": ALL_VERBS,
            "shortNames": ["deploy"],
            "categories": ["all"],
            "storageVersionHash": "8aSe+NMegvE=",
        },
    },
}


@pytest.mark.parametrize("api_version", UPSTREAM)
def test_resources_are_listed_as_upstream_lists_them(api_version: str) -> None:
    document = documents.api_resource_list(VERSIONS[api_version])
    assert document["groupVersion"] == api_version
    listed = {one["name"]: one for one in document["resources"]}
    expected = {name: {"name": name, **entry} for name, entry in UPSTREAM[api_version].items()}
    assert {name: listed[name] for name in expected} == expected
    assert list(listed) == sorted(listed)


def test_every_resource_of_the_scheme_is_listed_in_both_forms() -> None:
    served = {(r.group, r.version, r.plural) for r in scheme.ALL}
    old = {
        (version.group, version.name, one["name"])
        for version in VERSIONS.values()
        for one in documents.api_resource_list(version)["resources"]
        if "/" not in one["name"]
    }
    aggregated = {
        (item["metadata"].get("name", ""), version["version"], one["resource"])
        for item in documents.aggregated(GROUPS, "v2")["items"]
        for version in item["versions"]
        for one in version["resources"]
    }
    assert served <= old
    assert old == aggregated


def test_the_aggregated_form_has_what_the_old_one_has() -> None:
    apps = next(group for group in GROUPS if group.name == "apps")
    for version in ("v2", "v2beta1"):
        document = documents.aggregated([apps], version)
        assert document["kind"] == "APIGroupDiscoveryList"
        assert document["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        (item,) = document["items"]
        assert item["metadata"]["name"] == "apps"
        (only,) = item["versions"]
        deployments = next(one for one in only["resources"] if one["resource"] == "deployments")
        assert deployments == {
            "resource": "deployments",
            "responseKind": {"group": "", "version": "", "kind": "Deployment"},
            "scope": "Namespaced",
            "singularResource": "deployment",
            "verbs": ALL_VERBS,
            "shortNames": ["deploy"],
            "categories": ["all"],
            "subresources": [
                {
                    "subresource": "scale",
                    "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                    "verbs": ["get", "patch", "update"],
                },
                {
                    "subresource": "status",
                    "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                    "verbs": ["get", "patch", "update"],
                },
            ],
        }


def test_groups_come_in_upstreams_order_of_preference() -> None:
    names = [group["name"] for group in documents.api_group_list(GROUPS)["groups"]]
    assert names[:3] == ["apps", "authentication.k8s.io", "authorization.k8s.io"]
    assert names.index("autoscaling") < names.index("batch") < names.index("policy")
    apps = documents.api_group(next(group for group in GROUPS if group.name == "apps"))
    only = {"groupVersion": "apps/v1", "version": "v1"}
    assert apps == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "apps",
        "versions": [only],
        "preferredVersion": only,
    }


def test_versions_are_preferred_by_their_names() -> None:
    given = ["v10alpha1", "foo1", "v1", "v11beta2", "v2", "v3beta1", "v1beta1", "v10", "v1alpha2"]
    ordered = ["v10", "v2", "v1", "v11beta2", "v3beta1", "v1beta1", "v10alpha1", "v1alpha2", "foo1"]
    assert sorted(given, key=preference) == ordered
