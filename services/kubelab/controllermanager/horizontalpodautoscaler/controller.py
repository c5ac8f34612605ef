"""Keep the replicas of workloads within the bounds of their HorizontalPodAutoscalers.

One key is one autoscaler, looked at when it changes and every fifteen seconds, as upstream does. There are no metrics
yet: the conditions say so, and the number of replicas within the bounds is left as it is.
"""

from __future__ import annotations

from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2 as autoscaling_v1
from kubelab.api.autoscaling.v2 import autoscaling_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.core.conditions import set_condition
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating, key_of
from kubelab.apimachinery.scheme import HORIZONTAL_POD_AUTOSCALERS, Resource
from kubelab.apimachinery.timestamps import to_time
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.horizontalpodautoscaler import decide
from kubelab.rpc import tracing

SYNC_PERIOD = 15.0  # seconds, upstream's --horizontal-pod-autoscaler-sync-period
ABLE, ACTIVE = "AbleToScale", "ScalingActive"
Autoscaler = autoscaling_pb2.HorizontalPodAutoscaler


class HorizontalPodAutoscalerController(Reconciler[str]):
    """Own the size of the workloads that an autoscaler names."""

    name = "horizontalpodautoscaler"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("horizontal-pod-autoscaler")
        self._autoscalers = context.informers.of(HORIZONTAL_POD_AUTOSCALERS)
        self._autoscalers.add_handler(on_add=self._enqueue, on_update=self._updated)

    def enqueue_all(self) -> None:
        """Look at every autoscaler."""
        for hpa in self._autoscalers.list():
            self._enqueue(hpa)

    def _enqueue(self, hpa: Autoscaler) -> None:
        self._queue.add(key_of(hpa))

    def _updated(self, old: Autoscaler, new: Autoscaler) -> None:
        if old.spec != new.spec:
            self._enqueue(new)

    async def sync(self, key: str) -> None:
        """Scale one workload if it is outside of its bounds, and say what can be said of it."""
        hpa = self._autoscalers.get(key)
        if hpa is None or is_terminating(hpa):
            return
        changed = deep_copy(hpa)
        try:
            with tracing.cause(hpa.metadata.resourceVersion):
                await self._reconcile(changed)
                if changed.status != hpa.status:
                    await self._client.update_status(changed)
        except (Conflict, NotFound):
            pass  # it is looked at again below
        self._queue.add_after(key, SYNC_PERIOD)

    async def _reconcile(self, hpa: Autoscaler) -> None:
        target, namespace = hpa.spec.scaleTargetRef, hpa.metadata.namespace
        version = target.apiVersion or "v1"
        resource = scheme.by_kind(version, target.kind)
        if resource is None or "scale" not in resource.subresources:
            self._no_scale(hpa, f'no matches for kind "{target.kind}" in version "{version}"')
            return
        try:
            scale = await self._client.get_scale(resource, target.name, namespace)
        except NotFound as err:
            self._no_scale(hpa, err.message)
            return
        able = "the HPA controller was able to get the target's current scale"
        self._condition(hpa, ABLE, "True", "SucceededGetScale", able)
        current = scale.spec.replicas
        hpa.status.currentReplicas = hpa.status.desiredReplicas = current
        if current == 0:
            why = "scaling is disabled since the replica count of the target is zero"
            self._condition(hpa, ACTIVE, "False", "ScalingDisabled", why)
        elif resize := decide.bounded(hpa.spec, current):
            await self._rescale(hpa, resource, scale, resize)
        else:
            self._no_metrics(hpa)

    async def _rescale(
        self, hpa: Autoscaler, resource: Resource[Message], scale: autoscaling_v1.Scale, resize: decide.Resize
    ) -> None:
        size, reason = resize
        scale.spec.replicas = size
        try:
            await self._client.update_scale(resource, scale.metadata.name, scale.metadata.namespace, scale)
        except ApiError as err:
            told = f"New size: {size}; reason: {reason}; error: {err.message}"
            self._recorder.event(hpa, "Warning", "FailedRescale", told)
            why = f"the HPA controller was unable to update the target scale: {err.message}"
            self._condition(hpa, ABLE, "False", "FailedUpdateScale", why)
            return
        why = f"the HPA controller was able to update the target scale to {size}"
        self._condition(hpa, ABLE, "True", "SucceededRescale", why)
        self._recorder.event(hpa, "Normal", "SuccessfulRescale", f"New size: {size}; reason: {reason}")
        hpa.status.desiredReplicas = size
        hpa.status.lastScaleTime.CopyFrom(to_time(self._clock.time()))

    def _no_scale(self, hpa: Autoscaler, why: str) -> None:
        self._recorder.event(hpa, "Warning", "FailedGetScale", why)
        message = f"the HPA controller was unable to get the target's current scale: {why}"
        self._condition(hpa, ABLE, "False", "FailedGetScale", message)

    def _no_metrics(self, hpa: Autoscaler) -> None:
        failures = [decide.missing_metric(metric) for metric in hpa.spec.metrics]
        for failure in failures:
            self._recorder.event(hpa, "Warning", failure.reason, failure.message)
        first = failures[0]
        self._condition(hpa, ACTIVE, "False", first.reason, f"{decide.CANNOT}: {first.message}")
        count = len(failures)
        metric = hpa.spec.metrics[0]
        named = f"{metric.resource.name} resource" if metric.type == "Resource" else metric.type.lower()
        self._recorder.event(
            hpa,
            "Warning",
            "FailedComputeMetricsReplicas",
            f"invalid metrics ({count} invalid out of {count}), first error is: failed to get {named} metric value: "
            f"{first.message}",
        )

    def _condition(self, hpa: Autoscaler, kind: str, status: str, reason: str, message: str) -> None:
        set_condition(hpa.status.conditions, kind, status, self._clock.time(), reason=reason, message=message)
