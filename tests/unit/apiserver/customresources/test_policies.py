"""Admission policies about custom objects, with parameters that are custom objects, by the example of Kubernetes'
documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.scheme import pack
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.inprocess import call
from tests.unit.apiserver.customresources.conftest import GROUP, Server, crontab, definition, serving

LIMITS = {"type": "object", "properties": {"maxReplicas": {"type": "integer"}}}


async def create(server: Server, kind: str, name: str, spec: dict[str, Any]) -> None:
    version = "admissionregistration.k8s.io/v1"
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    (document,) = decode(json.dumps(body), "test")
    path = pb.ResourcePath(group=document.resource.group, resource=document.resource.plural)
    await server.api.resources_front.create(pb.CreateRequest(path=path, object=pack(document.obj)), call())


async def test_custom_parameters_of_custom_objects(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        await server.define(definition(LIMITS, plural="replicalimits", kind="ReplicaLimit"))
        rule = {"apiGroups": [GROUP], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["crontabs"]}
        await create(
            server,
            "ValidatingAdmissionPolicy",
            "replicas",
            {
                "paramKind": {"apiVersion": f"{GROUP}/v1", "kind": "ReplicaLimit"},
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [
                    {
                        "expression": "object.spec.replicas <= params.maxReplicas",
                        "messageExpression": "'must be no greater than ' + string(params.maxReplicas)",
                    }
                ],
            },
        )
        reference = {"name": "small", "namespace": "default", "parameterNotFoundAction": "Deny"}
        binding = {"policyName": "replicas", "validationActions": ["Deny"], "paramRef": reference}
        await create(server, "ValidatingAdmissionPolicyBinding", "small", binding)
        await server.api.reflector.fresh()
        with pytest.raises(errors.Invalid, match="no params found for policy binding with `Deny`"):
            await server.create(crontab(spec={"replicas": 3}))
        await server.create(crontab("small", kind="ReplicaLimit", maxReplicas=3), plural="replicalimits")
        await server.api.reflector.fresh()
        await server.create(crontab(spec={"replicas": 3}))
        with pytest.raises(errors.Invalid, match="denied request: must be no greater than 3"):
            await server.create(crontab("two", spec={"replicas": 4}))
