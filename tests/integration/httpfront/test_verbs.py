"""The verbs over HTTPS: what a program that knows nothing of gRPC sends and gets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.apiserver import ApiServerInMemory
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


@pytest.mark.parametrize(
    ("media_type", "patch", "data"),
    [
        ("application/json-patch+json", '[{"op":"replace","path":"/data/a","value":"2"}]', {"a": "2", "b": "1"}),
        ("application/merge-patch+json", '{"data":{"a":null,"c":"3"}}', {"b": "1", "c": "3"}),
        ("application/strategic-merge-patch+json; charset=utf-8", '{"data":{"c":"3"}}', {"a": "1", "b": "1", "c": "3"}),
    ],
)
async def test_patches(http: HTTPClient, media_type: str, patch: str, data: dict[str, str]) -> None:
    await http.send("POST", MAPS, config_map("a", a="1", b="1"))
    answer = await http.send("PATCH", f"{MAPS}/a", patch, content=media_type)
    assert (answer.code, answer.json["data"]) == (200, data)


async def test_an_apply_creates_and_changes(http: HTTPClient) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n"
    path, apply = f"{MAPS}/a?fieldManager=me", "application/apply-patch+yaml"
    made = await http.send("PATCH", path, body, content=apply)
    assert (made.code, made.json["metadata"]["managedFields"][0]["manager"]) == (201, "me")
    changed = await http.send("PATCH", path, body.replace("1", "2").replace("v2", "v1"), content=apply)
    assert (changed.code, changed.json["data"]) == (200, {"x": "2"})
    other = await http.send("PATCH", f"{MAPS}/a?fieldManager=you", body, content=apply)
    assert (other.code, other.json["reason"]) == (409, "Conflict")
    forced = await http.send("PATCH", f"{MAPS}/a?fieldManager=you&force=true", body, content=apply)
    assert (forced.code, forced.json["data"]) == (200, {"x": "1"})
    nameless = await http.send("PATCH", f"{MAPS}/a", body, content=apply)
    assert (nameless.code, nameless.json["details"]["causes"][0]["field"]) == (422, "fieldManager")


@pytest.mark.parametrize(
    ("validation", "code", "warned"),
    [("", 201, True), ("Warn", 201, True), ("Ignore", 201, False), ("Strict", 400, False)],
)
async def test_unknown_and_duplicate_fields(http: HTTPClient, validation: str, code: int, warned: bool) -> None:
    body = '{"metadata":{"name":"a","foo":1},"data":{"x":"1","x":"2"},"bar":{}}'
    complaints = ['unknown field "bar"', 'unknown field "metadata.foo"', 'duplicate field "x"']
    answer = await http.send("POST", f"{MAPS}?fieldValidation={validation}", body, content="application/json")
    assert answer.code == code
    warnings = answer.headers.getall("Warning", [])
    escaped = [complaint.replace('"', '\\"') for complaint in complaints]
    assert sorted(warnings) == (sorted(f'299 - "{text}"' for text in escaped) if warned else [])
    if code == 400:
        message = answer.json["message"]
        assert message.startswith('ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: ')
        assert all(complaint in message for complaint in complaints)


async def test_a_dry_run_changes_nothing(http: HTTPClient) -> None:
    made = await http.send("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert made.code == 201
    assert "resourceVersion" not in made.json["metadata"]
    assert (await http.send("GET", f"{MAPS}/a")).code == 404
    await http.send("POST", MAPS, config_map("a"))
    gone = await http.send("DELETE", f"{MAPS}/a?dryRun=All")
    assert (gone.code, gone.json["status"]) == (200, "Success")
    assert (await http.send("GET", f"{MAPS}/a")).code == 200
    wrong = await http.send("POST", f"{MAPS}?dryRun=Some", config_map("b"))
    assert (wrong.code, wrong.json["details"]["causes"][0]["field"]) == (422, "dryRun")


async def test_a_list_in_pieces(http: HTTPClient) -> None:
    for name in ("a", "b", "c"):
        await http.send("POST", MAPS, config_map(name))
    first = (await http.send("GET", f"{MAPS}?limit=2")).json
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    await http.send("DELETE", f"{MAPS}/c")
    token = first["metadata"]["continue"]
    rest = (await http.send("GET", f"{MAPS}?limit=2&continue={token}")).json
    assert "continue" not in rest["metadata"]
    chosen = (await http.send("GET", f"{MAPS}?fieldSelector=metadata.name%3Db")).json
    assert [item["metadata"]["name"] for item in chosen["items"]] == ["b"]


@pytest.mark.parametrize("body", [None, {"gracePeriodSeconds": 0}, {"kind": "DeleteOptions", "apiVersion": "apps/v1"}])
async def test_a_pod_that_is_deleted_is_shown(http: HTTPClient, body: object) -> None:
    await http.send("POST", PODS, pod("a"))
    gone = await http.send("DELETE", f"{PODS}/a", body)
    assert (gone.code, gone.json["kind"], gone.json["metadata"]["name"]) == (200, "Pod", "a")


async def test_a_deletion_may_have_its_options_in_the_url(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a"))
    marked = await http.send("DELETE", f"{MAPS}/a?propagationPolicy=Orphan")
    assert marked.json["metadata"]["finalizers"] == ["orphan"]
    wrong = await http.send("DELETE", f"{MAPS}/a?gracePeriodSeconds=soon")
    assert (wrong.code, wrong.json["message"]) == (400, 'strconv.ParseInt: parsing "soon": invalid syntax')
    other = await http.send("DELETE", f"{MAPS}/a", {"kind": "Foo"})
    assert (other.code, other.json["reason"]) == (400, "BadRequest")


async def test_a_collection_is_deleted(http: HTTPClient) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await http.send("POST", MAPS, {"metadata": {"name": name, "labels": {"l": label}}})
    gone = (await http.send("DELETE", f"{MAPS}?labelSelector=l%3Dx")).json
    assert gone["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "c"]
    left = (await http.send("GET", MAPS)).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_subresources(http: HTTPClient) -> None:
    await http.send("POST", PODS, pod("a"))
    status = '{"status":{"message":"hm"}}'
    patched = await http.send("PATCH", f"{PODS}/a/status", status, content="application/merge-patch+json")
    assert (patched.code, patched.json["status"]["message"]) == (200, "hm")
    assert (await http.send("GET", f"{PODS}/a/status")).json == patched.json
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    bound = await http.send("POST", f"{PODS}/a/binding", binding)
    assert (bound.code, bound.json["kind"], bound.json["code"]) == (201, "Status", 201)
    assert (await http.send("GET", f"{PODS}/a")).json["spec"]["nodeName"] == "n"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    wanted = {"metadata": {"name": "r"}, "spec": {"replicas": 2, "selector": {"a": "b"}, "template": template}}
    path = "/api/v1/namespaces/default/replicationcontrollers"
    await http.send("POST", path, wanted)
    scale = (await http.send("GET", f"{path}/r/scale")).json
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 2})
    scale["spec"]["replicas"] = 3
    put = await http.send("PUT", f"{path}/r/scale", scale)
    assert (put.code, put.json["spec"]) == (200, {"replicas": 3})
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = await http.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert (answer.code, answer.json["status"]["allowed"]) == (201, True)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", f"{MAPS}/a", 405),
        ("PUT", MAPS, 405),
        ("PATCH", MAPS, 405),
        ("HEAD", f"{MAPS}/a", 405),
        ("OPTIONS", f"{MAPS}/a", 405),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/configmaps/a", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/frobs", 404),
        ("GET", "/api/v2/namespaces/default/configmaps", 404),
        ("GET", "/apis/example.com/v1/frobs", 404),
        ("GET", f"{MAPS}/a/frob", 404),
        ("GET", f"{MAPS}/a/status", 404),
        ("GET", f"{PODS}/a/binding", 405),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 405),
        ("GET", "/frob", 404),
        ("POST", "/version", 405),
    ],
)
async def test_paths_and_methods_that_are_not_served(http: HTTPClient, method: str, path: str, code: int) -> None:
    await http.send("POST", MAPS, config_map("a"))
    await http.send("POST", PODS, pod("a"))
    answer = await http.send(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
    assert answer.code == code, answer.text
    if method == "HEAD":
        return
    if path == "/frob":
        assert "/version" in answer.json["paths"]
        return
    assert answer.json["kind"] == "Status"
    assert answer.json["reason"] == {404: "NotFound", 405: "MethodNotAllowed"}[code]


async def test_health_in_detail(nobody: HTTPClient, server: ApiServerInMemory) -> None:
    verbose = await nobody.send("GET", "/readyz?verbose")
    checks = ("ping", "log", "etcd", "poststarthook/rbac/bootstrap-roles", "shutdown")
    assert verbose.text == "".join(f"[+]{name} ok\n" for name in checks) + "readyz check passed\n"
    without = await nobody.send("GET", "/readyz?verbose&exclude=etcd&exclude=frob")
    assert "[+]etcd excluded: ok\n" in without.text
    assert 'warn: some health checks cannot be excluded: no matches for "frob"\n' in without.text
    assert (await nobody.send("GET", "/readyz/frob")).code == 401
    server.api._handler.close()  # pyright: ignore[reportPrivateUsage]
    failed = await nobody.send("GET", "/readyz")
    assert failed.code == 500
    assert failed.text.endswith("[-]shutdown failed: reason withheld\nreadyz check failed\n")
    assert (await nobody.send("GET", "/readyz/shutdown")).code == 500
    assert (await nobody.send("GET", "/livez")).code == 200


async def test_a_server_that_ends_says_try_another(http: HTTPClient, server: ApiServerInMemory) -> None:
    server.api._handler.close()  # pyright: ignore[reportPrivateUsage]
    answer = await http.send("GET", MAPS)
    assert (answer.code, answer.json["reason"], answer.headers["Retry-After"]) == (503, "ServiceUnavailable", "1")


async def test_the_trail_names_the_program_and_the_certificate(
    http: HTTPClient, server: ApiServerInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(server.api.audit, "add", kept.append)
    await http.send("GET", f"{MAPS}/a", User_Agent="kubectl/v1.32.4 (linux/amd64) kubernetes/1234567")
    (record,) = kept
    assert (record["user"], record["verb"], record["code"]) == ("kubernetes-admin", "get", "NOT_FOUND")
    assert record["claimed"] == "kubectl/v1.32.4 (linux/amd64) kubernetes/1234567"
    kept.clear()
    traced = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await http.send("POST", MAPS, config_map("a"), traceparent=traced)
    assert kept[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


async def test_the_manager_of_a_write_is_the_program_that_sends_it(http: HTTPClient) -> None:
    await http.send("POST", f"{MAPS}?fieldManager=first", config_map("a", x="0"))
    patch = '{"data":{"x":"1"}}'
    patched = await http.send(
        "PATCH",
        f"{MAPS}/a",
        patch,
        content="application/merge-patch+json",
        User_Agent="OpenAPI-Generator/31.0.0/python",
    )
    managers = [entry["manager"] for entry in patched.json["metadata"]["managedFields"]]
    assert managers == ["OpenAPI-Generator", "first"]
