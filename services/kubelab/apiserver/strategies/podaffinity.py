"""Affinity to other pods: rules, and the pod's own labels in its terms (upstream: validatePodAffinityTerm and
applyMatchLabelKeysAndMismatchLabelKeys)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, labelselectors

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
PodAffinity = core_pb2.PodAffinity | core_pb2.PodAntiAffinity


def validate(affinity: core_pb2.Affinity, field: str) -> list[Cause]:
    """All complaints about affinity and anti-affinity to pods."""
    complaints: list[Cause] = []
    for name, terms in _parts(affinity):
        for i, term in enumerate(terms.requiredDuringSchedulingIgnoredDuringExecution):
            complaints += _term(term, f"{field}.{name}.{_REQUIRED}[{i}]")
        for i, weighted in enumerate(terms.preferredDuringSchedulingIgnoredDuringExecution):
            here = f"{field}.{name}.{_PREFERRED}[{i}]"
            if not 1 <= weighted.weight <= 100:
                complaints.append(causes.invalid(f"{here}.weight", weighted.weight, "must be in the range 1-100"))
            complaints += _term(weighted.podAffinityTerm, f"{here}.podAffinityTerm")
    return complaints


def _parts(affinity: core_pb2.Affinity) -> Iterator[tuple[str, PodAffinity]]:
    if affinity.HasField("podAffinity"):
        yield "podAffinity", affinity.podAffinity
    if affinity.HasField("podAntiAffinity"):
        yield "podAntiAffinity", affinity.podAntiAffinity


def _term(term: core_pb2.PodAffinityTerm, field: str) -> list[Cause]:
    complaints = labelselectors.validate(term.labelSelector, f"{field}.labelSelector")
    complaints += labelselectors.validate(term.namespaceSelector, f"{field}.namespaceSelector")
    for name in term.namespaces:
        complaints += causes.each(f"{field}.namespace", name, names.dns_label(name))
    complaints += _label_keys(term, field)
    if not term.topologyKey:
        complaints.append(causes.required(f"{field}.topologyKey", "can not be empty"))
    return complaints + causes.each(f"{field}.topologyKey", term.topologyKey, names.qualified_name(term.topologyKey))


def _label_keys(term: core_pb2.PodAffinityTerm, field: str) -> list[Cause]:
    selector_is_set = term.HasField("labelSelector")
    complaints = _keys(term.matchLabelKeys, f"{field}.matchLabelKeys", selector_is_set=selector_is_set)
    complaints += _keys(term.mismatchLabelKeys, f"{field}.mismatchLabelKeys", selector_is_set=selector_is_set)
    place = {key: i for i, key in enumerate(term.matchLabelKeys)}
    selected = set(term.labelSelector.matchLabels)
    for expression in term.labelSelector.matchExpressions:  # of them, one is what the key itself became
        key = expression.key
        if key in place and key in selected:
            message = "exists in both matchLabelKeys and labelSelector"
            complaints.append(causes.invalid(f"{field}[{place[key]}]", key, message))
        selected.add(key)
    for i, key in enumerate(term.matchLabelKeys):
        if key in term.mismatchLabelKeys:
            message = "exists in both matchLabelKeys and mismatchLabelKeys"
            complaints.append(causes.invalid(f"{field}.matchLabelKeys[{i}]", key, message))
    return complaints


def _keys(keys: Sequence[str], field: str, *, selector_is_set: bool) -> list[Cause]:
    if keys and not selector_is_set:
        return [causes.forbidden(field, "must not be specified when labelSelector is not set")]
    return [
        cause for i, key in enumerate(keys) for cause in causes.each(f"{field}[{i}]", key, names.qualified_name(key))
    ]


def apply_label_keys(affinity: core_pb2.Affinity, labels: Mapping[str, str]) -> None:
    """Write a new pod's own values of ``matchLabelKeys`` and ``mismatchLabelKeys`` into the selectors of its terms."""
    for _, terms in _parts(affinity):
        preferred = [weighted.podAffinityTerm for weighted in terms.preferredDuringSchedulingIgnoredDuringExecution]
        for term in (*terms.requiredDuringSchedulingIgnoredDuringExecution, *preferred):
            if not term.HasField("labelSelector"):
                continue
            for keys, operator in ((term.matchLabelKeys, "In"), (term.mismatchLabelKeys, "NotIn")):
                for key in keys:
                    if key in labels:
                        term.labelSelector.matchExpressions.add(key=key, operator=operator, values=[labels[key]])
