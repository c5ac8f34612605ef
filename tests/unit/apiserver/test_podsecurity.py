"""Pod security admission: the standards as tables, and what a namespace's labels do at an api-server in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.scheme import PODS, REPLICA_SETS
from kubelab.apiserver.admission.podsecuritystandards import BASELINE, PRIVILEGED, RESTRICTED, violations
from kubelab.apiserver.config import ApiServerConfig
from kubelab.rpc import warnings
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory

SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD_SAFE = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
NAKED = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)


def spec(container: dict[str, object] | None = None, **pod: object) -> core_pb2.PodSpec:
    text = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "hello", **(container or {})}], **pod},
    }
    obj = decode(json.dumps(text), "test")[0].obj
    assert isinstance(obj, core_pb2.Pod)
    return obj.spec


def context(**values: object) -> dict[str, object]:
    return {"securityContext": values}


@pytest.mark.parametrize(
    ("made", "level", "said"),
    [
        (spec(), PRIVILEGED, ""),
        (spec(context(privileged=True), hostNetwork=True), PRIVILEGED, ""),
        (spec(), BASELINE, ""),
        (spec(), RESTRICTED, NAKED),
        (spec(context(**SAFE), securityContext=POD_SAFE), RESTRICTED, ""),
        (
            spec(context(privileged=True), hostNetwork=True),
            BASELINE,
            'host namespaces (hostNetwork=true), privileged (container "c" must not set '
            "securityContext.privileged=true)",
        ),
        (
            spec(context(capabilities={"add": ["NET_ADMIN", "CHOWN"]})),
            BASELINE,
            'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        (
            spec({"ports": [{"containerPort": 80, "hostPort": 80}]}),
            BASELINE,
            'hostPort (container "c" uses hostPort 80)',
        ),
        (
            spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            BASELINE,
            'hostPath volumes (volume "v")',
        ),
        (
            spec(context(**SAFE), securityContext=POD_SAFE, volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            RESTRICTED,
            'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        ),
        (
            spec(context(procMount="Unmasked")),
            BASELINE,
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec(context(seLinuxOptions={"type": "spc_t", "user": "u"})),
            BASELINE,
            'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be '
            "set)",
        ),
        (
            spec(context(seccompProfile={"type": "Unconfined"})),
            BASELINE,
            'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            spec(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
            BASELINE,
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec(context(**SAFE), securityContext={**POD_SAFE, "runAsNonRoot": False}),
            RESTRICTED,
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            spec(context(**SAFE, runAsUser=0), securityContext=POD_SAFE),
            RESTRICTED,
            'runAsUser=0 (container "c" must not set runAsUser=0)',
        ),
    ],
)
def test_the_standards(made: core_pb2.PodSpec, level: str, said: str) -> None:
    assert ", ".join(map(str, violations(made, level))) == said


def pod(name: str, **labels: str) -> core_pb2.Pod:
    return core_pb2.Pod(metadata=meta_pb2.ObjectMeta(name=name, labels=labels), spec=spec())


def namespace(**modes: str) -> core_pb2.Namespace:
    labels = {f"pod-security.kubernetes.io/{mode.replace('_', '-')}": level for mode, level in modes.items()}
    return core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="lab", labels=labels))


async def test_a_namespace_enforces_a_level() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        await client.create(namespace(enforce="restricted", enforce_version="v1.32"))
        with pytest.raises(errors.Forbidden) as told:
            await client.create(pod("web"), "lab")
        assert told.value.message == f'pods "web" is forbidden: violates PodSecurity "restricted:v1.32": {NAKED}'
        safe = pod("safe")
        json_format.ParseDict(context(**SAFE), safe.spec.containers[0])
        json_format.ParseDict({"securityContext": POD_SAFE}, safe.spec)
        await client.create(safe, "lab")
        await client.create(make.replica_set("web", namespace="lab"))  # its pods are refused, not itself
    assert server.get(PODS, "lab/web") is None


async def test_a_namespace_warns_of_pods_and_workloads() -> None:
    server, heard = ApiServerInMemory(), list[str]()
    async with server.client() as client:
        await client.create(namespace(warn="restricted", enforce="baseline"))
        with warnings.listening(heard.append):
            await client.create(pod("web"), "lab")
            await client.create(make.replica_set("web", namespace="lab"))
            changed = await client.get(REPLICA_SETS, "web", "lab")
            changed.spec.replicas = 3
            await client.update(changed)
            changed = await client.get(REPLICA_SETS, "web", "lab")
            changed.metadata.labels["a"] = "b"
            await client.update(changed)
    assert heard[0] == f'would violate PodSecurity "restricted:latest": {NAKED}'
    assert heard[1].startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false')
    assert heard[2:] == heard[1:2], "a changed specification is looked at again, changed labels are not"


async def test_the_audit_record_says_what_was_enforced_and_found(tmp_path: Path) -> None:
    server = ApiServerInMemory(config=ApiServerConfig(audit_log=tmp_path / "audit.jsonl"))
    async with server.client() as client:
        await client.create(namespace(audit="restricted", enforce="baseline"))
        await client.create(pod("web"), "lab")
        await client.create(make.replica_set("web", namespace="lab"))
        bad = pod("bad")
        bad.spec.hostNetwork = True
        with pytest.raises(errors.Forbidden):
            await client.create(bad, "lab")
    (made,) = await server.api.audit.find(lambda record: record.resource == "pods", "web")
    (refused,) = await server.api.audit.find(lambda record: record.resource == "pods", "bad")
    (workload,) = await server.api.audit.find(lambda record: record.resource == "replicasets", "web")
    prefix = "pod-security.kubernetes.io/"
    assert dict(made.annotations) == {
        f"{prefix}enforce-policy": "baseline:latest",
        f"{prefix}audit-violations": f'would violate PodSecurity "restricted:latest": {NAKED}',
    }
    assert (refused.code, refused.annotations[f"{prefix}enforce-policy"]) == ("PERMISSION_DENIED", "baseline:latest")
    assert [*workload.annotations] == [f"{prefix}audit-violations"]


@pytest.mark.parametrize(
    ("modes", "why"),
    [
        (
            {"enforce": "strict"},
            'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, '
            "baseline, restricted",
        ),
        (
            {"warn_version": "1.2"},
            'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or '
            '"v1.x"',
        ),
    ],
)
async def test_labels_that_are_no_levels(modes: dict[str, str], why: str) -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        with pytest.raises(errors.Invalid) as told:
            await client.create(namespace(**modes))
    assert told.value.message == f'Namespace "lab" is invalid: {why}'
