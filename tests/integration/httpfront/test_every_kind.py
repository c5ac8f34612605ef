"""Every kind through its life over HTTPS, by the verbs that discovery lists for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.scheme import STANDARD_VERBS, Resource
from tests.fuzz.objects import SEEDS
from tests.support.https import HTTPClient

MERGE = "application/merge-patch+json"
KINDS = [r for r in scheme.ALL if {"create", "watch"} <= set(r.verbs) and r.plural in SEEDS]

ALONE = ("customresourcedefinitions", "services")  # a second one would ask for the same names, or ports


def body(resource: Resource[Message], name: str) -> dict[str, Any]:
    obj = message_to_dict(SEEDS[resource.plural])
    obj.pop("status", None)
    metadata = {"name": name, "labels": {"kind": resource.singular}}
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj, "metadata": metadata}


def name_of(resource: Resource[Message], number: int) -> str:
    if resource.plural == "customresourcedefinitions":
        return message_to_dict(SEEDS[resource.plural])["metadata"]["name"]
    return f"one-{number}"


@pytest.mark.parametrize("resource", KINDS, ids=str)
async def test_a_kind_through_its_life(http: HTTPClient, resource: Resource[Message]) -> None:
    root = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
    listed = (await http.send("GET", root)).json["resources"]
    (entry,) = (one for one in listed if one["name"] == resource.plural)
    assert entry["verbs"] == sorted(resource.verbs)
    place = f"{root}/namespaces/default/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"
    name = name_of(resource, 1)
    url = f"{place}/{name}"

    before = await http.send("GET", place)
    version = before.json["metadata"]["resourceVersion"]
    made = await http.send("POST", place, body(resource, name))
    assert made.code == 201, made.text
    assert made.json["metadata"]["uid"]
    assert (await http.send("POST", place, body(resource, name))).json["reason"] == "AlreadyExists"
    read = await http.send("GET", url)
    assert (read.code, read.json["kind"]) == (200, resource.kind)
    selected = await http.send("GET", f"{place}?labelSelector=kind%3D{resource.singular}")
    assert [item["metadata"]["name"] for item in selected.json["items"]] == [name]
    everywhere = await http.send("GET", f"{root}/{resource.plural}?labelSelector=kind%3D{resource.singular}")
    assert len(everywhere.json["items"]) == 1
    patched = await http.send("PATCH", url, json.dumps({"metadata": {"labels": {"more": "yes"}}}), content=MERGE)
    assert (patched.code, patched.json["metadata"]["labels"]["more"]) == (200, "yes"), patched.text
    changed = patched.json
    changed["metadata"].setdefault("annotations", {})["changed"] = "yes"
    put = await http.send("PUT", url, changed)
    assert (put.code, put.json["metadata"]["annotations"]["changed"]) == (200, "yes"), put.text
    gone = await http.send("DELETE", f"{url}?gracePeriodSeconds=0")
    assert gone.code == 200, gone.text
    watched = f"{place}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
    seen: list[str] = []
    async with http.open("GET", watched) as events, asyncio.timeout(60):
        while not seen or (seen.count("MODIFIED") < 2):
            seen.append(json.loads(await events.content.readline())["type"])
    assert seen[:3] == ["ADDED", "MODIFIED", "MODIFIED"]


@pytest.mark.parametrize("resource", [r for r in KINDS if r.verbs == STANDARD_VERBS], ids=str)
async def test_a_collection_is_deleted(http: HTTPClient, resource: Resource[Message]) -> None:
    root = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
    place = f"{root}/namespaces/default/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"
    names = [name_of(resource, 1)] if resource.plural in ALONE else ["one-1", "one-2"]
    for name in names:
        assert (await http.send("POST", place, body(resource, name))).code == 201
    selector = f"labelSelector=kind%3D{resource.singular}"
    deleted = await http.send("DELETE", f"{place}?{selector}&gracePeriodSeconds=0")
    assert deleted.code == 200, deleted.text
    assert len(deleted.json["items"]) == len(names)
