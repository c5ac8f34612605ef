"""The documents of discovery (https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api).

The old form has one for each group version, the aggregated one of ``apidiscovery.k8s.io`` has everything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.discovery.groups import Group, Served, Version
from kubelab.apiserver.discovery.subresources import answer

Document = dict[str, Any]


def api_versions(server: str) -> Document:
    """``/api``. ``server`` is an address and port that clients reach it at."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def api_group_list(groups: Iterable[Group]) -> Document:
    """``/apis``: every group that has a name."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in groups if group.name]}


def api_group(group: Group) -> Document:
    """``/apis/GROUP``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}


def _group(group: Group) -> Document:
    versions = [{"groupVersion": version.api_version, "version": version.name} for version in group.versions]
    return {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def api_resource_list(version: Version) -> Document:
    """``/api/v1`` and ``/apis/GROUP/VERSION``: subresources stand beside the resources, as ``pods/status``."""
    resources: list[Document] = []
    for one in version.served:
        resources.append(_resource(one.resource))
        resources += [_subresource(one, name) for name in sorted(one.subresources)]
    kind = {"kind": "APIResourceList", **({"apiVersion": "v1"} if version.group else {})}
    return {**kind, "groupVersion": version.api_version, "resources": resources}


def _resource(r: Resource[Message]) -> Document:
    document: Document = {
        "name": r.plural,
        "singularName": r.singular,
        "namespaced": r.namespaced,
        "kind": r.kind,
        "verbs": sorted(r.verbs),
    }
    _add_names(document, r)
    if "watch" in r.verbs:
        document["storageVersionHash"] = _storage_version_hash(r)
    return document


def _add_names(document: Document, r: Resource[Message]) -> None:
    """Add the names that not every resource has, which both forms spell alike."""
    if r.short_names:
        document["shortNames"] = list(r.short_names)
    if r.categories:
        document["categories"] = list(r.categories)


def _subresource(one: Served, name: str) -> Document:
    r, what = one.resource, answer(one.resource, name)
    return {
        "name": f"{r.plural}/{name}",
        "singularName": "",
        "namespaced": r.namespaced,
        **({"group": what.group, "version": what.version} if what.version else {}),
        "kind": what.kind,
        "verbs": sorted(one.subresources[name]),
    }


def _storage_version_hash(r: Resource[Message]) -> str:
    """Upstream's: eight bytes of the SHA-256 of group, version and kind."""
    return base64.b64encode(hashlib.sha256(f"{r.group}/{r.version}/{r.kind}".encode()).digest()[:8]).decode()


def aggregated(groups: Iterable[Group], version: str) -> Document:
    """``/api`` and ``/apis`` as an APIGroupDiscoveryList; ``version`` is v2 or v2beta1, which have the same fields."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {**({"name": group.name} if group.name else {}), "creationTimestamp": None},
                "versions": [_aggregated_version(one) for one in group.versions],
            }
            for group in groups
        ],
    }


def _aggregated_version(version: Version) -> Document:
    resources = [_aggregated_resource(one) for one in version.served]
    return {"version": version.name, "resources": resources, "freshness": "Current"}


def _aggregated_resource(one: Served) -> Document:
    r = one.resource
    document: Document = {
        "resource": r.plural,
        "responseKind": {"group": "", "version": "", "kind": r.kind},
        "scope": "Namespaced" if r.namespaced else "Cluster",
        "singularResource": r.singular,
        "verbs": sorted(r.verbs),
    }
    _add_names(document, r)
    if one.subresources:
        document["subresources"] = [_aggregated_subresource(one, name) for name in sorted(one.subresources)]
    return document


def _aggregated_subresource(one: Served, name: str) -> Document:
    what = answer(one.resource, name)
    return {
        "subresource": name,
        "responseKind": {"group": what.group, "version": what.version, "kind": what.kind},
        "verbs": sorted(one.subresources[name]),
    }
