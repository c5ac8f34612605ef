"""What the path of a URL names, as upstream's RequestInfo
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris)."""

from __future__ import annotations

from typing import NamedTuple

from kubelab.apiserver.request import RequestPath

_OF_NAMESPACE = frozenset({"status", "finalize"})  # subresources of namespaces, and no resources in them


class ResourceURL(NamedTuple):
    """``tail`` is what comes after the subresource (a proxy's own path), ``watch`` the old form ``/api/v1/watch/…``."""

    path: RequestPath
    tail: str = ""
    watch: bool = False


def parse(path: str) -> ResourceURL | None:
    """Read the decoded path of a URL; None where it names no resource, such as ``/version`` and ``/apis/apps/v1``."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, rest = "", parts[1:]
    elif parts[0] == "apis" and len(parts) > 1:
        group, rest = parts[1], parts[2:]
    else:
        return None
    if len(rest) < 2:
        return None
    version, rest = rest[0], rest[1:]
    watch = rest[0] == "watch"
    if watch and not (rest := rest[1:]):
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACE:
            namespace, rest = rest[1], rest[2:]
        elif group:
            return None
    resource, name, subresource = (*rest, "", "")[:3] if len(rest) < 3 else rest[:3]
    where = RequestPath(group, version, resource, namespace, name, subresource)
    return ResourceURL(where, "/".join(rest[3:]), watch)
