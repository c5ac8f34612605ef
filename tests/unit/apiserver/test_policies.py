"""ValidatingAdmissionPolicies on an api-server in memory, by examples like those of Kubernetes' documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.manifest.encode import to_dict
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apiserver.config import ApiServerConfig
from kubelab.client.client import Client
from kubelab.rpc import warnings
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory

DEPLOYMENTS = [
    {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
]
CONFIG_MAPS = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]
VERSION = "admissionregistration.k8s.io/v1"


@pytest.fixture
def server() -> ApiServerInMemory:
    return ApiServerInMemory()


@pytest.fixture
def client(server: ApiServerInMemory) -> Client:
    return server.client()


async def create(client: Client, body: dict[str, Any]) -> Any:
    return await client.create(decode(json.dumps(body), "test")[0].obj)


async def policy(client: Client, *expressions: Any, name: str = "demo", rules: Any = None, **spec: Any) -> Any:
    """Make a policy; an expression is its text, or a whole validation."""
    validations = [{"expression": one} if isinstance(one, str) else one for one in expressions]
    matches = {"resourceRules": rules or CONFIG_MAPS}
    body = {"matchConstraints": matches, "validations": validations, **spec}
    kind = "ValidatingAdmissionPolicy"
    return await create(client, {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": body})


async def bind(client: Client, *actions: str, name: str = "test", to: str = "demo", **spec: Any) -> None:
    body = {"policyName": to, "validationActions": list(actions or ("Deny",)), **spec}
    kind = "ValidatingAdmissionPolicyBinding"
    await create(client, {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": body})


def settings(name: str = "a", namespace: str = "default", **data: str) -> core_pb2.ConfigMap:
    obj = core_pb2.ConfigMap(data=data)
    obj.metadata.name, obj.metadata.namespace = name, namespace
    return obj


async def refused(client: Client, obj: Any, kind: type[errors.ApiError] = errors.Invalid) -> str:
    """What a policy says against a new object, after the words that all refusals have."""
    with pytest.raises(kind) as err:
        await client.create(obj)
    return err.value.message.partition(" denied request: ")[2]


async def test_replicas_are_limited(server: ApiServerInMemory, client: Client) -> None:
    made = await policy(client, "object.spec.replicas <= 5", rules=DEPLOYMENTS, name="demo-policy.example.com")
    assert (made.metadata.generation, made.status.observedGeneration) == (1, 1)
    assert (made.spec.failurePolicy, made.spec.matchConstraints.matchPolicy) == ("Fail", "Equivalent")
    deployment = make.deployment()
    deployment.spec.replicas = 6
    await client.create(deployment)  # nothing binds the policy yet
    await bind(client, to="demo-policy.example.com", name="demo-binding-test.example.com")
    other = make.deployment()
    other.metadata.name, other.spec.replicas = "other", 6
    with pytest.raises(errors.Invalid) as err:
        await client.create(other)
    why = (
        "ValidatingAdmissionPolicy 'demo-policy.example.com' with binding 'demo-binding-test.example.com' "
        "denied request: failed expression: object.spec.replicas <= 5"
    )
    assert err.value.message == f'deployments.apps "other" is forbidden: {why}'
    assert [(cause.message, cause.field) for cause in err.value.causes] == [(why, "")]
    assert (err.value.kind, err.value.name, err.value.code) == ("deployments", "other", 422)
    assert server.get(scheme.DEPLOYMENTS, "default/other") is None
    other.spec.replicas = 5
    await client.create(other)
    with pytest.raises(errors.Invalid, match="failed expression"):
        await client.patch(scheme.DEPLOYMENTS, "other", b'{"spec":{"replicas":6}}', PatchType.MERGE, "default")
    await client.delete(scheme.VALIDATING_ADMISSION_POLICY_BINDINGS, "demo-binding-test.example.com")
    await client.patch(scheme.DEPLOYMENTS, "other", b'{"spec":{"replicas":6}}', PatchType.MERGE, "default")


async def test_scale_is_a_subresource_of_its_own(server: ApiServerInMemory, client: Client) -> None:
    server.add(make.deployment(), defaults=True)
    rules = [{**DEPLOYMENTS[0], "resources": ["deployments/scale"]}]
    await policy(client, "object.kind == 'Scale' && object.spec.replicas <= oldObject.spec.replicas + 2", rules=rules)
    await bind(client)
    name, old = make.deployment().metadata.name, make.deployment().spec.replicas
    scale = b'{"spec": {"replicas": %d}}'
    await client.patch_scale(scheme.DEPLOYMENTS, name, scale % (old + 2), PatchType.MERGE, "default")
    with pytest.raises(errors.Invalid, match="failed expression"):
        await client.patch_scale(scheme.DEPLOYMENTS, name, scale % (old + 5), PatchType.MERGE, "default")


@pytest.mark.parametrize(
    ("validation", "kind", "message"),
    [
        ({"expression": "false"}, errors.Invalid, "failed expression: false"),
        ({"expression": "false", "message": " not so "}, errors.Invalid, "not so"),
        ({"expression": "false", "reason": "Forbidden", "message": "no"}, errors.Forbidden, "no"),
        ({"expression": "false", "reason": "RequestEntityTooLarge", "message": "no"}, errors.TooLarge, "no"),
        (
            {"expression": "false", "messageExpression": "'not ' + object.metadata.name", "message": "x"},
            errors.Invalid,
            "not a",
        ),
        ({"expression": "false", "messageExpression": "object.data.no", "message": "x"}, errors.Invalid, "x"),
        ({"expression": "false", "messageExpression": "'a\\nb'", "message": "x"}, errors.Invalid, "x"),
        (
            {"expression": "object.data.no == 'x'"},
            errors.Invalid,
            "expression 'object.data.no == 'x'' resulted in error: no such key: no",
        ),
    ],
)
async def test_what_a_refusal_says(
    client: Client, validation: dict[str, Any], kind: type[errors.ApiError], message: str
) -> None:
    if validation.get("messageExpression") == "object.data.no":
        validation = {**validation, "messageExpression": "string(object.data.no)"}
    await policy(client, validation)
    await bind(client)
    assert await refused(client, settings(x="1"), kind) == message


async def test_failures_may_be_ignored(client: Client) -> None:
    await policy(client, "object.data.no == 'x'", "object.data.x == '1'", failurePolicy="Ignore")
    await bind(client)
    await client.create(settings(x="1"))
    assert await refused(client, settings("b", x="2")) == "failed expression: object.data.x == '1'"


async def test_what_expressions_see(client: Client) -> None:
    """Of the request, the namespace and both objects."""
    await policy(
        client,
        "request.operation in ['CREATE', 'UPDATE', 'DELETE'] && request.userInfo.username == 'kubernetes-admin'",
        "'system:masters' in request.userInfo.groups && request.namespace == 'default' && request.name == 'a'",
        "request.resource == {'group': '', 'version': 'v1', 'resource': 'configmaps'}",
        "request.kind.kind == 'ConfigMap' && request.requestKind.kind == 'ConfigMap' && !request.dryRun",
        "namespaceObject.metadata.name == 'default' && has(namespaceObject.spec)",
        "request.operation == 'CREATE' ? oldObject == null : oldObject.data.x == '1'",
        "request.operation == 'DELETE' ? object == null : object.apiVersion == 'v1' && has(object.data.x)",
        {"expression": "object == null || object.data.x != '3'", "message": "never 3"},
    )
    await bind(client)
    await client.create(settings(x="1"))
    await client.patch(scheme.CONFIG_MAPS, "a", b'{"data":{"y":"2"}}', PatchType.MERGE, "default")
    with pytest.raises(errors.Invalid, match="never 3"):
        await client.patch(scheme.CONFIG_MAPS, "a", b'{"data":{"x":"3"}}', PatchType.MERGE, "default")
    await client.delete(scheme.CONFIG_MAPS, "a", "default")


async def test_variables(client: Client) -> None:
    """They speak of the ones before them, have types, and fail nothing that does not ask for them."""
    await policy(
        client,
        {"expression": "variables.count <= 2", "messageExpression": "'has ' + string(variables.count)"},
        "!has(object.data.limit) || variables.limit >= variables.count",
        variables=[
            {"name": "keys", "expression": "object.data.map(key, key).filter(key, key != 'limit')"},
            {"name": "count", "expression": "size(variables.keys)"},
            {"name": "limit", "expression": "int(object.data.limit)"},
        ],
    )
    await bind(client)
    await client.create(settings("a", x="1"))
    assert await refused(client, settings("b", x="1", y="2", z="3")) == "has 3"
    await client.create(settings("c", x="1", limit="1"))
    assert "variables.limit >=" in await refused(client, settings("d", x="1", y="2", limit="1"))
    bad = await refused(client, settings("e", x="1", limit="no"))
    assert 'composited variable "limit" fails to evaluate: ' in bad


async def test_match_conditions(client: Client) -> None:
    conditions = [
        {"name": "not-free", "expression": "object == null || !object.metadata.name.startsWith('free')"},
        {"name": "with-x", "expression": "object == null || object.data.x == '1'"},
    ]
    await policy(client, "false", matchConditions=conditions)
    await bind(client)
    await client.create(settings("free"))  # the first condition is false, whatever becomes of the second
    await client.create(settings("a", x="2"))
    assert await refused(client, settings("b", x="1")) == "failed expression: false"
    why = "expression 'object == null || object.data.x == '1'' resulted in error: no such key: x"
    assert await refused(client, settings("c", y="1")) == why


async def test_rules(client: Client) -> None:
    """Excluded resources, names, selectors of namespaces and objects, of the policy and of its binding."""
    space = core_pb2.Namespace()
    space.metadata.name = "checked"
    space.metadata.labels["environment"] = "test"
    await client.create(space)
    constraints = {
        "resourceRules": CONFIG_MAPS,
        "excludeResourceRules": [{**CONFIG_MAPS[0], "resourceNames": ["kube-root-ca.crt"]}],
        "objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
    }
    await policy(client, "false", matchConstraints=constraints)
    selector = {"matchLabels": {"environment": "test"}}
    await bind(client, matchResources={"namespaceSelector": selector})
    await client.create(settings())
    await client.create(settings("kube-root-ca.crt", "checked"))
    skipped = settings("skipped", "checked")
    skipped.metadata.labels["skip"] = "1"
    await client.create(skipped)
    assert await refused(client, settings("b", "checked")) == "failed expression: false"


async def test_an_equivalent_version(client: Client) -> None:
    """A rule for autoscaling/v1 sees what is written as autoscaling/v2."""
    rules = [{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]}]
    await policy(
        client,
        "object.apiVersion == 'autoscaling/v1' && request.requestKind.version == 'v2'",
        {"expression": "object.spec.targetCPUUtilizationPercentage < 90", "message": "too hot"},
        rules=rules,
    )
    await bind(client)
    body: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 95}},
                }
            ],
        },
    }
    obj = decode(json.dumps(body), "test")[0].obj
    assert await refused(client, obj) == "too hot"
    body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] = 50
    await create(client, body)


PARAMS: dict[str, Any] = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
LIMIT = "object.kind != 'Secret' || size(object.data) <= int(params.data.most)"
SECRETS = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]


def secret(name: str, *keys: str) -> core_pb2.Secret:
    obj = core_pb2.Secret(data=dict.fromkeys(keys, b"x"))
    obj.metadata.name, obj.metadata.namespace = name, "default"
    return obj


async def test_parameters_by_name(client: Client) -> None:
    await policy(client, LIMIT, rules=SECRETS, **PARAMS)
    await bind(client, paramRef={"name": "limits", "parameterNotFoundAction": "Deny"})
    why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert await refused(client, secret("a", "x")) == why
    await client.create(settings("limits", most="1"))  # in the namespace of the request
    await client.create(secret("a", "x"))
    assert await refused(client, secret("b", "x", "y")) == f"failed expression: {LIMIT}"


async def test_parameters_by_selector(client: Client) -> None:
    """All that are selected must be satisfied."""
    await policy(
        client, {"expression": LIMIT, "messageExpression": "'most ' + params.data.most"}, rules=SECRETS, **PARAMS
    )
    selector = {"matchLabels": {"limit": "yes"}}
    reference = {"selector": selector, "namespace": "default", "parameterNotFoundAction": "Allow"}
    await bind(client, paramRef=reference)
    await client.create(secret("a", "x", "y", "z"))
    for name, most in (("small", "1"), ("large", "2")):
        limits = settings(name, most=most)
        limits.metadata.labels["limit"] = "yes"
        await client.create(limits)
    await client.create(secret("b", "x"))
    assert await refused(client, secret("c", "x", "y")) == "most 1"


async def test_a_kind_of_parameters_that_is_not_served(client: Client) -> None:
    kind = {"apiVersion": "rules.example.com/v1", "kind": "ReplicaLimit"}
    await policy(client, "params == null", paramKind=kind)
    await bind(client, paramRef={"name": "x", "parameterNotFoundAction": "Allow"})
    with pytest.raises(errors.Invalid) as err:
        await client.create(settings())
    assert err.value.message == (
        "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'demo' denied request: failed to configure policy: "
        "failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=ReplicaLimit'"
    )


async def test_warnings_and_audit(tmp_path: Path) -> None:
    server = ApiServerInMemory(config=ApiServerConfig(audit_log=tmp_path / "audit.log"))
    client = server.client()
    annotations = [
        {"key": "size", "valueExpression": "'keys: ' + string(size(object.data))"},
        {"key": "nothing", "valueExpression": "null"},
    ]
    await policy(client, {"expression": "false", "message": "never"}, auditAnnotations=annotations)
    await bind(client, "Warn", "Audit")
    heard: list[str] = []
    with warnings.listening(heard.append):
        await client.create(settings(x="1"))
    why = "Validation failed for ValidatingAdmissionPolicy 'demo' with binding 'test': never"
    assert [one for one in heard if "Policy" in one] == [why]
    records = await server.api.audit.find(lambda record: record.resource == "configmaps", "demo/size")
    assert dict(records[-1].annotations) == {
        "demo/size": "keys: 1",
        "validation.policy.admission.k8s.io/validation_failure": (
            '[{"message":"never","policy":"demo","binding":"test","expressionIndex":0,'
            '"validationActions":["Warn","Audit"]}]'
        ),
    }


async def test_another_check_sees_an_applied_object_as_a_creation(client: Client) -> None:
    """Pod security warns of pods that are created, whatever the request was."""
    await policy(client, "true", rules=[{**CONFIG_MAPS[0], "resources": ["pods"]}])
    await bind(client)
    careful = core_pb2.Namespace()
    careful.metadata.name = "careful"
    careful.metadata.labels["pod-security.kubernetes.io/warn"] = "restricted"
    await client.create(careful)
    body = make.pod("web", namespace="careful")
    body.metadata.ClearField("uid")
    data = json.dumps({"apiVersion": "v1", "kind": "Pod", **to_dict(body)}).encode()
    heard: list[str] = []
    with warnings.listening(heard.append):
        await client.patch(scheme.PODS, "web", data, PatchType.APPLY, "careful", field_manager="me")
    assert any(one.startswith('would violate PodSecurity "restricted:latest"') for one in heard)


async def test_a_policy_that_comes_with_a_new_list_holds(server: ApiServerInMemory, client: Client) -> None:
    await policy(client, "true", name="mild")
    await bind(client, name="mild", to="mild")
    await policy(client, {"expression": "false", "message": "never"}, name="strict")
    cache = server.api.caches[scheme.VALIDATING_ADMISSION_POLICY_BINDINGS]
    before = [(one.key, cache.kind.envelope.seal(one.raw), one.revision) for one in cache.entries.values()]
    await bind(client, name="strict", to="strict")
    after = [(one.key, cache.kind.envelope.seal(one.raw), one.revision) for one in cache.entries.values()]
    cache.replace(before, cache.changed)
    await client.create(settings("a"))
    cache.replace(after, cache.changed)
    assert await refused(client, settings("b")) == "never"


async def test_policies_do_not_bar_their_own_change(client: Client) -> None:
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]
    await policy(client, "false", rules=rules)
    await bind(client)
    assert await refused(client, settings()) == "failed expression: false"
    await client.delete(scheme.VALIDATING_ADMISSION_POLICY_BINDINGS, "test")
    await client.delete(scheme.VALIDATING_ADMISSION_POLICIES, "demo")
    await client.create(settings())


async def test_an_expression_that_never_ends(client: Client) -> None:
    loops = "object.data.all(a, object.data.all(b, object.data.all(c, object.data.all(d, a + b + c + d != ''))))"
    await policy(client, loops)
    await bind(client)
    await client.create(settings(x="1"))
    assert "evaluation takes too many steps" in await refused(
        client, settings("b", **{f"k{number}": "x" for number in range(30)})
    )


async def test_a_collection_is_judged_object_by_object(client: Client) -> None:
    for name in ("a", "b"):
        await client.create(settings(name))
    await policy(
        client, {"expression": "request.operation != 'DELETE' || oldObject.metadata.name != 'b'", "message": "kept"}
    )
    await bind(client)
    with pytest.raises(errors.Invalid, match="kept"):
        await client.delete_collection(scheme.CONFIG_MAPS, "default")
    left = await client.list(scheme.CONFIG_MAPS, "default")
    assert [one.metadata.name for one in left.items if one.metadata.name in ("a", "b")] == ["b"]
