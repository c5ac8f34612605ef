"""A kind that is served in two versions: one object, read, written and watched in both."""

from __future__ import annotations

from kubelab.api.autoscaling.v1 import autoscaling_pb2 as v1
from kubelab.storage.v1 import storage_pb2
from tests.integration.httpfront.test_forms import KUBECTL, PROTOBUF, opened
from tests.integration.httpfront.test_watches import read
from tests.support.https import HTTPClient

FIRST = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
SECOND = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"


async def test_an_autoscaler_in_both_versions(http: HTTPClient) -> None:
    wanted = v1.HorizontalPodAutoscaler()
    wanted.metadata.name, wanted.spec.maxReplicas = "a", 3
    target = wanted.spec.scaleTargetRef
    target.kind, target.name, target.apiVersion = "Deployment", "web", "apps/v1"
    meta = storage_pb2.TypeMeta(apiVersion="autoscaling/v1", kind="HorizontalPodAutoscaler")
    body = b"k8s\0" + storage_pb2.Unknown(typeMeta=meta, raw=wanted.SerializeToString()).SerializeToString()
    made = await http.send("POST", FIRST, body, content=PROTOBUF, accept=PROTOBUF)
    assert made.code == 201
    assert opened(made.body).typeMeta.apiVersion == "autoscaling/v1"
    first = (await http.send("GET", f"{FIRST}/a")).json
    assert (first["apiVersion"], first["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 80)
    second = (await http.send("GET", f"{SECOND}/a")).json
    assert second["apiVersion"] == "autoscaling/v2"
    assert second["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}
    assert first["metadata"] == second["metadata"]
    patch = '{"spec":{"targetCPUUtilizationPercentage":50}}'
    for media_type in ("merge-patch", "strategic-merge-patch"):
        patched = await http.send("PATCH", f"{FIRST}/a", patch, content=f"application/{media_type}+json")
        assert (patched.code, patched.json["spec"]["targetCPUUtilizationPercentage"]) == (200, 50)
    second = (await http.send("GET", f"{SECOND}/a")).json
    assert second["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    tables = [(await http.send("GET", path, accept=KUBECTL)).json["rows"][0]["cells"] for path in (FIRST, SECOND)]
    assert tables[0] == tables[1]
    version = second["metadata"]["resourceVersion"]
    async with http.open("GET", f"{FIRST}?watch=1&resourceVersion={version}") as response:
        put = await http.send("PUT", f"{SECOND}/a", second | {"spec": second["spec"] | {"maxReplicas": 7}})
        assert put.code == 200
        (event,) = await read(response, 1)
    assert (event["type"], event["object"]["apiVersion"]) == ("MODIFIED", "autoscaling/v1")
    assert event["object"]["spec"]["maxReplicas"] == 7
    wrong = await http.send("POST", FIRST, {"metadata": {"name": "b"}, "spec": {"maxReplicas": 0}})
    assert (wrong.code, wrong.json["reason"]) == (422, "Invalid")
    assert (await http.send("DELETE", f"{FIRST}/a")).code == 200
    assert (await http.send("GET", f"{SECOND}/a")).code == 404
