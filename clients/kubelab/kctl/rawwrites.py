"""``--raw`` of create, replace and delete: a path of Kubernetes' REST interface, and a body, over gRPC.

It serves objects and their collections, and the status of an object; ``kctl get --raw`` reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from kubelab.kctl.documentprinters import document_of
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.get import raw
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client
    from kubelab.kctl.commonflags import FilenameOptions


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A path with its parameters, and where the body is: a file, ``-``, or "" for none."""

    path: raw.RawPath
    query: Mapping[str, str]
    body: str

    def options(self, *known: str) -> dict[str, Any]:
        """Give the parameters as the client's methods take them. Raises Failed for one that the request has not."""
        if unknown := sorted(set(self.query) - {"dryRun", *known}):
            served = ", ".join(("dryRun", *known))
            raise Failed(f"error: --raw does not serve the parameters {', '.join(unknown)} here; it serves {served}")
        names = {"fieldManager": "field_manager", "fieldValidation": "field_validation"}
        options: dict[str, Any] = {names[key]: self.query[key] for key in known if key in self.query}
        return {**options, "dry_run": self.query.get("dryRun") == "All"}


def request_of(uri: str, options: FilenameOptions, *, output: str, selector: str = "") -> RawRequest:
    """Check what goes with ``--raw``, in kubectl's words."""
    if len(options.filename) > 1:
        raise UsageProblem("--raw can only use a single local file or stdin")
    if options.filename and options.filename[0].startswith(("http://", "https://")):
        raise UsageProblem("--raw cannot read from a url")
    if options.recursive:
        raise UsageProblem("--raw and --recursive are mutually exclusive")
    if selector:
        raise UsageProblem("--raw and --selector (-l) are mutually exclusive")
    if output:
        raise UsageProblem("--raw and --output are mutually exclusive")
    if not uri.startswith("/"):
        raise UsageProblem(f'--raw must be a valid URL path: parse "{uri}": invalid URI for request')
    parts = urlsplit(uri)
    path = raw.path_of([segment for segment in parts.path.split("/") if segment])
    query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return RawRequest(path, query, options.filename[0] if options.filename else "")


def create(session: Session, request: RawRequest) -> int:
    """POST an object to its collection."""
    path = request.path
    if path.name:
        raise Failed("error: the server does not allow this method on the requested resource")
    obj = _object(session, request)
    sent = request.options("fieldManager", "fieldValidation")
    return _show(session, lambda client: client.create(obj, path.namespace, **sent))


def put(session: Session, request: RawRequest) -> int:
    """PUT an object, or its status."""
    from kubelab.apimachinery.meta import meta_of

    path = request.path
    if not path.name or path.subresource not in ("", "status"):
        raise Failed("error: the server does not allow this method on the requested resource")
    obj = _object(session, request)
    meta = meta_of(obj)
    meta.namespace = meta.namespace or path.namespace
    if (meta.name, meta.namespace) != (path.name, path.namespace):
        raise Failed(
            f"Error from server (BadRequest): the name of the object ({meta.name}) does not match the name on the URL "
            f"({path.name})"
        )
    sent = request.options("fieldManager", "fieldValidation")
    if path.subresource:
        return _show(session, lambda client: client.update_status(obj, **sent))
    return _show(session, lambda client: client.update(obj, **sent))


def delete(session: Session, request: RawRequest) -> int:
    """DELETE an object or a collection; the body is its DeleteOptions."""
    path = request.path
    if path.subresource:
        raise Failed("error: the server does not allow this method on the requested resource")
    body = _body(session, request) if request.body else {}
    preconditions: dict[str, Any] = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    policy = body.get("propagationPolicy")
    if not path.name:
        sent = request.options()
        document = session.run(lambda client: _delete_all(client, path, grace, policy, dry=sent["dry_run"]))
        print(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        return 0
    sent = request.options()
    return _show(
        session,
        lambda client: client.delete(
            path.resource,
            path.name,
            path.namespace,
            grace_period_seconds=grace,
            propagation_policy=policy,
            uid=preconditions.get("uid", ""),
            resource_version=preconditions.get("resourceVersion", ""),
            **sent,
        ),
    )


async def _delete_all(
    client: Client, path: raw.RawPath, grace: int | None, policy: str | None, *, dry: bool
) -> dict[str, Any]:
    deleted = await client.delete_collection(
        path.resource, path.namespace, grace_period_seconds=grace, propagation_policy=policy, dry_run=dry
    )
    return raw.list_document(path, deleted)


def _show(session: Session, work: Callable[[Client], Coroutine[Any, Any, Message]]) -> int:
    document = document_of(session.run(work))
    print(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    return 0


def _text(session: Session, request: RawRequest) -> str:
    try:
        data = session.factory.stdin() if request.body == "-" else Path(request.body).read_bytes()
        return data.decode()
    except OSError as err:
        raise Failed(f"error: open {request.body}: {(err.strerror or '').lower()}") from err
    except UnicodeDecodeError as err:
        raise Failed(f"error: {request.body} is not UTF-8 text") from err


def _body(session: Session, request: RawRequest) -> dict[str, Any]:
    try:
        found = json.loads(_text(session, request))
    except ValueError as err:
        raise Failed(f"error: {request.body} is not JSON: {err}") from err
    if not isinstance(found, dict):
        raise Failed(f"error: {request.body} has no object, but {type(found).__name__}")
    return found


def _object(session: Session, request: RawRequest) -> Message:
    """Read the body as an object of the path's kind. Unknown fields are warned of, as REST does by default."""
    from kubelab.apimachinery.manifest.decode import decode
    from kubelab.apimachinery.manifest.diagnostics import Diagnostic, ManifestError

    unknown: list[Diagnostic] = []
    strict = request.query.get("fieldValidation") == "Strict"
    try:
        documents = decode(_text(session, request), request.body, None if strict else unknown)
    except ManifestError as err:
        raise Failed(f"error: {err}") from err
    if request.query.get("fieldValidation") != "Ignore":
        for field in unknown:
            session.warn(f'unknown field "{field.path}"')
    if len(documents) != 1 or documents[0].resource is not request.path.resource:
        raise Failed(f"error: {request.body} has no single object of the kind {request.path.resource.kind}")
    return documents[0].obj
