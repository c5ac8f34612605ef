"""Discovery and OpenAPI over HTTPS: forms, tags, and what may be kept."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.openapi.v2 import openapi_pb2
from tests.support.https import HTTPClient

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={0};as=APIGroupDiscoveryList"
# What kubectl sends.
KUBECTL = f"{AGGREGATED.format('v2')},{AGGREGATED.format('v2beta1')},application/json"
SWAGGER = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


@pytest.mark.parametrize(
    ("accept", "content", "kind"),
    [
        (KUBECTL, AGGREGATED.format("v2"), "APIGroupDiscoveryList"),
        (AGGREGATED.format("v2beta1"), AGGREGATED.format("v2beta1"), "APIGroupDiscoveryList"),
        ("application/json", "application/json", "APIGroupList"),
        ("*/*", "application/json", "APIGroupList"),
        ("", "application/json", "APIGroupList"),
    ],
)
async def test_the_form_is_the_one_that_the_client_accepts(
    http: HTTPClient, accept: str, content: str, kind: str
) -> None:
    answer = await http.send("GET", "/apis?timeout=32s", accept=accept)
    assert answer.code == 200
    assert answer.headers["Content-Type"] == content
    assert "Accept" in answer.headers["Vary"]
    assert answer.json["kind"] == kind


async def test_a_form_that_is_not_there(http: HTTPClient) -> None:
    answer = await http.send("GET", "/apis", accept="text/html")
    assert (answer.code, answer.json["reason"]) == (406, "NotAcceptable")


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/apis/apps/v1"])
async def test_a_group_version(http: HTTPClient, path: str) -> None:
    answer = await http.send("GET", path, accept="application/json, */*")
    assert (answer.code, answer.json["kind"]) == (200, "APIResourceList")


@pytest.mark.parametrize("path", ["/apis/nothing", "/apis/apps/v7", "/api/v2", "/openapi/v3/apis/nothing/v1"])
async def test_what_is_not_served(http: HTTPClient, path: str) -> None:
    assert (await http.send("GET", path)).code == 404


@pytest.mark.parametrize("path", ["/api", "/apis", "/openapi/v2", "/openapi/v3"])
async def test_a_client_keeps_what_has_not_changed(http: HTTPClient, path: str) -> None:
    first = await http.send("GET", path)
    tag = first.headers["ETag"]
    again = await http.send("GET", path, If_None_Match=tag)
    assert (again.code, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert (await http.send("GET", path, If_None_Match='"other"')).body == first.body


async def test_openapi_3_is_found_by_its_hash(http: HTTPClient) -> None:
    index = (await http.send("GET", "/openapi/v3", accept="application/json, */*")).json
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    document = await http.send("GET", url, accept="application/json")
    assert document.json["openapi"] == "3.0.0"
    assert "immutable" in document.headers["Cache-Control"]
    moved = await http.send("GET", url.partition("?")[0] + "?hash=OLD")
    assert (moved.code, moved.headers["Location"]) == (301, url)


async def test_openapi_2_as_protobuf(http: HTTPClient) -> None:
    answer = await http.send("GET", "/openapi/v2?timeout=32s", accept=SWAGGER)
    assert answer.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    document = openapi_pb2.Document.FromString(answer.body)
    json: Any = (await http.send("GET", "/openapi/v2", accept="application/json")).json
    assert [path.name for path in document.paths.path] == list(json["paths"])


async def test_every_user_may_read_them_and_no_stranger(jane: HTTPClient, nobody: HTTPClient) -> None:
    for path in ("/api", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/version"):
        assert (await jane.send("GET", path)).code == 200, path
        assert (await nobody.send("GET", path)).code == 401, path
