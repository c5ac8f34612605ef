"""Documents are made when they are asked for, and again when the registry has changed."""

from __future__ import annotations

import dataclasses
import json

from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.apiserver.discovery.published import AGGREGATED, SWAGGER_PROTOBUF, Published, media_types
from kubelab.apiserver.resources.core import configmaps
from kubelab.apiserver.resources.storage import Settings
from kubelab.apiserver.resources.table import Resources, builtin

GADGETS = dataclasses.replace(CONFIG_MAPS, plural="gadgets", singular="gadget", kind="Gadget", group="example.com")


async def read(published: Published, path: str, media_type: str = "application/json") -> dict[str, object]:
    found = await published.get(path, media_type)
    assert found is not None
    assert found.media_type == media_type
    return json.loads(found.plain)


async def test_the_paths_of_discovery() -> None:
    published = Published(Resources(builtin()), "10.0.0.1:8443")
    versions = await read(published, "/api")
    assert versions == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:8443"}],
    }
    assert (await read(published, "/apis"))["kind"] == "APIGroupList"
    assert (await read(published, "/apis/apps"))["kind"] == "APIGroup"
    assert (await read(published, "/apis/apps/v1"))["groupVersion"] == "apps/v1"
    core = await read(published, "/api", AGGREGATED["v2"])
    named = await read(published, "/apis", AGGREGATED["v2beta1"])
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert named["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    for path in ("/apis/nope", "/apis/apps/v2", "/api/v2", "/openapi/v3/apis/nope/v1", "/nope"):
        assert await published.get(path) is None, path


async def test_openapi_of_each_group_version_has_the_hash_that_the_index_names() -> None:
    published = Published(Resources(builtin()), "10.0.0.1:8443")
    index = await read(published, "/openapi/v3")
    paths = index["paths"]
    assert isinstance(paths, dict)
    assert {"api/v1", "apis/apps/v1"} <= paths.keys()
    for path, entry in paths.items():
        document = await published.get(f"/openapi/v3/{path}")
        assert document is not None
        assert entry == {"serverRelativeURL": f"/openapi/v3/{path}?hash={document.hash}"}
    assert media_types("/openapi/v2") == ("application/json", SWAGGER_PROTOBUF)
    assert await published.get("/openapi/v2", SWAGGER_PROTOBUF) is await published.get("/openapi/v2", SWAGGER_PROTOBUF)


async def test_a_kind_that_is_added_is_in_every_document_from_then_on() -> None:
    resources = Resources(builtin())
    published = Published(resources, "10.0.0.1:8443")
    before = await published.get("/openapi/v3")
    assert before is not None
    assert await published.get("/apis/example.com/v1") is None
    storage = dataclasses.replace(configmaps.storage(Settings()), resource=GADGETS, path="gadgets")
    resources.add(storage, resources.make_cache(storage))
    assert (await read(published, "/apis/example.com/v1"))["groupVersion"] == "example.com/v1"
    assert published.groups[-1].name == "example.com"
    after = await published.get("/openapi/v3")
    assert after is not None
    assert after.hash != before.hash
