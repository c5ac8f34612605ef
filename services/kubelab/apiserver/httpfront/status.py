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

_WITH_DETAILS = ("NotFound", "MethodNotAllowed", "Invalid")  # also where there is nothing in them


def document(status: meta_pb2.Status) -> JSONObject:
    """Give a status as JSON has it."""
    body = message_to_dict(status)
    if not body.get("details"):
        body.pop("details", None)
        if status.reason in _WITH_DETAILS:
            body["details"] = {}
    return {"kind": "Status", "apiVersion": "v1", **body}


def response(err: ApiError) -> web.Response:
    """Make the answer to a request that failed."""
    headers = {"Cache-Control": "no-cache, private"}
    if err.retry_after_seconds:
        headers["Retry-After"] = str(err.retry_after_seconds)
    body = json.dumps(document(err.to_status()), separators=(",", ":")) + "\n"
    return web.Response(status=err.code, body=body.encode(), content_type=JSON, headers=headers)


def warning_headers(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Give a ``Warning`` header for each warning, in the form and the bounds that upstream keeps."""
    return [("Warning", f'299 - "{_quoted(text.decode())}"') for _, text in warnings.metadata(texts)]


def _quoted(text: str) -> str:
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
