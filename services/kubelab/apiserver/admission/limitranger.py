"""LimitRanger: a new pod gets the defaults of its namespace's limit ranges, and is refused outside their bounds
(https://kubernetes.io/docs/concepts/policy/limit-range/)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from fractions import Fraction
from typing import ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2, limits_pb2
from kubelab.apimachinery import errors, quantity
from kubelab.apimachinery.scheme import PODS
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.auth.attributes import Attributes

ANNOTATION = "kubernetes.io/limit-ranger"
Texts = Mapping[str, str]


class LimitRanger(AdmissionPlugin):
    """``limit_ranges`` gives those of a namespace."""

    name: ClassVar[str] = "LimitRanger"

    def __init__(self, limit_ranges: Callable[[str], Sequence[limits_pb2.LimitRange]]) -> None:
        self._limit_ranges = limit_ranges

    def handles(self, a: Attributes) -> bool:
        return a.verb == "create" and a.resource == PODS.plural and not a.group and not a.subresource

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Complete the pod's containers."""
        del old
        for limit_range in self._limit_ranges(a.namespace):
            set_defaults(cast(core_pb2.Pod, new), limit_range)

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Forbidden outside the bounds of a limit range."""
        del old
        pod = cast(core_pb2.Pod, new)
        for limit_range in self._limit_ranges(a.namespace):
            problems = list(dict.fromkeys(violations(pod, limit_range)))
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                raise errors.forbidden(PODS.plural, pod.metadata.name, text)


def set_defaults(pod: core_pb2.Pod, limit_range: limits_pb2.LimitRange) -> None:
    """Give every container what it leaves open, and note that in an annotation."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in limit_range.spec.limits:
        if item.type == "Container":
            limits |= _texts(item.default)
            requests |= _texts(item.defaultRequest)
    said: list[str] = []
    for kind, containers in (("container", pod.spec.containers), ("init container", pod.spec.initContainers)):
        for container in containers:
            resources = container.resources
            for what, target, defaults in (
                ("request", resources.requests, requests),
                ("limit", resources.limits, limits),
            ):
                filled = sorted(name for name in defaults if name not in target)
                for name in filled:
                    target[name].string = defaults[name]
                if filled:
                    said.append(f"{', '.join(filled)} {what} for {kind} {container.name}")
    if said:
        annotations: MutableMapping[str, str] = pod.metadata.annotations
        annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(said)}"


def violations(pod: core_pb2.Pod, limit_range: limits_pb2.LimitRange) -> Iterable[str]:
    """Every bound of a limit range that a pod does not keep, in upstream's words."""
    containers = [*pod.spec.containers, *pod.spec.initContainers]
    for item in limit_range.spec.limits:
        if item.type == "Container":
            for container in containers:
                yield from _violations(item, _texts(container.resources.requests), _texts(container.resources.limits))
        elif item.type == "Pod":
            requests = [_texts(container.resources.requests) for container in pod.spec.containers]
            limits = [_texts(container.resources.limits) for container in pod.spec.containers]
            first = [
                (_texts(container.resources.requests), _texts(container.resources.limits))
                for container in pod.spec.initContainers
            ]
            yield from _violations(
                item, _of_pod(requests, [one for one, _ in first]), _of_pod(limits, [one for _, one in first])
            )


def _violations(item: limits_pb2.LimitRangeItem, requests: Texts, limits: Texts) -> Iterable[str]:
    for name, bound in sorted(_texts(item.min).items()):
        yield from _minimum(item.type, name, bound, requests.get(name), limits.get(name))
    for name, bound in sorted(_texts(item.max).items()):
        yield from _maximum(item.type, name, bound, requests.get(name), limits.get(name))
    for name, bound in sorted(_texts(item.maxLimitRequestRatio).items()):
        yield from _ratio(item.type, name, bound, requests.get(name), limits.get(name))


def _minimum(kind: str, name: str, bound: str, request: str | None, limit: str | None) -> Iterable[str]:
    start = f"minimum {name} usage per {kind} is {bound}"
    if request is None:
        yield f"{start}.  No request is specified"
    elif _amount(request) < _amount(bound):
        yield f"{start}, but request is {request}"
    elif limit is not None and _amount(limit) < _amount(bound):
        yield f"{start}, but limit is {limit}"


def _maximum(kind: str, name: str, bound: str, request: str | None, limit: str | None) -> Iterable[str]:
    start = f"maximum {name} usage per {kind} is {bound}"
    if limit is None:
        yield f"{start}.  No limit is specified"
    elif _amount(limit) > _amount(bound):
        yield f"{start}, but limit is {limit}"
    elif request is not None and _amount(request) > _amount(bound):
        yield f"{start}, but request is {request}"


def _ratio(kind: str, name: str, bound: str, request: str | None, limit: str | None) -> Iterable[str]:
    start = f"{name} max limit to request ratio per {kind} is {bound}"
    asked, allowed = _amount(request), _amount(limit)
    if not asked:
        yield f"{start}, but no request is specified or request is 0"
    elif not allowed:
        yield f"{start}, but no limit is specified or limit is 0"
    elif allowed / asked > _amount(bound):
        yield f"{start}, but provided ratio is {float(allowed / asked):f}"


def _of_pod(containers: Sequence[Texts], init: Sequence[Texts]) -> Texts:
    """The sums of what every container says, or what one init container needs where that is more."""
    total = {
        name: quantity.total(*(one[name] for one in containers))
        for name in (containers[0] if containers else ())
        if all(name in one for one in containers)
    }
    for one in init:
        for name, text in one.items():
            if name not in total or _amount(text) > _amount(total[name]):
                total[name] = text
    return total


def _amount(text: str | None) -> Fraction:
    return quantity.amount(text) if text else Fraction(0)


def _texts(amounts: Mapping[str, object]) -> dict[str, str]:
    return {name: amount.string for name, amount in amounts.items()}  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
