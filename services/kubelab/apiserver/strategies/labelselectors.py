"""The rules of label selectors (apimachinery's ``ValidateLabelSelector``, ``pkg/apis/meta/v1/validation``)."""

from __future__ import annotations

from typing import Any, Protocol

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.labels import SelectorError
from kubelab.apimachinery.labelselectors import as_selector
from kubelab.apiserver.strategies import causes, metadata


def validate(selector: meta_pb2.LabelSelector, field: str) -> list[Cause]:
    """All complaints about a selector."""
    complaints = metadata.labels(f"{field}.matchLabels", selector.matchLabels)
    for i, expression in enumerate(selector.matchExpressions):
        complaints += _requirement(expression, f"{field}.matchExpressions[{i}]")
    return complaints


def _requirement(requirement: meta_pb2.LabelSelectorRequirement, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    match requirement.operator:
        case "In" | "NotIn":
            if not requirement.values:
                message = "must be specified when `operator` is 'In' or 'NotIn'"
                complaints.append(causes.required(f"{field}.values", message))
        case "Exists" | "DoesNotExist":
            if requirement.values:
                message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                complaints.append(causes.forbidden(f"{field}.values", message))
        case operator:
            complaints.append(causes.invalid(f"{field}.operator", operator, "not a valid selector operator"))
    complaints += causes.each(f"{field}.key", requirement.key, names.qualified_name(requirement.key))
    for i, value in enumerate(requirement.values):
        complaints += causes.each(f"{field}.values[{i}]", value, names.label_value(value))
    return complaints


def shown(selector: meta_pb2.LabelSelector) -> causes.Raw:
    """A selector as Go prints the struct in messages."""
    expressions = ", ".join(
        f"v1.LabelSelectorRequirement{{Key:{causes.shown(e.key)}, Operator:{causes.shown(e.operator)}, "
        f"Values:{causes.shown(list(e.values))}}}"
        for e in selector.matchExpressions
    )
    listed = f"{{{expressions}}}" if expressions else "(nil)"
    labels = causes.shown(dict(selector.matchLabels))
    return causes.Raw(
        f"v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:[]v1.LabelSelectorRequirement{listed}}}"
    )


class Selecting(Protocol):
    """The spec of a workload: a selector of pods, and the template that it makes them of."""

    @property
    def selector(self) -> meta_pb2.LabelSelector: ...

    @property
    def template(self) -> core_pb2.PodTemplateSpec: ...

    def HasField(self, field_name: Any) -> bool: ...


def of_workload(spec: Selecting, field: str, kind: str = "deployment") -> list[Cause]:
    """Complain of a selector that is missing, empty, wrong, or that the template's labels do not match. ``kind`` is the
    word of upstream's message about an empty one."""
    here, complaints = f"{field}.selector", list[Cause]()
    if not spec.HasField("selector"):
        complaints.append(causes.required(here))
        fits = False  # upstream's selector that is not set takes nothing
    else:
        complaints += validate(spec.selector, here)
        if not (spec.selector.matchLabels or spec.selector.matchExpressions):
            complaints.append(causes.invalid(here, shown(spec.selector), f"empty selector is invalid for {kind}"))
        try:
            fits = as_selector(spec.selector).matches(spec.template.metadata.labels)
        except SelectorError:
            return [*complaints, causes.invalid(here, shown(spec.selector), "invalid label selector")]
    if not fits:
        # a controller whose pods it does not count as its own would make pods for ever
        message = "`selector` does not match template `labels`"
        labels = dict(spec.template.metadata.labels)
        complaints.append(causes.invalid(f"{field}.template.metadata.labels", labels, message))
    return complaints


def immutable(new: meta_pb2.LabelSelector, old: meta_pb2.LabelSelector, field: str) -> list[Cause]:
    """Complain of a changed selector."""
    return [] if new == old else [causes.immutable(field, shown(new))]
