"""The errors of requests, independent of the transport.

::

    ApiError
    ├── BadRequest          400 BadRequest            the request is malformed
    │   └── Invalid         422 Invalid               the object breaks rules; every cause names its field
    ├── Unauthorized        401 Unauthorized          the caller is not authenticated
    ├── Forbidden           403 Forbidden             the caller is not authorized
    ├── NotFound            404 NotFound
    ├── MethodNotAllowed    405 MethodNotAllowed
    ├── NotAcceptable       406 NotAcceptable         the client takes no form in which the answer can be written
    ├── AlreadyExists       409 AlreadyExists
    ├── Conflict            409 Conflict              the object changed meanwhile: read it again
    ├── Expired             410 Expired               the revision is compacted: list again
    ├── TooLarge            413 RequestEntityTooLarge
    ├── UnsupportedMediaType 415 UnsupportedMediaType
    ├── TooManyRequests     429 TooManyRequests
    ├── InternalError       500 InternalError
    │   └── UnknownError    500                       the same without a reason
    ├── Unavailable         503 ServiceUnavailable    no server answers; the outcome is unknown
    └── Timeout             504 Timeout               no answer in time; the outcome is unknown

Reasons and codes are those of ``metav1.StatusReason``
(https://kubernetes.io/docs/reference/using-api/api-concepts/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from kubelab.api.meta.v1 import meta_pb2


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason among several. ``field`` is a path such as ``spec.containers[0].name``, ``reason`` upstream's
    ``FieldValueInvalid``, ``FieldValueRequired`` and so on."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class ApiError(Exception):
    """A request that failed, with what a ``meta.v1.Status`` says about it."""

    reason: ClassVar[str] = ""
    code: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        uid: str = "",
        causes: Sequence[Cause] = (),
        retry_after_seconds: int = 0,
        continue_: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.name, self.group, self.kind, self.uid = name, group, kind, uid
        self.causes = tuple(causes)
        self.retry_after_seconds = retry_after_seconds
        self.continue_ = continue_
        """Where a list whose token has expired may go on, inconsistently."""

    def to_status(self) -> meta_pb2.Status:
        """Say the same as the message that travels and that ``-o json`` shows."""
        status = meta_pb2.Status(
            status="Failure",
            message=encodable(self.message),
            reason=self.reason,
            code=self.code,
            details=meta_pb2.StatusDetails(
                name=encodable(self.name),
                group=encodable(self.group),
                kind=encodable(self.kind),
                uid=encodable(self.uid),
                retryAfterSeconds=self.retry_after_seconds,
                causes=[
                    meta_pb2.StatusCause(reason=c.reason, message=encodable(c.message), field=encodable(c.field))
                    for c in self.causes
                ],
            ),
        )
        if self.continue_:
            setattr(status.metadata, "continue", self.continue_)  # a keyword in Python
        return status

    @staticmethod
    def from_status(status: meta_pb2.Status) -> ApiError:
        """Raise-able again what :meth:`to_status` said; an unknown reason gives an :class:`InternalError`."""
        kind = BY_REASON.get(status.reason, InternalError)
        details = status.details
        return kind(
            status.message,
            name=details.name,
            group=details.group,
            kind=details.kind,
            uid=details.uid,
            causes=[Cause(c.field, c.message, c.reason) for c in details.causes],
            retry_after_seconds=details.retryAfterSeconds,
            continue_=getattr(status.metadata, "continue"),
        )


class BadRequest(ApiError):
    reason, code = "BadRequest", 400


class Invalid(BadRequest):
    reason, code = "Invalid", 422


class Unauthorized(ApiError):
    reason, code = "Unauthorized", 401


class Forbidden(ApiError):
    reason, code = "Forbidden", 403


class NotFound(ApiError):
    reason, code = "NotFound", 404


class MethodNotAllowed(ApiError):
    reason, code = "MethodNotAllowed", 405


class NotAcceptable(ApiError):
    reason, code = "NotAcceptable", 406


class AlreadyExists(ApiError):
    reason, code = "AlreadyExists", 409


class Conflict(ApiError):
    reason, code = "Conflict", 409


class Expired(ApiError):
    reason, code = "Expired", 410


class TooLarge(ApiError):
    reason, code = "RequestEntityTooLarge", 413


class UnsupportedMediaType(ApiError):
    reason, code = "UnsupportedMediaType", 415


class TooManyRequests(ApiError):
    reason, code = "TooManyRequests", 429


class InternalError(ApiError):
    reason, code = "InternalError", 500


class UnknownError(InternalError):
    """Upstream has no reason for some errors, such as a strategic merge patch without a merge key."""

    reason, code = "", 500


class Unavailable(ApiError):
    reason, code = "ServiceUnavailable", 503


class Timeout(ApiError):
    reason, code = "Timeout", 504


BY_REASON: dict[str, type[ApiError]] = {
    kind.reason: kind
    for kind in (
        BadRequest,
        Invalid,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Expired,
        TooLarge,
        UnsupportedMediaType,
        TooManyRequests,
        InternalError,
        UnknownError,
        Unavailable,
        Timeout,
    )
}


def encodable(text: str) -> str:
    r"""The text, with ``\udc80`` spelled out where it has half a surrogate pair: no message can carry that.

    Names of files have such halves for bytes that are not UTF-8, JSON has them after ``\u``.
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def not_found(resource: str, name: str, group: str = "") -> NotFound:
    """Upstream's words: ``pods "web" not found``."""
    return NotFound(f'{qualified(resource, group)} "{name}" not found', name=name, group=group, kind=resource)


