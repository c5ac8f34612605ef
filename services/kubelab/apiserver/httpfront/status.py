"""Errors as HTTP answers: a ``Status`` with its code, and the headers that go with it."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import ApiError, NotAcceptable
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apiserver.endpoints.decoding import GroupVersionKind
from kubelab.apiserver.httpfront import negotiation
from kubelab.apiserver.httpfront.answers import envelope, finished
from kubelab.apiserver.httpfront.jsoncache import dump
from kubelab.apiserver.httpfront.negotiation import JSON, PROTOBUF, Accepted
from kubelab.apiserver.request import Request
from kubelab.rpc import warnings

STATUS = GroupVersionKind("v1", "Status")
_WITH_DETAILS = ("NotFound", "MethodNotAllowed", "Invalid")  # also where there is nothing in them


def document(status: meta_pb2.Status) -> JSONObject:
    """Give a status as JSON has it."""
    body = message_to_dict(status)
    if not body.get("details"):
        body.pop("details", None)
        if status.reason in _WITH_DETAILS:
            body["details"] = {}
    return {"kind": "Status", "apiVersion": "v1", **body}


def response(err: ApiError, accept: str = "") -> web.Response:
    """Make the answer to a request that failed, in the first form that its client accepts, else in JSON."""
    try:
        media_type = negotiation.accepted(accept).media_type
    except NotAcceptable:
        media_type = JSON
    status = err.to_status()
    headers = {"Cache-Control": "no-cache, private"}
    if err.retry_after_seconds:
        headers["Retry-After"] = str(err.retry_after_seconds)
    if media_type == PROTOBUF:
        body = envelope(STATUS, status.SerializeToString())
    else:
        body = finished(dump(document(status)), Accepted(media_type))
    return web.Response(status=err.code, body=body, headers={**headers, "Content-Type": media_type})


def flow_headers(request: Request | None) -> dict[str, str]:
    """Say by which schema and level flow control has treated a request, where it has."""
    flow = request.flow if request is not None else None
    if flow is None:
        return {}
    return {"X-Kubernetes-PF-FlowSchema-UID": flow.schema_uid, "X-Kubernetes-PF-PriorityLevel-UID": flow.level.uid}


def warning_headers(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Give a ``Warning`` header for each warning, in the form and the bounds that upstream keeps."""
    return [("Warning", f'299 - "{_quoted(text.decode())}"') for _, text in warnings.metadata(texts)]


def _quoted(text: str) -> str:
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
