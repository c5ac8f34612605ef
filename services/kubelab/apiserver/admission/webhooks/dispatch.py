"""Asks the webhooks that match a request: mutating ones one after the other, then validating ones side by side
(https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import structlog
from google.protobuf.message import Message

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import errors, jsonobjects
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch import jsonpatch
from kubelab.apimachinery.patch.errors import PatchError
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apimachinery.scheme import MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, VALIDATING_WEBHOOK_CONFIGURATIONS
from kubelab.apimachinery.scheme import Resource as AnyResource
from kubelab.apiserver.admission.webhooks import matching, review
from kubelab.apiserver.admission.webhooks.calling import Caller, CallError
from kubelab.apiserver.admission.webhooks.matching import Hook, Operation
from kubelab.apiserver.admission.webhooks.review import Answer, ReviewError, Subject
from kubelab.apiserver.endpoints.decoding import GroupVersionKind, kind_of
from kubelab.apiserver.request import Request
from kubelab.apiserver.watchcache.cache import ResourceCache

log = structlog.get_logger()


class Webhooks:
    """The webhooks of a cluster, from the caches of their configurations."""

    def __init__(self, caches: Mapping[AnyResource[Message], ResourceCache], caller: Caller) -> None:
        self._mutating = caches[MUTATING_WEBHOOK_CONFIGURATIONS]
        self._validating = caches[VALIDATING_WEBHOOK_CONFIGURATIONS]
        self._namespaces = caches[NAMESPACES]
        self._caller = caller

    def of(self, request: Request, name: str, options: Message) -> Review | None:
        """Choose the webhooks whose rules name an operation of a request: CREATE, UPDATE or DELETE. None where there
        are none, as for most requests."""
        if not self._mutating.entries and not self._validating.entries:
            return None
        resource, path = request.resource, request.path
        operation = Operation(
            name, resource.group, resource.version, resource.plural, path.subresource, request.namespace
        )
        if operation.exempt:
            return None
        mutating = _chosen(self._mutating, matching.mutating_hooks, operation)
        validating = _chosen(self._validating, matching.validating_hooks, operation)
        if not mutating and not validating:
            return None
        return Review(self._caller, self._labels_of, request, operation, _options(options), mutating, validating)

    def _labels_of(self, namespace: str) -> Mapping[str, str]:
        entry = self._namespaces.get("", namespace)
        return entry.labels if entry is not None else {}


def _chosen(cache: ResourceCache, decode: Callable[[bytes], tuple[Hook, ...]], operation: Operation) -> list[Hook]:
    entries = sorted(cache.entries.values(), key=lambda entry: entry.name)
    return [hook for entry in entries for hook in decode(entry.raw) if hook.handles(operation)]


def _options(options: Message) -> JSONObject:
    return {"kind": options.DESCRIPTOR.name, "apiVersion": "meta.k8s.io/v1", **message_to_dict(options)}


class Review:
    """One request and the webhooks that are asked about it."""

    def __init__(
        self,
        caller: Caller,
        labels_of: Callable[[str], Mapping[str, str]],
        request: Request,
        operation: Operation,
        options: JSONObject,
        mutating: Sequence[Hook],
        validating: Sequence[Hook],
    ) -> None:
        self._caller, self._labels_of, self._request = caller, labels_of, request
        self._operation, self._options = operation, options
        self.mutating, self.validating = mutating, validating

    async def mutate(self, new: Message | None, old: Message | None, version: str = "") -> Message | None:
        """Let the mutating webhooks change the new object; gives it as it is then. ``version`` is the resourceVersion
        of the old one. Raises what a webhook says against the request, and InternalError for one that fails."""
        seen: dict[int, JSONObject] = {}
        asked: list[int] = []
        for number, hook in enumerate(self.mutating):
            if not self._selects(hook, new, old):
                continue
            new = await self._ask_to_mutate(hook, new, old, version)
            asked.append(number)
            if new is not None:
                seen[number] = message_to_dict(new)
        for number in asked:  # once more those that others have changed the object behind
            hook = self.mutating[number]
            wanted = cast(pb.MutatingWebhook, hook.webhook).reinvocationPolicy == "IfNeeded"
            if wanted and new is not None and message_to_dict(new) != seen[number] and self._selects(hook, new, old):
                new = await self._ask_to_mutate(hook, new, old, version)
        return new

    async def validate(self, new: Message | None, old: Message | None, version: str = "") -> None:
        """Let the validating webhooks refuse the request; raises the first refusal."""
        chosen = [hook for hook in self.validating if self._selects(hook, new, old)]
        if not chosen:
            return
        answers = await asyncio.gather(*(self._ask(hook, new, old, version) for hook in chosen), return_exceptions=True)
        for hook, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                self._warn(answer)
                if answer.refusal is not None:
                    raise answer.refusal
                if answer.patch:
                    raise _failed(hook, "a validating webhook returned a patch")

    async def _ask_to_mutate(
        self, hook: Hook, new: Message | None, old: Message | None, version: str
    ) -> Message | None:
        answer = await self._ask(hook, new, old, version)
        if answer is None:
            return new
        self._warn(answer)
        if answer.refusal is not None:
            raise answer.refusal
        if not answer.patch:
            return new
        if new is None:
            raise _failed(
                hook, "admission webhook attempted to modify the object, which is not supported for this operation"
            )
        try:
            return self._patched(new, answer.patch)
        except (PatchError, jsonobjects.DecodingError, ValueError) as err:
            raise errors.InternalError(f"Internal error occurred: {err}") from err

    def _patched(self, new: Message, patch: bytes) -> Message:
        kind = self._kind(new)
        changed = jsonpatch.apply(review.document(new, kind), jsonpatch.decode(patch))
        if (changed.get("apiVersion"), changed.get("kind")) != (kind.api_version, kind.kind):
            raise ValueError("a patch of a webhook may not change apiVersion or kind")
        obj, _ = jsonobjects.decode(changed, type(new))
        jsonobjects.align(obj, new)
        return obj

    async def _ask(self, hook: Hook, new: Message | None, old: Message | None, version: str) -> Answer | None:
        """Ask one webhook; None where it failed and its policy is to ignore that."""
        if self._request.dry_run and hook.webhook.sideEffects not in ("None", "NoneOnDryRun"):
            raise errors.BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        shown = new if new is not None else old
        assert shown is not None
        user = self._request.user
        assert user is not None
        subject = Subject(
            self._operation, self._kind(shown), meta_of(shown).name, user, self._request.dry_run, self._options
        )
        uid, request = review.request_of(
            hook,
            subject,
            None if new is None else review.document(new, self._kind(new), version),
            None if old is None else review.document(old, self._kind(old), version),
        )
        try:
            answer = await self._caller.call(hook, request)
            return review.read(answer, uid, request["apiVersion"], hook)
        except (CallError, ReviewError) as err:
            if hook.webhook.failurePolicy == "Ignore":
                log.warning("failed calling webhook, failing open", webhook=hook.name, error=str(err))
                return None
            raise _failed(hook, str(err)) from err

    def _kind(self, obj: Message) -> GroupVersionKind:
        """Name an object's kind; that of a subresource may be another than the resource's."""
        resource = self._request.resource
        if isinstance(obj, cast(Any, resource.message)):
            return GroupVersionKind(resource.api_version, resource.kind)
        return kind_of(type(obj))

    def _selects(self, hook: Hook, new: Message | None, old: Message | None) -> bool:
        operation = self._operation
        labels = [meta_of(obj).labels if obj is not None else None for obj in (new, old)]
        namespace: Mapping[str, str] | None = None
        if operation.namespaced:
            namespace = self._labels_of(operation.namespace)
        elif (operation.group, operation.resource) == ("", "namespaces"):
            namespace = labels[0] if labels[0] is not None else labels[1]
        return matching.selects(hook, namespace, *labels)

    def _warn(self, answer: Answer) -> None:
        self._request.warnings = [*self._request.warnings, *answer.warnings]


def _failed(hook: Hook, why: str) -> errors.InternalError:
    return errors.InternalError(f'Internal error occurred: failed calling webhook "{hook.name}": {why}')
