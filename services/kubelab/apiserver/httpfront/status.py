"""Errors as HTTP answers: a ``Status`` with its code, and the headers that go with it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apiserver.httpfront.negotiation import JSON
from kubelab.rpc import warnings


def document(status: meta_pb2.Status) -> JSONObject:
    """Give a status as JSON has it."""
    body = message_to_dict(status)
    details = body.get("details")
    if details is not None and not details and not status.reason:
        del body["details"]
    return {"kind": "Status", "apiVersion": "v1", **body}


def response(err: ApiError) -> web.Response:
    """Make the answer to a request that failed."""
    status = err.to_status()
    if not status.details.ByteSize():
        status.ClearField("details")
    headers = {"Cache-Control": "no-cache, private"}
    if err.retry_after_seconds:
        headers["Retry-After"] = str(err.retry_after_seconds)
    if err.code == 401:
        headers["WWW-Authenticate"] = 'Basic realm="kubernetes-master"'
        del headers["WWW-Authenticate"]
    body = json.dumps(document(status), separators=(",", ":")) + "\n"
    return web.Response(status=err.code, body=body.encode(), content_type=JSON, headers=headers)


def warning_headers(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Give a ``Warning`` header for each warning, in the form and the bounds that upstream keeps."""
    return [("Warning", f'299 - "{_quoted(text.decode())}"') for _, text in warnings.metadata(texts)]


def _quoted(text: str) -> str:
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
