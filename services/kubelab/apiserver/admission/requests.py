"""One request as webhooks and policies see it: what it does to which object, in whose name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import errors
from kubelab.apimachinery.labels import Selector
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apimachinery.scheme import NAMESPACES, Resource
from kubelab.apiserver.admission.operations import Operation
from kubelab.apiserver.endpoints.decoding import GroupVersionKind, kind_of
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.table import Resources
from kubelab.auth.users import User

_NAMESPACE = GroupVersionKind("v1", "Namespace")


def document(obj: Message, kind: GroupVersionKind, version: str = "") -> JSONObject:
    """Give an object as webhooks and policies read it; ``version`` is its resourceVersion."""
    body: JSONObject = {"kind": kind.kind, "apiVersion": kind.api_version, **message_to_dict(obj)}
    if version:
        body["metadata"] = {**body.get("metadata", {}), "resourceVersion": version}
    return body


class Reviewed:
    """A write under review. ``options`` are the operation's own."""

    def __init__(self, resources: Resources, request: Request, operation: Operation, options: Message) -> None:
        self._resources, self.request, self.operation = resources, request, operation
        self._options = options
        resource = request.resource
        self._versions = {one.version: one for one in (*resources.versions(resource), resource)}
        self.versions: Sequence[str] = [version for version in self._versions if version != resource.version]
        """Other versions of the kind that are served."""

    @property
    def user(self) -> User:
        assert self.request.user is not None
        return self.request.user

    def refusal(self, obj: Message, why: str) -> errors.Forbidden:
        """Refuse the request, in the words of upstream's admission."""
        resource = self.request.resource
        return errors.forbidden(resource.plural, meta_of(obj).name, why, resource.group)

    def kind(self, obj: Message, matched: Operation) -> GroupVersionKind:
        """Name the kind of an object of the request, in the version that was matched; that of a subresource may be
        another than the resource's."""
        if not isinstance(obj, cast(Any, self.request.resource.message)):
            return kind_of(type(obj))
        resource = self._versions[matched.version]
        return GroupVersionKind(resource.api_version, resource.kind)

    def seen_as(self, obj: Message, matched: Operation) -> Message:
        """Give an object of the request in the version of its kind that was matched."""
        return self._converted(obj, self.request.resource, self._versions[matched.version])

    def given_back(self, obj: Message, matched: Operation) -> Message:
        """Give an object of the version that was matched in the version of the request."""
        return self._converted(obj, self._versions[matched.version], self.request.resource)

    def document(self, obj: Message | None, matched: Operation, version: str = "") -> JSONObject | None:
        """Give an object of the request as JSON, in the version that was matched."""
        return None if obj is None else document(self.seen_as(obj, matched), self.kind(obj, matched), version)

    def described(self, shown: Message, matched: Operation) -> JSONObject:
        """Give what upstream's ``AdmissionRequest`` says, uid and objects aside. ``shown`` is the new object, or the
        one that goes."""
        o = self.operation
        request: JSONObject = {
            "kind": _kind(self.kind(shown, matched)),
            "resource": {"group": matched.group, "version": matched.version, "resource": matched.resource},
            "requestKind": _kind(self.kind(shown, o)),
            "requestResource": {"group": o.group, "version": o.version, "resource": o.resource},
            "operation": o.name,
            "userInfo": _user(self.user),
            "dryRun": self.request.dry_run,
            "options": document(self._options, GroupVersionKind("meta.k8s.io/v1", self._options.DESCRIPTOR.name)),
        }
        if o.subresource:
            request["subResource"] = request["requestSubResource"] = o.subresource
        if name := meta_of(shown).name:
            request["name"] = name
        if o.namespace:
            request["namespace"] = o.namespace
        return request

    def selected(self, namespaces: Selector, objects: Selector, new: Message | None, old: Message | None) -> bool:
        """Whether selectors choose the request: by its namespace's labels, where it is in one, and by those of the new
        or the old object."""
        labels = [meta_of(obj).labels for obj in (new, old) if obj is not None]
        operation = self.operation
        if operation.namespaced:
            entry = self._resources.caches[NAMESPACES].get("", operation.namespace)
            if not namespaces.matches(entry.labels if entry is not None else {}):
                return False
        elif (operation.group, operation.resource) == ("", "namespaces") and not namespaces.matches(labels[0]):
            return False
        return any(objects.matches(one) for one in labels)

    def namespace(self) -> JSONObject | None:
        """Give the namespace that the request is in; None where it is in none."""
        if not self.operation.namespaced:
            return None
        entry = self._resources.caches[NAMESPACES].get("", self.operation.namespace)
        if entry is None:
            return None
        return document(NAMESPACES.message.FromString(entry.raw), _NAMESPACE, str(entry.revision))

    def _converted(self, obj: Message, one: Resource[Message], other: Resource[Message]) -> Message:
        """Convert through the form in which both versions are stored."""
        if one is other or not isinstance(obj, cast(Any, one.message)):
            return obj
        caches = self._resources.caches
        stored = caches[one].kind.envelope.seal(obj.SerializeToString(deterministic=True))
        envelope = caches[other].kind.envelope
        return envelope.decode(envelope.open(stored))


@dataclass(frozen=True, slots=True)
class Reviews:
    """Makes requests reviewed ones."""

    resources: Resources

    def of(self, request: Request, operation: str, options: Message) -> Reviewed:
        """``operation`` is CREATE, UPDATE or DELETE."""
        resource, path = request.resource, request.path
        asked = Operation(
            operation, resource.group, resource.version, resource.plural, path.subresource, request.namespace
        )
        return Reviewed(self.resources, request, asked, options)


def _kind(kind: GroupVersionKind) -> Mapping[str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind.kind}


def _user(user: User) -> JSONObject:
    described: JSONObject = {"username": user.name, "groups": sorted(user.groups)}
    if user.uid:
        described["uid"] = user.uid
    if user.extra:
        described["extra"] = {key: list(values) for key, values in user.extra}
    return described
