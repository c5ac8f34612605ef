"""A webhook that is a service of the cluster: it is reached through the kubelet of a pod behind the service."""

from __future__ import annotations

import pytest

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from tests.support.apiserver import ApiServerInMemory
from tests.support.kubelets import NODE, EchoingKubelet
from tests.support.pki import TestAuthority
from tests.support.webhooks import deny, webhook_server


async def test_a_service(
    server_with_kubelet: ApiServerInMemory, kubelet: EchoingKubelet, http_authority: TestAuthority
) -> None:
    client = server_with_kubelet.client()
    configuration = pb.ValidatingWebhookConfiguration()
    configuration.metadata.name = "check"
    webhook = configuration.webhooks.add(name="check.example.com", sideEffects="None", admissionReviewVersions=["v1"])
    rule = webhook.rules.add(operations=["CREATE"]).rule
    rule.apiGroups.append("")
    rule.apiVersions.append("v1")
    rule.resources.append("configmaps")
    reference = webhook.clientConfig.service
    reference.namespace, reference.name, reference.path = "default", "hooks", "/check"
    settings = core_pb2.ConfigMap(data={"x": "one"})
    settings.metadata.name, settings.metadata.namespace = "a", "default"
    async with webhook_server(http_authority) as hooks:
        webhook.clientConfig.caBundle = hooks.ca
        kubelet.servers[8443] = hooks.port
        await client.create(configuration)
        with pytest.raises(errors.InternalError, match='services "hooks" not found'):
            await client.create(settings)
        service = core_pb2.Service()
        service.metadata.name, service.metadata.namespace = "hooks", "default"
        service.spec.ports.add(name="https", port=443)
        endpoints = core_pb2.Endpoints()
        endpoints.metadata.name, endpoints.metadata.namespace = "hooks", "default"
        subset = endpoints.subsets.add()
        subset.ports.add(name="https", port=8443)
        address = subset.addresses.add(ip="10.244.0.7", nodeName=NODE)
        address.targetRef.kind, address.targetRef.name, address.targetRef.namespace = "Pod", "web", "default"
        server_with_kubelet.add(service, endpoints)
        hooks.answers["/check"] = lambda request: deny(request, message="no")
        with pytest.raises(errors.BadRequest) as refused:
            await client.create(settings)
        assert refused.value.message == 'admission webhook "check.example.com" denied the request: no'
        hooks.answers.clear()
        assert (await client.create(settings)).data["x"] == "one"
