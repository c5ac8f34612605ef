"""Pods: defaults, rules, and how long they may take to go."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.core.qos import compute_pod_qos
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.resources.core.pods import difference, gates
from kubelab.apiserver.strategies import addresses, causes, podaffinity, podspec, podwarnings
from kubelab.apiserver.strategies.base import Strategy

MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_OWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")


class PodStrategy(Strategy[core_pb2.Pod]):
    """The rules of pods. What admission plugins complete comes before them."""

    def default(self, obj: core_pb2.Pod) -> None:
        spec = obj.spec
        for container in spec.containers:
            if container.HasField("resources"):
                requests = container.resources.requests
                for name, limit in container.resources.limits.items():
                    if name not in requests:
                        requests[name].string = limit.string
            if spec.hostNetwork:
                for port in container.ports:
                    port.hostPort = port.hostPort or port.containerPort
        if not spec.HasField("enableServiceLinks"):
            spec.enableServiceLinks = True
        podspec.default(spec)

    def prepare_for_create(self, obj: core_pb2.Pod) -> None:
        super().prepare_for_create(obj)
        obj.status.phase = "Pending"
        obj.status.qosClass = compute_pod_qos(obj.spec)
        if obj.spec.HasField("affinity"):
            podaffinity.apply_label_keys(obj.spec.affinity, obj.metadata.labels)
        gates.mark_gated(obj)

    def prepare_for_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> None:
        super().prepare_for_update(obj, old)
        _keep_undefaulted(obj.spec, old.spec)

    def prepare_for_status_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> None:
        super().prepare_for_status_update(obj, old)
        obj.status.qosClass = obj.status.qosClass or old.status.qosClass
        _align_addresses(obj.status)

    def validate_content(self, obj: core_pb2.Pod) -> list[Cause]:
        complaints = podspec.special_annotations("metadata.annotations", obj.metadata.annotations)
        complaints += podspec.validate(obj.spec, "spec", is_pod=True)
        complaints += gates.node_of_gated(obj.spec)
        for i, container in enumerate(obj.spec.containers):
            image = container.image
            if image[:1].isspace() or image[-1:].isspace():
                message = "must not have leading or trailing whitespace"
                complaints.append(causes.invalid(f"spec.containers[{i}].image", image, message))
        return complaints

    def validate_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> list[Cause]:
        complaints = [*self.validate_metadata_update(obj, old), *super().validate(obj), *_changes(obj, old)]
        return list(dict.fromkeys(complaints))

    def validate_status_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> list[Cause]:
        # Upstream also keeps containers of pods that do not restart from leaving `terminated`; here a kubelet whose
        # runtime lost a container says what is, and the container runs again.
        complaints = super().validate_status_update(obj, old)
        status = obj.status
        for i, condition in enumerate(status.conditions):
            if condition.type not in _OWN_CONDITIONS:
                problems = names.qualified_name(condition.type)
                complaints += causes.each(f"metadata.conditions[{i}].Type", condition.type, problems)
        nominated = status.nominatedNodeName
        if nominated and nominated != old.status.nominatedNodeName:
            complaints += causes.each("status.nominatedNodeName", nominated, names.dns_subdomain(nominated))
        if old.status.qosClass and status.qosClass != old.status.qosClass:
            complaints.append(causes.immutable("status.qosClass", status.qosClass))
        if status.hostIP and not status.hostIPs:
            complaints += addresses.valid("status.hostIP", status.hostIP)
        pod_ips, host_ips = [one.ip for one in status.podIPs], [one.ip for one in status.hostIPs]
        complaints += _ips(pod_ips, "status.podIPs", "PodIP")
        if host_ips and host_ips[0] != status.hostIP:
            complaints.append(causes.invalid("status.hostIPs[0].ip", host_ips[0], "must be equal to `hostIP`"))
        return complaints + _ips(host_ips, "status.hostIPs", "HostIP")

    def warnings(self, obj: core_pb2.Pod) -> list[str]:
        warnings = podwarnings.of_spec(obj.spec, obj.metadata)
        if obj.metadata.name and (problems := names.dns_label(obj.metadata.name)):
            message = "this is used in the Pod's hostname, which can result in surprising behavior"
            warnings.insert(0, f"metadata.name: {message}; a DNS label is recommended: [{' '.join(problems)}]")
        return warnings + super().warnings(obj)

    def selectable_fields(self, obj: core_pb2.Pod) -> Mapping[str, str]:
        return {
            "metadata.name": obj.metadata.name,
            "metadata.namespace": obj.metadata.namespace,
            "spec.nodeName": obj.spec.nodeName,
            "spec.restartPolicy": obj.spec.restartPolicy,
            "spec.schedulerName": obj.spec.schedulerName,
            "spec.serviceAccountName": obj.spec.serviceAccountName,
            "spec.hostNetwork": "true" if obj.spec.hostNetwork else "false",
            "status.phase": obj.status.phase,
            "status.podIP": obj.status.podIPs[0].ip if obj.status.podIPs else obj.status.podIP,
            "status.nominatedNodeName": obj.status.nominatedNodeName,
        }

    def graceful_delete_seconds(self, obj: core_pb2.Pod, options: meta_pb2.DeleteOptions) -> int | None:
        """What was asked for, else the pod's own; 0 where no kubelet has anything to end."""
        if not obj.spec.nodeName or is_terminal(obj):
            return 0
        seconds = obj.spec.terminationGracePeriodSeconds
        if options.HasField("gracePeriodSeconds"):
            seconds = options.gracePeriodSeconds
        return 1 if seconds < 0 else min(seconds, podspec.MAX_INT32)  # below zero: at once, but still in order


