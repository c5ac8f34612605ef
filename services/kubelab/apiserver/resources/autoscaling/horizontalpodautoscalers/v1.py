"""autoscaling/v1: HorizontalPodAutoscalers in their first form, which ``kubectl autoscale`` sends.

Stored is autoscaling/v2. What v1 has no field for is in annotations of its objects, as upstream keeps it
(https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/autoscaling/v1/conversion.go), in v2's JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from google.protobuf.message import DecodeError, Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2 as v1
from kubelab.api.autoscaling.v2 import autoscaling_pb2 as v2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import jsonobjects
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.scheme import HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers.strategy import HorizontalPodAutoscalerStrategy
from kubelab.apiserver.storage.wire import Envelope
from kubelab.apiserver.strategies.rules import Rules

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
CURRENT_METRICS, CONDITIONS = f"{_PREFIX}current-metrics", f"{_PREFIX}conditions"


def to_v2(obj: v1.HorizontalPodAutoscaler) -> v2.HorizontalPodAutoscaler:
    """Give the stored form."""
    made = v2.HorizontalPodAutoscaler(metadata=obj.metadata)
    _copy_shared(obj, made)
    annotations = made.metadata.annotations
    made.spec.metrics.extend(_taken(annotations, METRICS, v2.MetricSpec))
    made.status.currentMetrics.extend(_taken(annotations, CURRENT_METRICS, v2.MetricStatus))
    made.status.conditions.extend(_taken(annotations, CONDITIONS, v2.HorizontalPodAutoscalerCondition))
    for behavior in _taken(annotations, BEHAVIOR, v2.HorizontalPodAutoscalerBehavior):
        made.spec.behavior.CopyFrom(behavior)
    if obj.spec.HasField("targetCPUUtilizationPercentage"):
        aim = made.spec.metrics.add(type="Resource").resource
        aim.name, aim.target.type = "cpu", "Utilization"
        aim.target.averageUtilization = obj.spec.targetCPUUtilizationPercentage
    if obj.status.HasField("currentCPUUtilizationPercentage"):
        measured = made.status.currentMetrics.add(type="Resource").resource
        measured.name = "cpu"
        measured.current.averageUtilization = obj.status.currentCPUUtilizationPercentage
    return made


def from_v2(obj: v2.HorizontalPodAutoscaler) -> v1.HorizontalPodAutoscaler:
    """Give the form of v1."""
    made = v1.HorizontalPodAutoscaler(metadata=obj.metadata)
    _copy_shared(obj, made)
    annotations = made.metadata.annotations
    metrics, measured = list(obj.spec.metrics), list(obj.status.currentMetrics)
    cpu = next((one for one in metrics if _of_cpu(one) and one.resource.target.HasField("averageUtilization")), None)
    if cpu is not None:
        metrics.remove(cpu)
        made.spec.targetCPUUtilizationPercentage = cpu.resource.target.averageUtilization
    now = next((one for one in measured if _of_cpu(one) and one.resource.current.HasField("averageUtilization")), None)
    if now is not None:
        measured.remove(now)
        made.status.currentCPUUtilizationPercentage = now.resource.current.averageUtilization
    _put(annotations, METRICS, metrics)
    _put(annotations, CURRENT_METRICS, measured)
    _put(annotations, CONDITIONS, obj.status.conditions)
    if obj.spec.HasField("behavior"):
        annotations[BEHAVIOR] = _json(message_to_dict(obj.spec.behavior))
    return made


def _of_cpu(metric: v2.MetricSpec | v2.MetricStatus) -> bool:
    return metric.type == "Resource" and metric.resource.name == "cpu"


def _copy_shared(obj: Any, made: Any) -> None:
    """Copy what both versions have."""
    _copy(obj.spec, made.spec, "minReplicas", "maxReplicas")
    _copy(obj.spec.scaleTargetRef, made.spec.scaleTargetRef, "kind", "name", "apiVersion")
    _copy(obj.status, made.status, "observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")


def _copy(source: Any, target: Any, *fields: str) -> None:
    for field in fields:
        if source.DESCRIPTOR.fields_by_name[field].has_presence and not source.HasField(field):
            continue
        value = getattr(source, field)
        if isinstance(value, Message):
            getattr(target, field).CopyFrom(value)
        else:
            setattr(target, field, value)


def _put(annotations: Any, name: str, parts: Any) -> None:
    if parts:
        annotations[name] = _json([message_to_dict(one) for one in parts])


def _taken(annotations: Any, name: str, kind: type[Any]) -> list[Any]:
    """Take an annotation away and read it; nothing where it is not what :func:`from_v2` has written."""
    text = annotations.pop(name, "") if name in annotations else ""
    try:
        found: Any = json.loads(text) if text else []
        return [jsonobjects.decode(one, kind)[0] for one in (found if isinstance(found, list) else [found])]
    except (ValueError, AttributeError, RecursionError):
        return []


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


class V1Envelope(Envelope):
    """Seals and opens what is stored as v2."""

    def __init__(self) -> None:
        super().__init__(cast(Any, HORIZONTAL_POD_AUTOSCALERS_V1))
        self._stored = Envelope(cast(Any, HORIZONTAL_POD_AUTOSCALERS))

    def seal(self, raw: bytes) -> bytes:
        stored = to_v2(v1.HorizontalPodAutoscaler.FromString(raw))
        return self._stored.seal(stored.SerializeToString(deterministic=True))

    def open(self, value: bytes) -> bytes:
        raw = self._stored.open(value)
        try:
            return from_v2(v2.HorizontalPodAutoscaler.FromString(raw)).SerializeToString(deterministic=True)
        except DecodeError as err:
            raise ValueError(f"what is stored is no HorizontalPodAutoscaler: {err}") from err


class V1Strategy(Rules):
    """The rules of v2, for objects of v1."""

    unconditional_update = HorizontalPodAutoscalerStrategy.unconditional_update
    default_policy = HorizontalPodAutoscalerStrategy.default_policy
    has_generation = HorizontalPodAutoscalerStrategy.has_generation
    warns_of_updates = HorizontalPodAutoscalerStrategy.warns_of_updates

    def __init__(self) -> None:
        self._rules = HorizontalPodAutoscalerStrategy(HORIZONTAL_POD_AUTOSCALERS)
        self.has_status = self._rules.has_status

    def default(self, obj: Any) -> None:
        self._change(obj, self._rules.default)

    def prepare_for_create(self, obj: Any) -> None:
        self._change(obj, self._rules.prepare_for_create)

    def prepare_for_update(self, obj: Any, old: Any) -> None:
        self._change(obj, lambda new: self._rules.prepare_for_update(new, to_v2(old)))

    def prepare_for_status_update(self, obj: Any, old: Any) -> None:
        self._change(obj, lambda new: self._rules.prepare_for_status_update(new, to_v2(old)))

    def validate(self, obj: Any) -> list[Cause]:
        return self._rules.validate(to_v2(obj))

    def validate_update(self, obj: Any, old: Any) -> list[Cause]:
        return self._rules.validate_update(to_v2(obj), to_v2(old))

    def validate_status_update(self, obj: Any, old: Any) -> list[Cause]:
        return self._rules.validate_status_update(to_v2(obj), to_v2(old))

    def warnings(self, obj: Any) -> list[str]:
        return self._rules.warnings(to_v2(obj))

    def selectable_fields(self, obj: Any) -> Mapping[str, str]:
        return self._rules.selectable_fields(to_v2(obj))

    def graceful_delete_seconds(self, obj: Any, options: meta_pb2.DeleteOptions) -> int | None:
        return self._rules.graceful_delete_seconds(to_v2(obj), options)

    @staticmethod
    def _change(obj: v1.HorizontalPodAutoscaler, change: Callable[[v2.HorizontalPodAutoscaler], None]) -> None:
        stored = to_v2(obj)
        change(stored)
        obj.CopyFrom(from_v2(stored))
