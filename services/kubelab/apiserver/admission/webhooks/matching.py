"""Which webhooks are asked about a request (upstream: ``webhook/predicates``)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.labels import Selector
from kubelab.apimachinery.labelselectors import of_stored

GROUP = "admissionregistration.k8s.io"
_EXEMPT = frozenset({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"})
Webhook = pb.MutatingWebhook | pb.ValidatingWebhook


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request does, as rules name it."""

    name: str  # CREATE, UPDATE, DELETE
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str

    @property
    def exempt(self) -> bool:
        """Whether no webhook is asked: otherwise one could keep its own configuration from being mended."""
        return self.group == GROUP and self.resource in _EXEMPT

    @property
    def namespaced(self) -> bool:
        return bool(self.namespace) and (self.group, self.resource) != ("", "namespaces")


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration, ready to be asked."""

    webhook: Webhook
    namespaces: Selector
    objects: Selector

    @property
    def name(self) -> str:
        return self.webhook.name

    def handles(self, operation: Operation) -> bool:
        """Whether its rules name this operation."""
        return any(_matches(rule, operation) for rule in self.webhook.rules)


def _matches(rule: pb.RuleWithOperations, operation: Operation) -> bool:
    return (
        _is_among(operation.name, rule.operations)
        and _is_among(operation.group, rule.rule.apiGroups)
        and _is_among(operation.version, rule.rule.apiVersions)
        and any(_names(pattern, operation) for pattern in rule.rule.resources)
        and (rule.rule.scope in ("", "*") or (rule.rule.scope == "Namespaced") is operation.namespaced)
    )


def _is_among(value: str, patterns: Iterable[str]) -> bool:
    return any(pattern in ("*", value) for pattern in patterns)


def _names(pattern: str, operation: Operation) -> bool:
    """Whether ``pods``, ``pods/status``, ``pods/*``, ``*/scale`` or ``*`` names the resource; ``*`` alone names no
    subresource."""
    resource, _, subresource = pattern.partition("/")
    return resource in ("*", operation.resource) and subresource in ("*", operation.subresource)


@functools.lru_cache(maxsize=256)
def mutating_hooks(raw: bytes) -> tuple[Hook, ...]:
    """Decode a configuration, once for each revision of it."""
    return _hooks(pb.MutatingWebhookConfiguration.FromString(raw).webhooks)


@functools.lru_cache(maxsize=256)
def validating_hooks(raw: bytes) -> tuple[Hook, ...]:
    """Decode a configuration, once for each revision of it."""
    return _hooks(pb.ValidatingWebhookConfiguration.FromString(raw).webhooks)


def _hooks(webhooks: Iterable[Webhook]) -> tuple[Hook, ...]:
    return tuple(Hook(w, of_stored(w.namespaceSelector), of_stored(w.objectSelector)) for w in webhooks)


def selects(hook: Hook, namespace: Mapping[str, str] | None, *objects: Mapping[str, str] | None) -> bool:
    """Whether the selectors choose a request: by its namespace's labels, None for one that is in none, and by those of
    the new or the old object."""
    if namespace is not None and not hook.namespaces.matches(namespace):
        return False
    return any(labels is not None and hook.objects.matches(labels) for labels in objects)