def already_exists(resource: str, name: str, group: str = "") -> AlreadyExists:
    """Upstream's words: ``pods "web" already exists``."""
    return AlreadyExists(f'{qualified(resource, group)} "{name}" already exists', name=name, group=group, kind=resource)


def conflict(resource: str, name: str, why: str, group: str = "") -> Conflict:
    """Upstream's words: ``Operation cannot be fulfilled on pods "web": …``."""
    message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return Conflict(message, name=name, group=group, kind=resource)


def forbidden(resource: str, name: str, why: str, group: str = "", causes: Sequence[Cause] = ()) -> Forbidden:
    """Upstream's words: ``pods "web" is forbidden: …``; without a name ``pods is forbidden: …``."""
    subject = f'{qualified(resource, group)} "{name}"' if name else qualified(resource, group)
    return Forbidden(f"{subject} is forbidden: {why}", name=name, group=group, kind=resource, causes=causes)


def has_cause(error: ApiError, reason: str) -> bool:
    """Say whether a cause with this reason is among the error's (upstream's ``HasStatusCause``)."""
    return any(cause.reason == reason for cause in error.causes)


NAMESPACE_TERMINATING = "NamespaceTerminating"  # the reason of a cause: nothing is created in a namespace that goes
FIELD_MANAGER_CONFLICT = "FieldManagerConflict"  # the reason of a cause: an apply would change what another one manages
NOTHING_DONE = "NothingDone"  # the reason of a cause: the request was refused before anything came of it


def not_executed(message: str) -> Unavailable:
    """Refuse what this server cannot do now: nothing came of it, so that another one may be asked for writes too."""
    return Unavailable(message, causes=[Cause("", message, NOTHING_DONE)], retry_after_seconds=1)


def too_many_requests(message: str, seconds: int) -> TooManyRequests:
    """Refuse what the caller may send again after so many seconds: nothing came of it."""
    return TooManyRequests(message, causes=[Cause("", message, NOTHING_DONE)], retry_after_seconds=seconds)


def was_not_executed(error: ApiError) -> bool:
    """Say whether a request was refused before anything came of it."""
    return has_cause(error, NOTHING_DONE)


NO_SPACE = "NoSpace"  # the reason of a cause: etcd's quota is reached


def no_space(message: str) -> InternalError:
    """Refuse a write because etcd is full, in upstream's words and with what helps."""
    text = f"{message}: nothing can be written until objects are deleted"
    return InternalError(text, causes=[Cause("", message, NO_SPACE)])


def out_of_space(error: ApiError) -> bool:
    """Say whether a write was refused because etcd is full."""
    return has_cause(error, NO_SPACE)


def invalid(kind: str, name: str, causes: Sequence[Cause], group: str = "") -> Invalid:
    """Upstream's words: ``Pod "web" is invalid: spec.containers: Required value``, or a list in brackets."""
    texts = list(dict.fromkeys(f"{c.field}: {c.message}" for c in causes))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {text}'
    return Invalid(message, name=name, group=group, kind=kind, causes=causes)


def qualified(resource: str, group: str) -> str:
    """``leases.coordination.k8s.io``; the core group has no suffix."""
    return f"{resource}.{group}" if group else resource
