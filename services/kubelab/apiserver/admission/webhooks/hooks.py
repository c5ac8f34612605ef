"""The webhooks of a configuration, decoded once for each revision of it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.labels import Selector
from kubelab.apimachinery.labelselectors import of_stored
from kubelab.apiserver.admission.operations import Operation, Rule, matched
from kubelab.apiserver.cel.admission import Compiled, match_conditions

Webhook = pb.MutatingWebhook | pb.ValidatingWebhook


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration, ready to be asked."""

    webhook: Webhook
    rules: tuple[Rule, ...]
    namespaces: Selector
    objects: Selector
    conditions: tuple[Compiled, ...]

    @property
    def name(self) -> str:
        return self.webhook.name

    def matched(self, operation: Operation, versions: Sequence[str]) -> Operation | None:
        """Give the operation as its rules name it; None where they do not."""
        return matched(self.rules, self.webhook.matchPolicy, operation, versions)


@functools.lru_cache(maxsize=256)
def mutating_hooks(raw: bytes) -> tuple[Hook, ...]:
    """Decode a configuration, once for each revision of it."""
    return _hooks(pb.MutatingWebhookConfiguration.FromString(raw).webhooks)


@functools.lru_cache(maxsize=256)
def validating_hooks(raw: bytes) -> tuple[Hook, ...]:
    """Decode a configuration, once for each revision of it."""
    return _hooks(pb.ValidatingWebhookConfiguration.FromString(raw).webhooks)


def _hooks(webhooks: Iterable[Webhook]) -> tuple[Hook, ...]:
    return tuple(
        Hook(
            w,
            tuple(Rule.read(rule) for rule in w.rules),
            of_stored(w.namespaceSelector),
            of_stored(w.objectSelector),
            match_conditions(w.matchConditions),
        )
        for w in webhooks
    )