def _align_addresses(status: core_pb2.PodStatus) -> None:
    """Let ``podIP`` and the first of ``podIPs`` be the same: of two that differ the first counts, as upstream."""
    if status.podIP and (not status.podIPs or status.podIPs[0].ip != status.podIP):
        del status.podIPs[:]
        status.podIPs.add(ip=status.podIP)
    elif status.podIPs and not status.podIP:
        status.podIP = status.podIPs[0].ip


def _keep_undefaulted(spec: core_pb2.PodSpec, old: core_pb2.PodSpec) -> None:
    """A pod that was stored before these defaults existed keeps its containers as they are: they may not change."""
    for container, before in zip(spec.containers, old.containers, strict=False):
        if not before.terminationMessagePolicy:
            container.terminationMessagePath = before.terminationMessagePath
            container.terminationMessagePolicy = before.terminationMessagePolicy


def _changes(obj: core_pb2.Pod, old: core_pb2.Pod) -> list[Cause]:
    """Complaints about what may not become what."""
    complaints: list[Cause] = []
    if len(obj.spec.containers) != len(old.spec.containers):
        complaints.append(causes.forbidden("spec.containers", "pod updates may not add or remove containers"))
        return complaints
    deadline, final = _deadline(obj.spec, old.spec)
    complaints += deadline
    if final:
        return complaints
    if not _tolerations_kept(obj.spec, old.spec):
        message = "existing toleration can not be modified except its tolerationSeconds"
        complaints.append(causes.forbidden("spec.tolerations", message))
    complaints += gates.only_deleted(obj.spec, old.spec)
    if old.spec.schedulingGates:
        complaints += gates.narrowed(obj.spec, old.spec)
    if obj.spec != old.spec:
        complaints += _forbidden_changes(obj.spec, old.spec)
    return complaints


def _deadline(new: core_pb2.PodSpec, old: core_pb2.PodSpec) -> tuple[list[Cause], bool]:
    """Complaints about a new deadline, which may only come or come nearer, and whether upstream stops at them."""
    field = "spec.activeDeadlineSeconds"
    if new.HasField("activeDeadlineSeconds"):
        seconds = new.activeDeadlineSeconds
        if not 0 <= seconds <= podspec.MAX_INT32:
            return [causes.invalid(field, seconds, names.out_of_range(0, podspec.MAX_INT32))], True
        if old.HasField("activeDeadlineSeconds") and old.activeDeadlineSeconds < seconds:
            return [causes.invalid(field, seconds, "must be less than or equal to previous value")], True
    elif old.HasField("activeDeadlineSeconds"):
        return [causes.invalid(field, None, "must not update from a positive integer to nil value")], False
    return [], False


def _tolerations_kept(new: core_pb2.PodSpec, old: core_pb2.PodSpec) -> bool:
    def told(toleration: core_pb2.Toleration) -> tuple[str, ...]:
        return toleration.key, toleration.operator, toleration.value, toleration.effect

    return {told(toleration) for toleration in old.tolerations} <= {told(toleration) for toleration in new.tolerations}


def _forbidden_changes(new: core_pb2.PodSpec, old: core_pb2.PodSpec) -> list[Cause]:
    """Complain of differences in anything but the fields that may change, and name them."""
    munged = gates.with_placement_of(new, old) if old.schedulingGates else deep_copy(new)
    munged.ClearField("schedulingGates")
    munged.schedulingGates.extend(old.schedulingGates)
    for container, before in zip(munged.containers, old.containers, strict=True):
        container.image = before.image
    munged.ClearField("activeDeadlineSeconds")
    if old.HasField("activeDeadlineSeconds"):
        munged.activeDeadlineSeconds = old.activeDeadlineSeconds
    munged.ClearField("tolerations")
    munged.tolerations.extend(old.tolerations)
    if old.terminationGracePeriodSeconds < 0 and munged.terminationGracePeriodSeconds == 1:
        munged.terminationGracePeriodSeconds = old.terminationGracePeriodSeconds
    if munged == old:
        return []
    message = "\n".join([MAY_CHANGE, "  PodSpec{", *(f"  {line}" for line in difference.lines(old, munged)), "  }", ""])
    return [causes.forbidden("spec", message)]


def _ips(ips: list[str], field: str, kind: str) -> list[Cause]:
    """Complaints about a pod's or a host's addresses, in upstream's order, which differs."""
    invalid = [cause for i, ip in enumerate(ips) for cause in addresses.valid(f"{field}[{i}]", ip)]
    if len(ips) < 2:
        return invalid
    shown = [causes.Raw(f"core.{kind}{{IP:{causes.quoted(ip)}}}") for ip in ips]
    families = addresses.one_per_family(field, ips, causes.Raw(f"[]core.{kind}{{{', '.join(shown)}}}"))
    twice = [causes.duplicate(f"{field}[{i}]", shown[i]) for i, ip in enumerate(ips) if ip in ips[:i]]
    return [*invalid, *families, *twice] if kind == "PodIP" else [*invalid, *twice, *families]
