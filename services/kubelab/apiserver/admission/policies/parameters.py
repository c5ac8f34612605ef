"""The objects that a policy takes its parameters from, as a binding names them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.labelselectors import of_stored
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.requests import document
from kubelab.apiserver.endpoints.decoding import GroupVersionKind
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.watchcache.changes import Entry, Selection


class ParameterError(ValueError):
    """There are no parameters, in upstream's words."""


def kind_of(resources: Resources, kind: pb.ParamKind) -> Resource[Message]:
    """Find the kind of a policy's parameters; ParameterError where none of that name is stored."""
    for resource in resources.served:
        if (resource.api_version, resource.kind) == (kind.apiVersion, kind.kind) and resource in resources.caches:
            return resource
    shown = f"{kind.apiVersion}, Kind={kind.kind}"
    raise ParameterError(f"failed to find resource referenced by paramKind: '{shown}'")


def of_binding(
    resources: Resources, kind: Resource[Message], ref: pb.ParamRef, namespace: str
) -> Sequence[Mapping[str, object]]:
    """Give the parameters that a binding names, for a request in a namespace; ParameterError."""
    if kind.namespaced:
        namespace = ref.namespace or namespace
        if not namespace:
            raise ParameterError(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif ref.namespace:
        raise ParameterError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    else:
        namespace = ""
    cache = resources.caches[kind]
    entries: list[Entry]
    if ref.name:
        found = cache.get(namespace, ref.name)
        entries = [found] if found is not None else []
    else:
        entries = list(cache.select(Selection(namespace, labels=of_stored(ref.selector))))
    if not entries and ref.parameterNotFoundAction == "Deny":
        raise ParameterError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return [_document(kind, entry.raw, entry.revision) for entry in entries]


@functools.lru_cache(maxsize=256)
def _document(kind: Resource[Message], raw: bytes, revision: int) -> JSONObject:
    """Read a parameter, once for each revision. Nobody changes it."""
    obj = kind.message.FromString(raw)
    return document(obj, GroupVersionKind(kind.api_version, kind.kind), str(revision))
