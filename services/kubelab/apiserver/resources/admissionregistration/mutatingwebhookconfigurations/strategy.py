"""MutatingWebhookConfigurations: each webhook by the rules of all webhooks."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver.resources.admissionregistration import webhooks
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.metadata import next_generation


class MutatingWebhookConfigurationStrategy(Strategy[pb.MutatingWebhookConfiguration]):
    has_generation: ClassVar[bool] = True

    def default(self, obj: pb.MutatingWebhookConfiguration) -> None:
        webhooks.default(obj.webhooks)

    def prepare_for_update(self, obj: pb.MutatingWebhookConfiguration, old: pb.MutatingWebhookConfiguration) -> None:
        changed = obj.webhooks != old.webhooks
        meta_of(obj).generation = next_generation(meta_of(old).generation, changed)

    def validate_content(self, obj: pb.MutatingWebhookConfiguration) -> list[Cause]:
        return webhooks.validate(obj.webhooks)
