"""``kctl get --raw``: a path of Kubernetes' REST interface, answered over gRPC.

Paths of objects and collections, ``/version``, ``/api`` and ``/apis`` with what is below them have a verb of the
api-server. Other paths (``/metrics``, ``/healthz``, ``/openapi``) are asked for over HTTPS; proxies and logs of objects
are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import Resource
from kubelab.kctl.documentprinters import document_of
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.meta.v1.meta_pb2 import APIResource
    from kubelab.client.client import Client, TypedList

_LIST_PARAMETERS = ("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion")


@dataclass(frozen=True, slots=True)
class RawPath:
    """What a path names: a resource, and an object of it unless ``name`` is empty."""

    resource: Resource[Message]
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def run(session: Session, uri: str) -> int:
    """Print the answer as JSON on one line, as kubectl prints what the server sends."""
    if not uri.startswith("/"):
        raise UsageProblem(f'--raw must be a valid URL path: parse "{uri}": invalid URI for request')
    parts = urlsplit(uri)
    segments = [segment for segment in parts.path.split("/") if segment]
    if segments and segments[0] not in ("api", "apis", "version"):
        from kubelab.kctl.get import overhttps

        return overhttps.run(session, uri)
    query = parse_qs(parts.query, keep_blank_values=True)
    document = session.run(lambda client: _answer(client, segments, query))
    print(json.dumps(document, ensure_ascii=False, separators=(",", ":")), end="\n" if segments else "")
    return 0


async def _answer(client: Client, segments: Sequence[str], query: Mapping[str, list[str]]) -> dict[str, Any]:
    match segments:
        case ["version"]:
            version = await client.server_version()
            return {"gitVersion": version.git_version, "platform": version.platform}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return _groups(await client.server_resources())
        case ["api", version]:
            return _resources(await client.server_resources(), "", version)
        case ["apis", group, version]:
            return _resources(await client.server_resources(), group, version)
        case ["api", version, *rest]:
            return await _objects(client, parse(rest, "", version), query)
        case ["apis", group, version, *rest]:
            return await _objects(client, parse(rest, group, version), query)
        case _:
            raise _not_served(segments)


def path_of(segments: Sequence[str]) -> RawPath:
    """Read the path of an object or a collection. Raises Failed."""
    match segments:
        case ["api", version, _, *_]:
            return parse(segments[2:], "", version)
        case ["apis", group, version, _, *_]:
            return parse(segments[3:], group, version)
        case _:
            raise _not_served(segments)


def parse(rest: Sequence[str], group: str, version: str) -> RawPath:
    """Read what stands behind group and version. Raises Failed for what no verb answers."""
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = scheme.by_plural(group, rest[0])
    if resource is None or resource.version != version or len(rest) > 3:
        raise _not_served(rest)
    path = RawPath(resource, namespace, *rest[1:])
    if path.subresource and path.subresource not in ("status", "scale"):
        raise Failed(f"error: --raw does not serve the subresource {path.subresource}: it has no verb over gRPC")
    return path


async def _objects(client: Client, path: RawPath, query: Mapping[str, list[str]]) -> dict[str, Any]:
    if path.name:
        if query:
            raise Failed(f"error: --raw does not serve the parameters {', '.join(query)} of a single object")
        return document_of(await client.get_subresource(path.resource, path.name, path.namespace, path.subresource))
    if unknown := sorted(set(query) - {*_LIST_PARAMETERS}):
        raise Failed(
            f"error: --raw does not serve the parameters {', '.join(unknown)}; it serves {', '.join(_LIST_PARAMETERS)}"
        )
    limit = query.get("limit", ["0"])[-1]
    if not limit.isdecimal():
        raise Failed(f"error: limit: {limit!r} is not a number")
    listed = await client.list(
        path.resource,
        path.namespace,
        label_selector=query.get("labelSelector", [""])[-1],
        field_selector=query.get("fieldSelector", [""])[-1],
        limit=int(limit),
        continue_=query.get("continue", [""])[-1],
        resource_version=query.get("resourceVersion", [""])[-1],
    )
    return list_document(path, listed)


def list_document(path: RawPath, listed: TypedList[Message]) -> dict[str, Any]:
    """Give a collection as REST answers it."""
    from kubelab.apimachinery.manifest import encode

    metadata: dict[str, Any] = {"resourceVersion": listed.resource_version}
    if listed.continue_:
        metadata["continue"] = listed.continue_
    if listed.remaining is not None:
        metadata["remainingItemCount"] = listed.remaining
    items = [
        {key: value for key, value in encode.to_dict(obj).items() if key not in ("apiVersion", "kind")}
        for obj in listed.items
    ]
    kind = f"{path.resource.kind}List"
    return {"kind": kind, "apiVersion": path.resource.api_version, "metadata": metadata, "items": items}


def _groups(resources: Sequence[APIResource]) -> dict[str, Any]:
    versions: dict[str, list[str]] = {}
    for resource in resources:
        if resource.group and resource.version not in versions.setdefault(resource.group, []):
            versions[resource.group].append(resource.version)
    groups = [
        {
            "name": group,
            "versions": [{"groupVersion": f"{group}/{v}", "version": v} for v in served],
            "preferredVersion": {"groupVersion": f"{group}/{served[0]}", "version": served[0]},
        }
        for group, served in versions.items()
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resources(resources: Sequence[APIResource], group: str, version: str) -> dict[str, Any]:
    from kubelab.apimachinery.manifest import encode

    served = [r for r in resources if (r.group, r.version) == (group, version)]
    if not served:
        raise _not_served([group, version])
    listed = [
        {key: value for key, value in encode.message_to_dict(r).items() if key not in ("group", "version")}
        for r in served
    ]
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "groupVersion": group_version, "resources": listed}


def _not_served(segments: Sequence[str]) -> Failed:
    return Failed(
        f"Error from server (NotFound): the server could not find the requested resource: no verb over gRPC answers "
        f"/{'/'.join(s for s in segments if s)}"
    )
