"""What a webhook is sent and what it answers: ``AdmissionReview`` of admission.k8s.io/v1 and v1beta1
(https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request)."""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from typing import Any, cast

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, jsonobjects
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apiserver.admission.webhooks.hooks import Hook

VERSIONS = ("v1", "v1beta1")
_CLASSES: dict[int, type[errors.ApiError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    410: errors.Expired,
    413: errors.TooLarge,
    422: errors.Invalid,
    429: errors.TooManyRequests,
    500: errors.InternalError,
    503: errors.Unavailable,
    504: errors.Timeout,
}


class ReviewError(Exception):
    """A webhook's answer is no answer to what it was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``patch`` is the text of a JSON patch, empty for none; ``refusal`` says why the request may not go on."""

    patch: bytes
    warnings: tuple[str, ...]
    refusal: errors.ApiError | None


def review_of(hook: Hook, described: JSONObject, new: JSONObject | None, old: JSONObject | None) -> JSONObject:
    """Make a review of what a request is said to be (:meth:`Reviewed.described`)."""
    version = next((v for v in hook.webhook.admissionReviewVersions if v in VERSIONS), "v1")
    request = {"uid": str(uuid.uuid4()), **described, "object": new, "oldObject": old}
    return {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}


def read(answer: Any, uid: str, api_version: str, hook: Hook) -> Answer:
    """Read an answer; ReviewError for what is none."""
    if not isinstance(answer, dict):
        raise ReviewError("the answer is no object of JSON")
    body = cast(JSONObject, answer)
    version = body.get("apiVersion")
    if (version, body.get("kind")) != (api_version, "AdmissionReview"):
        group, _, name = str(version or "").rpartition("/")
        got = f"{group}/{name}, Kind={body.get('kind') or ''}"
        raise ReviewError(f"expected webhook response of {api_version}, Kind=AdmissionReview, got {got}")
    response = body.get("response")
    if not isinstance(response, dict):
        raise ReviewError("webhook response was absent")
    found = cast(JSONObject, response)
    if found.get("uid") != uid and api_version.endswith("/v1"):
        raise ReviewError(f'expected response.uid="{uid}", got "{found.get("uid") or ""}"')
    warnings = cast("list[Any]", found["warnings"]) if isinstance(found.get("warnings"), list) else []
    allowed = found.get("allowed")
    if not isinstance(allowed, bool):
        raise ReviewError("response.allowed is neither true nor false")
    refusal = None if allowed else _refusal(hook, found.get("status"))
    return Answer(_patch(found), tuple(str(w) for w in warnings), refusal)


def _patch(response: JSONObject) -> bytes:
    patch, kind = response.get("patch"), response.get("patchType")
    if not patch:
        if kind:
            raise ReviewError("webhook returned response.patchType but not response.patch")
        return b""
    if kind != "JSONPatch":
        if not kind:
            raise ReviewError("webhook returned response.patch but not response.patchType")
        raise ReviewError(f'webhook returned invalid response.patchType of "{kind}"')
    try:
        return base64.b64decode(patch, validate=True)
    except (binascii.Error, TypeError, ValueError) as err:
        raise ReviewError(f"webhook returned a response.patch that is not base64: {err}") from err


def _refusal(hook: Hook, given: Any) -> errors.ApiError:
    """Word a refusal as upstream's ``ToStatusErr`` does; a code that is no refusal's becomes 400."""
    try:
        status, _ = jsonobjects.decode(cast(JSONObject, given) if isinstance(given, dict) else {}, meta_pb2.Status)
    except jsonobjects.DecodingError as err:
        raise ReviewError(f"response.status cannot be read: {err}") from err
    denied = f'admission webhook "{hook.name}" denied the request'
    message = f"{denied}: {why}" if (why := status.message or status.reason) else f"{denied} without explanation"
    kind = errors.BY_REASON.get(status.reason) if status.reason else None
    if kind is None:
        kind = _CLASSES.get(status.code, errors.BadRequest if status.code < 500 else errors.InternalError)
    details = status.details
    causes = [errors.Cause(c.field, c.message, c.reason) for c in details.causes]
    return kind(message, name=details.name, group=details.group, kind=details.kind, causes=causes)
