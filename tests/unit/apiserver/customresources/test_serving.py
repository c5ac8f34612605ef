"""A kind that a CustomResourceDefinition adds is served like one of the server's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apiserver.customresources.kinds import openapi_of
from kubelab.apiserver.discovery.published import Published
from tests.support.memorystore import MemoryStore
from tests.unit.apiserver.customresources.conftest import (
    CLOCK,
    CRDS,
    GROUP,
    condition,
    crontab,
    definition,
    eventually,
    serving,
    spec_schema,
)

NAME = f"crontabs.{GROUP}"


async def test_a_definition_is_established_and_its_objects_are_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        crd = await server.define(definition())
        assert condition(crd, "NamesAccepted")["reason"] == "NoConflicts"
        assert crd["status"]["acceptedNames"] == {
            "kind": "CronTab",
            "listKind": "CronTabList",
            "plural": "crontabs",
            "shortNames": ["cr"],
            "singular": "crontab",
        }
        assert crd["status"]["storedVersions"] == ["v1"]
        made = await server.create(crontab(spec={"cronSpec": "* * * * */5", "replicas": 1}))
        assert made["spec"] == {"cronSpec": "* * * * */5", "replicas": 1}
        assert made["metadata"]["generation"] == 1
        assert (made["apiVersion"], made["kind"]) == (f"{GROUP}/v1", "CronTab")
        assert await server.get("one") == made
        assert await server.list() == [made]
        await server.delete("one")
        assert await server.list() == []


async def test_every_server_serves_it_and_so_does_one_that_starts_later(tmp_path: Path) -> None:
    store = MemoryStore(CLOCK)
    async with serving(tmp_path / "a", store) as first, serving(tmp_path / "b", store) as second:
        await first.define(definition())
        made = await first.create(crontab(spec={"replicas": 1}))
        await eventually(lambda: second.api.resources.by_plural(GROUP, "crontabs") is not None)
        assert await second.list() == [made]
        async with serving(tmp_path / "c", store) as third:
            assert await third.list() == [made]


async def test_the_objects_go_with_their_definition(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        for name in ("one", "two"):
            await server.create(crontab(name))
        await server.delete(NAME, CRDS)
        await server.gone(NAME)
        assert not [e for e in await _stored(server) if "crontabs" in e]
        await eventually(lambda: server.api.resources.by_plural(GROUP, "crontabs") is None)
        with pytest.raises(errors.NotFound, match="the server could not find the requested resource"):
            await server.list()


async def test_an_object_with_a_finalizer_holds_its_definition(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        held = crontab()
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await server.create(held)
        await server.delete(NAME, CRDS)
        crd = await server.until(
            NAME, lambda crd: condition(crd, "Terminating").get("reason") == "InstanceDeletionInProgress"
        )
        assert crd["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        with pytest.raises(errors.MethodNotAllowed, match="create not allowed while custom resource definition"):
            await server.create(crontab("two"))
        await server.patch("one", {"metadata": {"finalizers": None}})
        await server.gone(NAME)


async def _stored(server: Any) -> list[str]:
    page = await server.api.store.range("/registry/", "/registry0")
    return [kv.key for kv in page.items]


async def test_names_that_another_definition_has_are_not_accepted(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        other = definition(plural="tabs")  # the same kind
        await server.create(other)
        refused = await server.until(other["metadata"]["name"], lambda crd: condition(crd, "NamesAccepted"))
        assert condition(refused, "NamesAccepted")["reason"] == "ListKindConflict"
        assert condition(refused, "Established")["status"] == "False"
        with pytest.raises(errors.NotFound):
            await server.list("tabs")
        await server.delete(NAME, CRDS)
        await server.gone(NAME)
        await server.until(other["metadata"]["name"], lambda crd: condition(crd, "Established")["status"] == "True")


async def test_a_change_of_the_schema_counts_for_the_next_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        await server.create(crontab(spec={"replicas": 1, "image": "x"}))
        assert "image" not in (await server.get("one"))["spec"]
        body = await server.get(NAME, CRDS)
        body["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = spec_schema(
            replicas={"type": "integer"}, image={"type": "string", "default": "busybox"}
        )
        before = server.api.resources.by_plural(GROUP, "crontabs")
        await server.update(body)
        await eventually(lambda: server.api.resources.by_plural(GROUP, "crontabs") is not before)
        assert (await server.get("one"))["spec"] == {"replicas": 1, "image": "busybox"}  # as it is read from now on


async def test_all_versions_show_the_same_objects(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        crd = definition()
        crd["spec"]["versions"].append({**crd["spec"]["versions"][0], "name": "v1beta1", "storage": False})
        await server.define(crd)
        made = await server.create(crontab(version="v1beta1", spec={"replicas": 1}), version="v1beta1")
        assert made["apiVersion"] == f"{GROUP}/v1beta1"
        assert (await server.get("one"))["apiVersion"] == f"{GROUP}/v1"  # the preferred one
        assert [o["apiVersion"] for o in await server.list(version="v1beta1")] == [f"{GROUP}/v1beta1"]
        changed = await server.patch("one", {"spec": {"replicas": 2}})
        assert (await server.get("one", version="v1beta1"))["spec"] == changed["spec"] == {"replicas": 2}
        with pytest.raises(errors.NotFound):
            await server.list(version="v2")


async def test_unknown_fields_are_pruned_warned_of_or_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        made = await server.create(crontab(spec={"replicas": 1, "typo": {"a": 1}}, other=1))
        assert made["spec"] == {"replicas": 1}
        assert "other" not in made
        with pytest.raises(errors.BadRequest, match=r'strict decoding error: unknown field "spec.typo"'):
            await server.create(crontab("two", spec={"typo": 1}), fieldValidation="Strict")
        with pytest.raises(errors.Invalid, match=r'strict decoding error: unknown field "spec.typo"'):
            await server.patch("one", {"spec": {"typo": 1}}, fieldValidation="Strict")


async def test_what_does_not_fit_the_schema_is_refused_in_upstreams_words(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        with pytest.raises(errors.Invalid) as caught:
            await server.create(crontab(spec={"replicas": "many", "cronSpec": 1}))
        assert caught.value.message == (
            f'CronTab.{GROUP} "one" is invalid: ['
            'spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer", '
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"]'
        )
        with pytest.raises(errors.BadRequest, match="expected CronTab in version"):
            await server.create(crontab(kind="Other"))


async def test_the_status_is_a_subresource_where_the_definition_says_so(tmp_path: Path) -> None:
    schema = spec_schema(replicas={"type": "integer"})
    schema["properties"]["status"] = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    async with serving(tmp_path) as server:
        scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        await server.define(definition(schema, subresources={"status": {}, "scale": scale}))
        made = await server.create(crontab(spec={"replicas": 1}, status={"replicas": 7}))
        assert "status" not in made
        made["status"] = {"replicas": 3}
        made["spec"] = {"replicas": 9}
        after = await server.update(made, subresource="status")
        assert (after["spec"], after["status"]) == ({"replicas": 1}, {"replicas": 3})
        assert after["metadata"]["generation"] == 1
        found = await server.get("one", subresource="scale")
        assert (found["spec"], found["status"]) == ({"replicas": 1}, {"replicas": 3})
        scaled = await server.patch("one", {"spec": {"replicas": 5}}, subresource="scale")
        assert scaled["spec"] == {"replicas": 5}
        now = await server.get("one")
        assert (now["spec"], now["status"], now["metadata"]["generation"]) == ({"replicas": 5}, {"replicas": 3}, 2)


async def test_patches_of_every_type_but_the_strategic_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        await server.create(crontab(spec={"replicas": 1}))
        assert (await server.patch("one", {"spec": {"cronSpec": "x"}}))["spec"] == {"cronSpec": "x", "replicas": 1}
        patch = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
        assert (await server.patch("one", patch, PatchType.JSON))["spec"]["replicas"] == 4
        with pytest.raises(errors.UnsupportedMediaType) as caught:
            await server.patch("one", {}, PatchType.STRATEGIC)
        assert caught.value.message == (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )


async def test_server_side_apply_knows_the_lists_of_the_schema(tmp_path: Path) -> None:
    item = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
    }
    jobs = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    async with serving(tmp_path) as server:
        await server.define(definition(spec_schema(jobs=jobs, replicas={"type": "integer"})))
        one = crontab(spec={"jobs": [{"name": "a", "v": 1}], "replicas": 1})
        await server.patch("one", one, PatchType.APPLY, fieldManager="me")
        two = crontab(spec={"jobs": [{"name": "b", "v": 2}]})
        both = await server.patch("one", two, PatchType.APPLY, fieldManager="you")
        assert both["spec"]["jobs"] == [{"name": "a", "v": 1}, {"name": "b", "v": 2}]
        with pytest.raises(errors.Conflict, match=r'conflict with "me": .spec.replicas'):
            await server.patch("one", crontab(spec={"replicas": 2}), PatchType.APPLY, fieldManager="you")
        with pytest.raises(errors.UnknownError, match=r"\.spec\.typo: field not declared in schema"):
            await server.patch("one", crontab(spec={"typo": 2}), PatchType.APPLY, fieldManager="you")


async def test_the_table_has_the_columns_of_the_definition(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        columns = [
            {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "description": "The cron spec"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]
        await server.define(definition(additionalPrinterColumns=columns))
        await server.create(crontab(spec={"cronSpec": "* *", "replicas": 3}))
        await server.create(crontab("two"))
        table = await server.table()
        assert [(c.name, c.type, c.priority) for c in table.columnDefinitions] == [
            ("Name", "string", 0),
            ("Spec", "string", 0),
            ("Replicas", "integer", 1),
            ("Age", "date", 0),
        ]
        assert [list(row.cells)[:3] for row in table.rows] == [["one", "* *", "3"], ["two", "", ""]]


async def test_objects_are_selected_by_the_fields_that_the_definition_names(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition(selectableFields=[{"jsonPath": ".spec.cronSpec"}]))
        await server.create(crontab("one", spec={"cronSpec": "a"}))
        await server.create(crontab("two", spec={"cronSpec": "b"}))
        found = await server.list(fieldSelector="spec.cronSpec=b")
        assert [one["metadata"]["name"] for one in found] == ["two"]
        with pytest.raises(errors.BadRequest, match=r"field label not supported: spec.replicas"):
            await server.list(fieldSelector="spec.replicas=1")


async def test_an_object_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition({"type": "object", "x-kubernetes-preserve-unknown-fields": True}))
        deep: dict[str, Any] = {}
        for _ in range(300):
            deep = {"a": deep}
        with pytest.raises(errors.BadRequest, match="more than 200 objects and lists in each other"):
            await server.create(crontab(spec=deep))


async def test_openapi_offers_no_strategic_patch_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        published = Published(server.api.resources, "", openapi_of)
        document = await published.get(f"/openapi/v3/apis/{GROUP}/v1")
        assert document is not None
        found = json.loads(document.plain)
        path = f"/apis/{GROUP}/v1/namespaces/{{namespace}}/crontabs/{{name}}"
        accepted = found["paths"][path]["patch"]["requestBody"]["content"]
        assert "application/merge-patch+json" in accepted
        assert "application/strategic-merge-patch+json" not in accepted
        spec = found["components"]["schemas"]["com.example.stable.v1.CronTab"]["properties"]["spec"]
        assert spec["properties"]["replicas"] == {"type": "integer"}
