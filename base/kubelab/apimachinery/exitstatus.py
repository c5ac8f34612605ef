"""How a remote command ended, as a ``meta.v1.Status``
(https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go).
"""

from __future__ import annotations

import json
from typing import Any

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors

NON_ZERO = "NonZeroExitCode"
EXIT_CODE = "ExitCode"


def exited(code: int) -> meta_pb2.Status:
    """Describe a command that ended with this exit code."""
    if code == 0:
        return meta_pb2.Status(status="Success")
    return meta_pb2.Status(
        status="Failure",
        reason=NON_ZERO,
        message=f"command terminated with non-zero exit code: exit status {code}",
        details=meta_pb2.StatusDetails(causes=[meta_pb2.StatusCause(reason=EXIT_CODE, message=str(code))]),
    )


def failed(message: str) -> meta_pb2.Status:
    """Describe a command that could not be run, or that was lost."""
    err = errors.InternalError(f"Internal error occurred: {message}", causes=[errors.Cause("", message, "")])
    return err.to_status()


def exit_code(status: meta_pb2.Status) -> int | None:
    """Give the exit code that a status tells; None for one that failed in another way."""
    if status.status == "Success":
        return 0
    if status.reason == NON_ZERO:
        for cause in status.details.causes:
            if cause.reason == EXIT_CODE and cause.message.isdecimal():
                return int(cause.message)
    return None


def to_json(status: meta_pb2.Status) -> bytes:
    """Encode a status as runtimes and api-servers send it in an error stream."""
    document: dict[str, Any] = {"metadata": {}, "status": status.status}
    for key in ("message", "reason"):
        if value := getattr(status, key):
            document[key] = value
    if causes := status.details.causes:
        document["details"] = {"causes": [_cause(cause) for cause in causes]}
    if status.code:
        document["code"] = status.code
    return json.dumps(document, separators=(",", ":")).encode()


def from_json(text: bytes) -> meta_pb2.Status:
    """Decode what came in an error stream; a text that is no status is a failure's message."""
    try:
        document: Any = json.loads(text)
        causes: Any = (document.get("details") or {}).get("causes") or ()
        return meta_pb2.Status(
            status=document["status"],
            reason=document.get("reason", ""),
            message=document.get("message", ""),
            code=document.get("code", 0),
            details=meta_pb2.StatusDetails(
                causes=[
                    meta_pb2.StatusCause(reason=cause.get("reason", ""), message=cause.get("message", ""))
                    for cause in causes
                ]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return failed(text.decode("utf-8", "replace"))


def _cause(cause: meta_pb2.StatusCause) -> dict[str, str]:
    return {key: value for key in ("reason", "message") if (value := getattr(cause, key))}
