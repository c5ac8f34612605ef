"""Webhook configurations: defaults, validation, and which requests their rules name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.scheme import MUTATING_WEBHOOK_CONFIGURATIONS
from kubelab.apiserver.admission.operations import Operation
from kubelab.apiserver.admission.webhooks.hooks import mutating_hooks
from kubelab.apiserver.resources.admissionregistration.mutatingwebhookconfigurations.strategy import (
    MutatingWebhookConfigurationStrategy,
)

STRATEGY = MutatingWebhookConfigurationStrategy(MUTATING_WEBHOOK_CONFIGURATIONS)
WEBHOOK: dict[str, Any] = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://hooks.example.com/a"},
    "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


def made(*webhooks: dict[str, Any]) -> pb.MutatingWebhookConfiguration:
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "x"},
        "webhooks": webhooks,
    }
    obj = decode(json.dumps(body), "test")[0].obj
    assert isinstance(obj, pb.MutatingWebhookConfiguration)
    STRATEGY.default(obj)
    return obj


def test_defaults() -> None:
    webhook = made({**WEBHOOK, "clientConfig": {"service": {"name": "a", "namespace": "b"}}}).webhooks[0]
    assert (webhook.failurePolicy, webhook.matchPolicy, webhook.reinvocationPolicy) == ("Fail", "Equivalent", "Never")
    assert (webhook.timeoutSeconds, webhook.clientConfig.service.port, webhook.rules[0].rule.scope) == (10, 443, "*")
    assert webhook.HasField("namespaceSelector")
    assert webhook.HasField("objectSelector")


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"name": ""}, "name", "Required value"),
        ({"name": "short"}, "name", "should be a domain with at least three segments separated by dots"),
        ({"sideEffects": None}, "sideEffects", "must specify one of None, NoneOnDryRun"),
        ({"sideEffects": "Some"}, "sideEffects", 'Unsupported value: "Some"'),
        ({"failurePolicy": "Retry"}, "failurePolicy", 'Unsupported value: "Retry"'),
        ({"matchPolicy": "Maybe"}, "matchPolicy", 'Unsupported value: "Maybe"'),
        ({"reinvocationPolicy": "Always"}, "reinvocationPolicy", 'Unsupported value: "Always"'),
        ({"timeoutSeconds": 0}, "timeoutSeconds", "the timeout value must be between 1 and 30 seconds"),
        ({"timeoutSeconds": 31}, "timeoutSeconds", "the timeout value must be between 1 and 30 seconds"),
        ({"admissionReviewVersions": []}, "admissionReviewVersions", "must specify one of v1, v1beta1"),
        ({"admissionReviewVersions": ["v2"]}, "admissionReviewVersions", "must include at least one of v1, v1beta1"),
        ({"clientConfig": {}}, "clientConfig", "exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://a/b"}}, "clientConfig.url", "'https' is the only allowed URL scheme"),
        ({"clientConfig": {"url": "https://a/b?c=d"}}, "clientConfig.url", "query parameters are not permitted"),
        ({"clientConfig": {"url": "https://u:p@a/b"}}, "clientConfig.url", "user information is not permitted"),
        ({"clientConfig": {"url": "https:///b"}}, "clientConfig.url", "host must be specified"),
        ({"clientConfig": {"service": {"namespace": "b"}}}, "clientConfig.service.name", "service name is required"),
        (
            {"clientConfig": {"service": {"name": "a", "namespace": "b", "port": 70000}}},
            "clientConfig.service.port",
            "must be between 1 and 65535",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "objekt.a == 1"}]},
            "matchConditions[0].expression",
            "compilation failed: ERROR: <input>:1:7: undeclared reference to 'objekt.a'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "params.a == 1"}]},
            "matchConditions[0].expression",
            "undeclared reference to 'params.a'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "'yes'"}]},
            "matchConditions[0].expression",
            "must evaluate to bool",
        ),
        ({"matchConditions": [{"name": "a"}]}, "matchConditions[0].expression", "Required value"),
        ({"matchConditions": [{"expression": "true"}]}, "matchConditions[0].name", "Required value"),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}] * 2},
            "matchConditions[1].name",
            'Duplicate value: "a"',
        ),
        ({"rules": [{**WEBHOOK["rules"][0], "operations": []}]}, "rules[0].operations", "Required value"),
        ({"rules": [{**WEBHOOK["rules"][0], "operations": ["READ"]}]}, "rules[0].operations[0]", '"READ"'),
        (
            {"rules": [{**WEBHOOK["rules"][0], "operations": ["*", "CREATE"]}]},
            "rules[0].operations",
            "if '*' is present, must not specify other operations",
        ),
        ({"rules": [{**WEBHOOK["rules"][0], "apiGroups": []}]}, "rules[0].apiGroups", "Required value"),
        ({"rules": [{**WEBHOOK["rules"][0], "resources": []}]}, "rules[0].resources", "Required value"),
        ({"rules": [{**WEBHOOK["rules"][0], "scope": "Node"}]}, "rules[0].scope", 'Unsupported value: "Node"'),
    ],
)
def test_what_is_wrong(change: dict[str, Any], field: str, message: str) -> None:
    [cause] = STRATEGY.validate_content(made({**WEBHOOK, **change}))
    assert cause.field == f"webhooks[0].{field}"
    assert message in cause.message


def test_names_are_there_once() -> None:
    assert not STRATEGY.validate_content(made(WEBHOOK))
    [cause] = STRATEGY.validate_content(made(WEBHOOK, WEBHOOK))
    assert (cause.field, cause.reason) == ("webhooks[1].name", "FieldValueDuplicate")


PODS = Operation("CREATE", "", "v1", "pods", "", "default")
NODES = Operation("UPDATE", "", "v1", "nodes", "", "")
SPACES = Operation("CREATE", "", "v1", "namespaces", "", "a")
SCALE = Operation("UPDATE", "apps", "v1", "deployments", "scale", "default")


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({}, {PODS}),
        ({"operations": ["*"], "resources": ["*"]}, {PODS, NODES, SPACES}),
        ({"operations": ["*"], "resources": ["*/*"], "apiGroups": ["*"]}, {PODS, NODES, SPACES, SCALE}),
        ({"operations": ["*"], "resources": ["*"], "scope": "Cluster"}, {NODES, SPACES}),
        ({"operations": ["*"], "resources": ["*"], "scope": "Namespaced"}, {PODS}),
        ({"operations": ["*"], "resources": ["*/scale"], "apiGroups": ["apps"]}, {SCALE}),
        ({"operations": ["*"], "resources": ["deployments/*"], "apiGroups": ["apps"]}, {SCALE}),
        ({"operations": ["*"], "resources": ["deployments"], "apiGroups": ["*"]}, set[Operation]()),
        ({"operations": ["DELETE"], "resources": ["*/*"]}, set[Operation]()),
        ({"apiVersions": ["v2"]}, set[Operation]()),
        ({"apiVersions": ["*"]}, {PODS}),
    ],
)
def test_rules_name_operations(rule: dict[str, Any], named: set[Operation]) -> None:
    obj = made({**WEBHOOK, "rules": [{**WEBHOOK["rules"][0], **rule}]})
    [hook] = mutating_hooks(obj.SerializeToString(deterministic=True))
    assert {operation for operation in (PODS, NODES, SPACES, SCALE) if hook.matched(operation, ())} == named


@pytest.mark.parametrize(("policy", "matched"), [("Equivalent", "v1"), ("Exact", None)])
def test_rules_that_name_another_version(policy: str, matched: str | None) -> None:
    rule = {**WEBHOOK["rules"][0], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*"]}
    obj = made({**WEBHOOK, "rules": [rule], "matchPolicy": policy})
    [hook] = mutating_hooks(obj.SerializeToString(deterministic=True))
    asked = Operation("CREATE", "autoscaling", "v2", "horizontalpodautoscalers", "", "default")
    found = hook.matched(asked, ["v1"])
    assert (found.version if found else None) == matched
