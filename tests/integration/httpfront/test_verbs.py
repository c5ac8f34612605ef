"""The verbs over HTTPS: what a program that knows nothing of gRPC sends and gets."""

from __future__ import annotations

from typing import Any

from tests.support.https import HTTPClient

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


def pod(name: str, **labels: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "hello:v1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_an_object_through_its_life(http: HTTPClient) -> None:
    made = await http.send("POST", MAPS, config_map("a", x="1"))
    assert (made.code, made.headers["Content-Type"]) == (201, "application/json")
    assert list(made.json)[:2] == ["kind", "apiVersion"]
    assert made.json["metadata"]["resourceVersion"]
    read = await http.send("GET", f"{MAPS}/a")
    assert read.code == 200
    assert read.json == made.json
    changed = read.json | {"data": {"x": "2"}}
    put = await http.send("PUT", f"{MAPS}/a", changed)
    assert (put.code, put.json["data"]) == (200, {"x": "2"})
    stale = await http.send("PUT", f"{MAPS}/a", changed)
    assert (stale.code, stale.json["reason"]) == (409, "Conflict")
    patched = await http.send(
        "PATCH", f"{MAPS}/a", '{"data":{"y":"3"}}', content="application/strategic-merge-patch+json"
    )
    assert (patched.code, patched.json["data"]) == (200, {"x": "2", "y": "3"})
    listed = await http.send("GET", MAPS)
    assert listed.json["kind"] == "ConfigMapList"
    assert listed.json["metadata"]["resourceVersion"]
    assert [item["metadata"]["name"] for item in listed.json["items"]] == ["a"]
    assert "kind" not in listed.json["items"][0]
    gone = await http.send("DELETE", f"{MAPS}/a")
    assert gone.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made.json["metadata"]["uid"]},
    }
    missing = await http.send("GET", f"{MAPS}/a")
    assert missing.code == 404
    assert missing.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "a" not found',
        "reason": "NotFound",
        "details": {"name": "a", "kind": "configmaps"},
        "code": 404,
    }


async def test_version_and_health(http: HTTPClient, nobody: HTTPClient) -> None:
    version = (await http.send("GET", "/version")).json
    assert (version["major"], version["minor"]) == ("1", "32")
    for path in ("/healthz", "/livez", "/readyz", "/livez/ping", "/readyz/etcd"):
        answer = await nobody.send("GET", path)
        assert (answer.code, answer.text) == (200, "ok"), path
    assert (await nobody.send("GET", PODS)).code == 401
    assert (await nobody.send("GET", "/metrics")).code == 401
