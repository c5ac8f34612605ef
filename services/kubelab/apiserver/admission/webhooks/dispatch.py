"""Asks the webhooks that match a request: mutating ones one after the other, then validating ones side by side
(https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import structlog
from google.protobuf.message import Message

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import errors, jsonobjects
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.patch import jsonpatch
from kubelab.apimachinery.patch.errors import PatchError
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apimachinery.scheme import MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS
from kubelab.apimachinery.scheme import Resource as AnyResource
from kubelab.apiserver.admission.operations import Operation
from kubelab.apiserver.admission.requests import Reviewed, document
from kubelab.apiserver.admission.webhooks import review
from kubelab.apiserver.admission.webhooks.calling import Caller, CallError
from kubelab.apiserver.admission.webhooks.hooks import Hook, mutating_hooks, validating_hooks
from kubelab.apiserver.admission.webhooks.review import Answer, ReviewError
from kubelab.apiserver.cel.admission import Budget, Evaluation, conditions_met
from kubelab.apiserver.cel.expressions import EvaluationError
from kubelab.apiserver.watchcache.cache import ResourceCache

log = structlog.get_logger()


class Called(NamedTuple):
    """A webhook, and the operation as its rules name it."""

    hook: Hook
    operation: Operation


class Webhooks:
    """The webhooks of a cluster, from the caches of their configurations."""

    def __init__(self, caches: Mapping[AnyResource[Message], ResourceCache], caller: Caller) -> None:
        self._mutating = caches[MUTATING_WEBHOOK_CONFIGURATIONS]
        self._validating = caches[VALIDATING_WEBHOOK_CONFIGURATIONS]
        self._caller = caller

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._mutating.entries or self._validating.entries)

    def of(self, reviewed: Reviewed) -> Review | None:
        """Choose the webhooks whose rules name what a request does. None where there are none."""
        if reviewed.operation.configures_admission:
            return None
        mutating = _chosen(self._mutating, mutating_hooks, reviewed)
        validating = _chosen(self._validating, validating_hooks, reviewed)
        return Review(self._caller, reviewed, mutating, validating) if mutating or validating else None


def _chosen(cache: ResourceCache, decode: Callable[[bytes], tuple[Hook, ...]], reviewed: Reviewed) -> list[Called]:
    entries = sorted(cache.entries.values(), key=lambda entry: entry.name)
    hooks = [hook for entry in entries for hook in decode(entry.raw)]
    found = [(hook, hook.matched(reviewed.operation, reviewed.versions)) for hook in hooks]
    return [Called(hook, operation) for hook, operation in found if operation is not None]


class Review:
    """One request and the webhooks that are asked about it."""

    def __init__(
        self, caller: Caller, reviewed: Reviewed, mutating: Sequence[Called], validating: Sequence[Called]
    ) -> None:
        self._caller, self._reviewed = caller, reviewed
        self._request = reviewed.request
        self.mutating, self.validating = mutating, validating

    async def mutate(self, new: Message | None, old: Message | None, version: str = "") -> Message | None:
        """Let the mutating webhooks change the new object; gives it as it is then. ``version`` is the resourceVersion
        of the old one. Raises what a webhook says against the request, and InternalError for one that fails."""
        seen: dict[int, JSONObject] = {}
        asked: list[int] = []
        for number, called in enumerate(self.mutating):
            if not self._wants(called, new, old, version):
                continue
            new = await self._ask_to_mutate(called, new, old, version)
            asked.append(number)
            if new is not None:
                seen[number] = message_to_dict(new)
        for number in asked:  # once more those that others have changed the object behind
            called = self.mutating[number]
            again = cast(pb.MutatingWebhook, called.hook.webhook).reinvocationPolicy == "IfNeeded"
            if not again or new is None or message_to_dict(new) == seen[number]:
                continue
            if self._wants(called, new, old, version):
                new = await self._ask_to_mutate(called, new, old, version)
        return new

    async def validate(self, new: Message | None, old: Message | None, version: str = "") -> None:
        """Let the validating webhooks refuse the request; raises the first refusal."""
        chosen = [called for called in self.validating if self._wants(called, new, old, version)]
        if not chosen:
            return
        answers = await asyncio.gather(*(self._ask(one, new, old, version) for one in chosen), return_exceptions=True)
        for called, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                self._warn(answer)
                if answer.refusal is not None:
                    raise answer.refusal
                if answer.patch:
                    raise _failed(called.hook, "a validating webhook returned a patch")

    async def _ask_to_mutate(
        self, called: Called, new: Message | None, old: Message | None, version: str
    ) -> Message | None:
        answer = await self._ask(called, new, old, version)
        if answer is None:
            return new
        self._warn(answer)
        if answer.refusal is not None:
            raise answer.refusal
        if not answer.patch:
            return new
        if new is None:
            raise _failed(
                called.hook,
                "admission webhook attempted to modify the object, which is not supported for this operation",
            )
        try:
            return self._patched(called, new, answer.patch)
        except (PatchError, jsonobjects.DecodingError, ValueError) as err:
            raise errors.InternalError(f"Internal error occurred: {err}") from err

    def _patched(self, called: Called, new: Message, patch: bytes) -> Message:
        seen = self._reviewed.seen_as(new, called.operation)
        kind = self._reviewed.kind(new, called.operation)
        changed = jsonpatch.apply(document(seen, kind), jsonpatch.decode(patch))
        if (changed.get("apiVersion"), changed.get("kind")) != (kind.api_version, kind.kind):
            raise ValueError("a patch of a webhook may not change apiVersion or kind")
        obj, _ = jsonobjects.decode(changed, type(seen))
        jsonobjects.align(obj, seen)
        return self._reviewed.given_back(obj, called.operation)

    async def _ask(self, called: Called, new: Message | None, old: Message | None, version: str) -> Answer | None:
        """Ask one webhook; None where it failed and its policy is to ignore that."""
        hook, operation = called
        if self._request.dry_run and hook.webhook.sideEffects not in ("None", "NoneOnDryRun"):
            raise errors.BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        asked = review.review_of(
            hook,
            self._reviewed.described(_shown(new, old), operation),
            self._reviewed.document(new, operation, version),
            self._reviewed.document(old, operation, version),
        )
        try:
            answer = await self._caller.call(hook, asked)
            return review.read(answer, asked["request"]["uid"], asked["apiVersion"], hook)
        except (CallError, ReviewError) as err:
            if hook.webhook.failurePolicy == "Ignore":
                log.warning("failed calling webhook, failing open", webhook=hook.name, error=str(err))
                return None
            raise _failed(hook, str(err)) from err

    def _wants(self, called: Called, new: Message | None, old: Message | None, version: str) -> bool:
        """Whether a webhook's selectors and match conditions choose the request. Forbidden where a condition cannot be
        evaluated, unless the webhook's failures are ignored."""
        hook, operation = called
        if not self._reviewed.selected(hook.namespaces, hook.objects, new, old):
            return False
        if not hook.conditions:
            return True
        values = {
            "object": self._reviewed.document(new, operation, version),
            "oldObject": self._reviewed.document(old, operation, version),
            "request": self._reviewed.described(_shown(new, old), operation),
            "namespaceObject": None,  # match conditions of webhooks do not see it
        }
        try:
            return conditions_met(hook.conditions, Evaluation(values, Budget()))
        except EvaluationError as err:
            if hook.webhook.failurePolicy == "Ignore":
                log.warning("failed evaluating match conditions, failing open", webhook=hook.name, error=str(err))
                return False
            raise self._reviewed.refusal(_shown(new, old), str(err)) from err

    def _warn(self, answer: Answer) -> None:
        self._request.warnings = [*self._request.warnings, *answer.warnings]


def _failed(hook: Hook, why: str) -> errors.InternalError:
    return errors.InternalError(f'Internal error occurred: failed calling webhook "{hook.name}": {why}')


def _shown(new: Message | None, old: Message | None) -> Message:
    """Give the object that a request is about."""
    shown = new if new is not None else old
    assert shown is not None
    return shown
