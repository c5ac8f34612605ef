"""Events: those of old say when by firstTimestamp and lastTimestamp, those of new by eventTime, and have to say more
(upstream: legacyValidateEvent)."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

MAX_WORD, MAX_MESSAGE = 128, 1024  # bytes, though the message says characters
_ELSEWHERE = "does not match event.namespace"


class EventStrategy(Strategy[core_pb2.Event]):
    check_name = staticmethod(names.path_segment)

    def validate_content(self, obj: core_pb2.Event) -> list[Cause]:
        namespace = names.dns_subdomain(obj.metadata.namespace)
        return [*_legacy(obj), *causes.each("namespace", obj.metadata.namespace, namespace)]

    def validate(self, obj: core_pb2.Event) -> list[Cause]:
        return [*self.validate_content(obj), *self.validate_metadata(obj)]

    def selectable_fields(self, obj: core_pb2.Event) -> Mapping[str, str]:
        about = obj.involvedObject
        return {
            "metadata.name": obj.metadata.name,
            "metadata.namespace": obj.metadata.namespace,
            "involvedObject.kind": about.kind,
            "involvedObject.namespace": about.namespace,
            "involvedObject.name": about.name,
            "involvedObject.uid": about.uid,
            "involvedObject.apiVersion": about.apiVersion,
            "involvedObject.resourceVersion": about.resourceVersion,
            "involvedObject.fieldPath": about.fieldPath,
            "reason": obj.reason,
            "reportingComponent": obj.reportingComponent,
            "source": obj.source.component or obj.reportingComponent,
            "type": obj.type,
        }


def _legacy(obj: core_pb2.Event) -> list[Cause]:
    at_home, involved = obj.metadata.namespace, obj.involvedObject.namespace
    if not _has_time(obj):
        fits = at_home == (involved or "default")
        return [] if fits else [causes.invalid("involvedObject.namespace", involved, _ELSEWHERE)]
    complaints: list[Cause] = []
    if not involved and at_home not in ("default", "kube-system"):
        complaints.append(causes.invalid("involvedObject.namespace", involved, _ELSEWHERE))
    component = obj.reportingComponent
    if not component:
        complaints.append(causes.required("reportingController"))
    complaints += causes.each("reportingController", component, names.qualified_name(component))
    for field, word in (
        ("reportingInstance", obj.reportingInstance),
        ("action", obj.action),
        ("reason", obj.reason),
    ):
        if not word:
            complaints.append(causes.required(field))
        complaints += _at_most(field, word, MAX_WORD)
    return [*complaints, *_at_most("message", obj.message, MAX_MESSAGE)]


def _has_time(obj: core_pb2.Event) -> bool:
    return bool(obj.eventTime.seconds or obj.eventTime.nanos)


def _at_most(field: str, text: str, limit: int) -> list[Cause]:
    return [causes.invalid(field, "", f"can have at most {limit} characters")] if len(text.encode()) > limit else []
