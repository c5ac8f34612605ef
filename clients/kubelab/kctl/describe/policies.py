"""What is said of priority classes and disruption budgets (kubectl's ``describePriorityClass`` and
``describePodDisruptionBudget``)."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery import intstr, labelselectors
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import NONE, Writer

Events = Sequence[core_pb2.Event] | None


def priority_class(obj: scheduling_pb2.PriorityClass, object_events: Events, now: float) -> str:
    w = Writer()
    annotations = obj.metadata.annotations
    w.field("Name", obj.metadata.name)
    w.field("Value", obj.value)
    w.field("GlobalDefault", str(obj.globalDefault).lower())
    w.field("PreemptionPolicy", obj.preemptionPolicy)
    w.field("Description", obj.description)
    w.field("Annotations", ",".join(f"{key}={annotations[key]}" for key in sorted(annotations)) or NONE)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def disruption_budget(obj: policy_pb2.PodDisruptionBudget, object_events: Events, now: float) -> str:
    w = Writer()
    spec, status = obj.spec, obj.status
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    if spec.HasField("minAvailable"):
        w.field("Min available", intstr.text(spec.minAvailable))
    elif spec.HasField("maxUnavailable"):
        w.field("Max unavailable", intstr.text(spec.maxUnavailable))
    w.field("Selector", labelselectors.text(spec.selector) if spec.HasField("selector") else "<unset>")
    w.line("Status:")
    w.field("Allowed disruptions", status.disruptionsAllowed, 2)
    w.field("Current", status.currentHealthy, 2)
    w.field("Desired", status.desiredHealthy, 2)
    w.field("Total", status.expectedPods, 2)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()
