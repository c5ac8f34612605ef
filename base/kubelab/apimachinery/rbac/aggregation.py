"""Cluster roles that are the union of others (upstream: pkg/controller/clusterroleaggregation)."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.rbac.rules import Rule, rules_of


def aggregated(role: rbac_pb2.ClusterRole, others: Iterable[rbac_pb2.ClusterRole]) -> list[Rule]:
    """Give the rules of all roles that an aggregated role's selectors choose, each once, in the order of the roles'
    names for each selector."""
    ordered = sorted(others, key=lambda one: one.metadata.name)
    found: dict[Rule, None] = {}
    for message in role.aggregationRule.clusterRoleSelectors:
        selector = labelselectors.of_stored(message)
        for one in ordered:
            if one.metadata.name != role.metadata.name and selector.matches(one.metadata.labels):
                found.update(dict.fromkeys(rules_of(one.rules)))
    return list(found)
