"""The eviction of a pod: a deletion that its disruption budgets must allow (upstream: EvictionREST).

A budget's status says how many pods may go. An eviction takes one of them, by a write that fails when another eviction
was faster, and notes the pod; the disruption controller counts again when the pod is gone.
https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import errors, labelselectors
from kubelab.apimachinery.core.conditions import FALSE, TRUE, set_condition
from kubelab.apimachinery.core.pods import DISRUPTION_TARGET, is_ready, is_terminal
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.policy.budgets import DISRUPTION_ALLOWED, INSUFFICIENT_PODS
from kubelab.apimachinery.scheme import POD_DISRUPTION_BUDGETS, PODS
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.preconditions import check_preconditions
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.resources.writes import Decision, ObjectState

MAX_DISRUPTED_PODS = 2000
_VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


async def create(objects: Objects, request: Request) -> Message:
    """Evict a pod. TooManyRequests while a budget does not allow it, Conflict when a precondition does not hold."""
    eviction, name, namespace = cast(policy_pb2.Eviction, request.obj), request.name, request.namespace
    if eviction.metadata.name and eviction.metadata.name != name:
        raise errors.BadRequest("name in URL does not match name in Eviction object: name")
    pod = core_pb2.Pod.FromString((await objects.entry(PODS, namespace, name)).raw)
    options = meta_pb2.DeleteOptions()
    options.CopyFrom(eviction.deleteOptions)
    if not options.preconditions.HasField("uid"):
        options.preconditions.uid = pod.metadata.uid  # the pod that was looked at, not one of its name made since
    dry_run = request.dry_run or bool(options.dryRun)
    if not _needs_no_budget(pod):
        budget = await _budget_of(objects, pod)
        if budget is not None and not _unhealthy_may_go(pod, budget):
            await _take(objects, namespace, budget.metadata.name, name, dry_run=dry_run)
    if not dry_run:
        await objects.rewrite(PODS, namespace, name, lambda state, _: _targeted(objects, state, options))
    written = await objects.delete(PODS, namespace, name, options)
    request.wrote(written.obj, written.revision)
    return meta_pb2.Status(status="Success", code=201)


def _needs_no_budget(pod: core_pb2.Pod) -> bool:
    """Say whether a pod serves nobody: it has ended, has not begun, or is going already."""
    return is_terminal(pod) or pod.status.phase == "Pending" or pod.metadata.HasField("deletionTimestamp")


async def _budget_of(objects: Objects, pod: core_pb2.Pod) -> policy_pb2.PodDisruptionBudget | None:
    listed = await objects.entries(POD_DISRUPTION_BUDGETS, pod.metadata.namespace)
    budgets = [policy_pb2.PodDisruptionBudget.FromString(entry.raw) for entry in listed]
    matching = [
        budget
        for budget in budgets
        if budget.spec.HasField("selector")
        and labelselectors.as_selector(budget.spec.selector).matches(pod.metadata.labels)
    ]
    if len(matching) > 1:
        raise errors.InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return matching[0] if matching else None


def _unhealthy_may_go(pod: core_pb2.Pod, budget: policy_pb2.PodDisruptionBudget) -> bool:
    """Say whether the pod does not count for the budget: it is not ready, and enough others are."""
    if is_ready(pod):
        return False
    if budget.spec.unhealthyPodEvictionPolicy == "AlwaysAllow":
        return True
    return budget.status.currentHealthy >= budget.status.desiredHealthy > 0


async def _take(objects: Objects, namespace: str, budget: str, pod: str, *, dry_run: bool) -> None:
    """Take one disruption from a budget for a pod."""

    def decide(state: ObjectState, taken: set[str]) -> Decision:
        del taken
        changed = deep_copy(cast(policy_pb2.PodDisruptionBudget, state.obj))
        _check(changed)
        status = changed.status
        status.disruptionsAllowed -= 1
        if status.disruptionsAllowed == 0:
            now = objects.clock.time()
            set_condition(status.conditions, DISRUPTION_ALLOWED, FALSE, now, reason=INSUFFICIENT_PODS)
        status.disruptedPods[pod].seconds = int(objects.clock.time())
        return Decision(cast(policy_pb2.PodDisruptionBudget, state.obj) if dry_run else changed)

    await objects.rewrite(POD_DISRUPTION_BUDGETS, namespace, budget, decide)


def _check(budget: policy_pb2.PodDisruptionBudget) -> None:
    name, status = budget.metadata.name, budget.status
    if status.observedGeneration < budget.metadata.generation:
        why = f"The disruption budget {name} is still being processed by the server."
        raise errors.TooManyRequests(_VIOLATED, causes=[Cause("", why, "DisruptionBudget")], retry_after_seconds=10)
    if status.disruptionsAllowed < 0:
        why = "pod disruption budget is negative"
        raise errors.forbidden(POD_DISRUPTION_BUDGETS.plural, name, why, POD_DISRUPTION_BUDGETS.group)
    if len(status.disruptedPods) > MAX_DISRUPTED_PODS:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden(POD_DISRUPTION_BUDGETS.plural, name, why, POD_DISRUPTION_BUDGETS.group)
    if status.disruptionsAllowed == 0:
        why = (
            f"The disruption budget {name} needs {status.desiredHealthy} healthy pods and has "
            f"{status.currentHealthy} currently"
        )
        raise errors.TooManyRequests(_VIOLATED, causes=[Cause("", why, "DisruptionBudget")])


def _targeted(objects: Objects, state: ObjectState, options: meta_pb2.DeleteOptions) -> Decision:
    """Say in the pod's status why it goes, where the preconditions of its deletion hold."""
    pod = deep_copy(cast(core_pb2.Pod, state.obj))
    check_preconditions(PODS, pod.metadata.name, options, state)
    set_condition(
        pod.status.conditions,
        DISRUPTION_TARGET,
        TRUE,
        objects.clock.time(),
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
    )
    if options.preconditions.HasField("resourceVersion"):
        options.preconditions.ClearField("resourceVersion")  # this write was made on that version
    return Decision(pod)


EVICTION = Subresource(("create",), policy_pb2.Eviction, create=create)
