"""The rules of label selectors (apimachinery's ``ValidateLabelSelector``, ``pkg/apis/meta/v1/validation``)."""

from __future__ import annotations

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
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
