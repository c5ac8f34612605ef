"""Flow schemas and priority levels: their rules."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.flowcontrol import defaultobjects
from tests.unit.apiserver.strategies.answers import RULES

API = "apiVersion: flowcontrol.apiserver.k8s.io/v1\n"
RULE = "{subjects: [{kind: User, user: {name: jane}}], nonResourceRules: [{verbs: ['*'], nonResourceURLs: ['*']}]}"


def refused(kind: str, name: str, spec: str) -> list[str]:
    (document,) = decode(f"{API}kind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n", "one.yml")
    rules = RULES[document.resource.plural]
    rules.default(document.obj)
    rules.prepare_for_create(document.obj)
    return [f"{cause.field}: {cause.message}" for cause in rules.validate(document.obj)]


def schema(rule: str) -> str:
    return f"{{priorityLevelConfiguration: {{name: low}}, rules: [{rule}]}}"


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        (schema(RULE), []),
        (
            "{matchingPrecedence: -1, distinguisherMethod: {type: ByIP}}",
            [
                "spec.matchingPrecedence: Invalid value: -1: must be a positive value",
                'spec.distinguisherMethod.type: Unsupported value: flowcontrol.FlowDistinguisherMethod{Type:"ByIP"}: '
                'supported values: "ByNamespace", "ByUser"',
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ],
        ),
        (
            "{matchingPrecedence: 1, priorityLevelConfiguration: {name: low}}",
            ["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"],
        ),
        (
            "{matchingPrecedence: 10001, priorityLevelConfiguration: {name: low}}",
            ["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
        ),
        (
            schema("{}"),
            [
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        ),
        (
            schema(RULE.replace("user: {name: jane}", "group: {name: people}")),
            [
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            ],
        ),
        (
            schema(RULE.replace("kind: User, user: {name: jane}", "kind: ServiceAccount, serviceAccount: {name: '*'}")),
            [
                "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for "
                "service account"
            ],
        ),
        (
            schema(RULE.replace("nonResourceURLs: ['*']", "nonResourceURLs: [metrics, /a//b, '/a*', '/a/*']")),
            [
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "metrics": must start with slash',
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a//b": must not contain '
                "double slash",
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/a*": wildcard can only do '
                "suffix matching",
            ],
        ),
        (
            schema(
                "{subjects: [{kind: Group, group: {name: people}}], "
                "resourceRules: [{verbs: [look], apiGroups: ['*', apps], resources: [pods]}]}"
            ),
            [
                'spec.rules[0].resourceRules[0].verbs: Unsupported value: []string{"look"}: supported values: '
                '"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
                'spec.rules[0].resourceRules[0].apiGroups: Invalid value: []string{"*", "apps"}: if \'*\' is present, '
                "must not specify other api groups",
                "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped "
                "must supply at least one namespace",
            ],
        ),
    ],
)
def test_a_schema_is_refused_in_upstreams_words(spec: str, complaints: list[str]) -> None:
    assert refused("FlowSchema", "one", spec) == complaints


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        ("{type: Limited, limited: {limitResponse: {type: Reject}}}", []),
        ("{type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}", []),
        (
            "{type: Exempt}",
            ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
        ),
        ("{type: Limited}", ["spec.limited: Required value: must not be empty when type is Limited"]),
        ("{type: Some}", ['spec.type: Unsupported value: "Some": supported values: "Exempt", "Limited"']),
        (
            "{type: Limited, limited: {nominalConcurrencyShares: -1, lendablePercent: 101, borrowingLimitPercent: -1, "
            "limitResponse: {type: Queue}}}",
            [
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
                "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type "
                "is Limited",
            ],
        ),
        (
            "{type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 4, handSize: 5, "
            "queueLengthLimit: -1}}}}",
            [
                "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
            ],
        ),
        (
            "{type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 1024, handSize: 8}}}}",
            [
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 1024 "
                "and handSize 8 should not be greater than 60"
            ],
        ),
    ],
)
def test_a_level_is_refused_in_upstreams_words(spec: str, complaints: list[str]) -> None:
    assert refused("PriorityLevelConfiguration", "one", spec) == complaints


DEFAULTS: list[Any] = [*defaultobjects.LEVELS.values(), *defaultobjects.SCHEMAS.values()]


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda one: f"{type(one).__name__}-{one.metadata.name}")
def test_what_a_cluster_begins_with_is_complete_and_valid(default: Any) -> None:
    plural = "flowschemas" if type(default).__name__ == "FlowSchema" else "prioritylevelconfigurations"
    obj = deep_copy(default)
    RULES[plural].default(obj)
    assert obj == default
    assert RULES[plural].validate(obj) == []


def test_the_mandatory_objects_stay_as_they_are() -> None:
    assert refused("FlowSchema", "catch-all", schema(RULE)) == [
        "spec: Invalid value: flowcontrol.FlowSchemaSpec{…}: spec of 'catch-all' must equal the fixed value"
    ]
    exempt = "{type: Exempt, exempt: {nominalConcurrencyShares: 10, lendablePercent: 50}}"
    assert refused("PriorityLevelConfiguration", "exempt", exempt) == []
    told = refused(
        "PriorityLevelConfiguration",
        "catch-all",
        "{type: Limited, limited: {nominalConcurrencyShares: 6, limitResponse: {type: Reject}}}",
    )
    assert told == [
        "spec: Invalid value: flowcontrol.PriorityLevelConfigurationSpec{…}: spec of 'catch-all' must equal the fixed "
        "value"
    ]
