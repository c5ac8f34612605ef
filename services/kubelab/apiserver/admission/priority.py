"""Priority: a new pod gets the number and the preemption policy of its priority class, and there is one default class
(https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#priority)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.priorities import DESCRIPTIONS, SYSTEM
from kubelab.apimachinery.scheme import PODS, PRIORITY_CLASSES
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.auth.attributes import Attributes

PREEMPTION_POLICY = "PreemptLowerPriority"
_POLICIES = (PREEMPTION_POLICY, "Never")
_COMPUTED = "must not be provided in pod spec; priority admission controller computed"


def system_classes() -> list[scheduling_pb2.PriorityClass]:
    """Make the classes that every cluster has."""
    made: list[scheduling_pb2.PriorityClass] = []
    for name, value in SYSTEM.items():
        one = scheduling_pb2.PriorityClass(
            value=value, description=DESCRIPTIONS[name], preemptionPolicy=PREEMPTION_POLICY
        )
        one.metadata.name = name
        made.append(one)
    return made


class Priority(AdmissionPlugin):
    """``classes`` gives the priority classes of the cluster."""

    name: ClassVar[str] = "Priority"

    def __init__(self, classes: Callable[[], Sequence[scheduling_pb2.PriorityClass]] = system_classes) -> None:
        self._classes = classes

    def handles(self, a: Attributes) -> bool:
        if a.subresource or a.verb not in ("create", "update", "patch"):
            return False
        return (a.group, a.resource) in (("", PODS.plural), (PRIORITY_CLASSES.group, PRIORITY_CLASSES.plural))

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Complete a pod; Forbidden."""
        if a.resource == PODS.plural:
            self._complete(cast(core_pb2.Pod, new), cast("core_pb2.Pod | None", old))

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Refuse a second default class."""
        del old
        if a.resource == PODS.plural:
            return
        priority_class = cast(scheduling_pb2.PriorityClass, new)
        default = self._default()
        if priority_class.globalDefault and default and default.metadata.name != priority_class.metadata.name:
            why = f"PriorityClass {default.metadata.name} is already marked as default. Only one default can exist"
            raise errors.forbidden(a.resource, priority_class.metadata.name, why, a.group)

    def _complete(self, pod: core_pb2.Pod, old: core_pb2.Pod | None) -> None:
        spec = pod.spec
        if old is not None:  # a pod that is changed keeps its own
            if not spec.HasField("priority") and old.spec.HasField("priority"):
                spec.priority = old.spec.priority
            if not spec.preemptionPolicy and old.spec.preemptionPolicy:
                spec.preemptionPolicy = old.spec.preemptionPolicy
            return
        value, policy = 0, PREEMPTION_POLICY
        chosen = self._named(pod, spec.priorityClassName) if spec.priorityClassName else self._default()
        if chosen is not None:
            spec.priorityClassName = chosen.metadata.name
            value, policy = chosen.value, chosen.preemptionPolicy or PREEMPTION_POLICY
        if spec.HasField("priority") and spec.priority != value:
            why = (
                f"the integer value of priority ({spec.priority}) {_COMPUTED} {value} from the given PriorityClass name"
            )
            raise errors.forbidden(PODS.plural, pod.metadata.name, why)
        if spec.preemptionPolicy and spec.preemptionPolicy != policy:
            given = spec.preemptionPolicy
            why = (
                f"the string value of PreemptionPolicy ({given}) {_COMPUTED} {policy} from the given PriorityClass name"
            )
            raise errors.forbidden(PODS.plural, pod.metadata.name, why)
        spec.priority, spec.preemptionPolicy = value, policy

    def _named(self, pod: core_pb2.Pod, name: str) -> scheduling_pb2.PriorityClass:
        for one in self._classes():
            if one.metadata.name == name:
                return one
        raise errors.forbidden(PODS.plural, pod.metadata.name, f"no PriorityClass with name {name} was found")

    def _default(self) -> scheduling_pb2.PriorityClass | None:
        """Give the default class; the lowest one, where several raced each other into the cluster.

        A stored one with a policy that there is not would make every pod invalid, and is none.
        """
        defaults = [one for one in self._classes() if one.globalDefault and one.preemptionPolicy in ("", *_POLICIES)]
        return min(defaults, key=lambda one: one.value, default=None)
