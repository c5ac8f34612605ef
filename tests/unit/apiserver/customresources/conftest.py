"""An api-server in memory, asked through its gRPC front as kctl does it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.apiextensions.v1 import apiextensions_pb2
from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, jsonobjects
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.manifest.encode import to_dict
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.scheme import pack
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions import conditions
from kubelab.apiserver.server import ApiServer
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.inprocess import call
from tests.support.memorystore import MemoryStore
from tests.support.polling import until_answered, until_true

CLOCK = SystemClock()
CRDS = "customresourcedefinitions"
GROUP = "stable.example.com"


def spec_schema(**properties: Any) -> dict[str, Any]:
    """A schema of objects whose spec has these fields."""
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def definition(
    schema: dict[str, Any] | None = None, *, plural: str = "crontabs", kind: str = "CronTab", **version: Any
) -> dict[str, Any]:
    """The definition of the Kubernetes documentation's crontabs, with one version."""
    one = {"name": "v1", "served": True, "storage": True, **version}
    one["schema"] = {
        "openAPIV3Schema": schema or spec_schema(cronSpec={"type": "string"}, replicas={"type": "integer"})
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": [plural[:2]]},
            "versions": [one],
        },
    }


def crontab(name: str = "one", version: str = "v1", kind: str = "CronTab", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": {"name": name}, **fields}


@dataclass
class Server:
    """Asks an api-server for objects as JSON has them."""

    api: ApiServer

    def _path(self, plural: str, name: str = "", subresource: str = "", version: str = "") -> pb.ResourcePath:
        if plural == CRDS:
            return pb.ResourcePath(group="apiextensions.k8s.io", resource=plural, name=name, subresource=subresource)
        return pb.ResourcePath(
            group=GROUP, version=version, resource=plural, namespace="default", name=name, subresource=subresource
        )

    def _packed(self, body: dict[str, Any]) -> Any:
        crd = body["kind"] == "CustomResourceDefinition"
        message: type[Message] = apiextensions_pb2.CustomResourceDefinition if crd else CustomObject
        return pack(jsonobjects.decode(body, message)[0])

    def _unpacked(self, answer: bytes) -> dict[str, Any]:
        packed = pb.ObjectResponse.FromString(answer).object
        if packed.type_url.endswith(".CustomObject"):
            return to_dict(CustomObject.FromString(packed.value))
        if packed.type_url.endswith(".CustomResourceDefinition"):
            return to_dict(apiextensions_pb2.CustomResourceDefinition.FromString(packed.value))
        from kubelab.api.autoscaling.v1 import autoscaling_pb2

        return to_dict(autoscaling_pb2.Scale.FromString(packed.value))

    async def create(
        self, body: dict[str, Any], plural: str = "crontabs", version: str = "", **options: Any
    ) -> dict[str, Any]:
        plural = CRDS if body["kind"] == "CustomResourceDefinition" else plural
        request = pb.CreateRequest(
            path=self._path(plural, version=version),
            object=self._packed(body),
            options=meta_pb2.CreateOptions(**options),
        )
        return self._unpacked(await self.api.resources_front.create(request, call()))

    async def update(self, body: dict[str, Any], plural: str = "crontabs", subresource: str = "") -> dict[str, Any]:
        plural = CRDS if body["kind"] == "CustomResourceDefinition" else plural
        path = self._path(plural, body["metadata"]["name"], subresource)
        request = pb.UpdateRequest(path=path, object=self._packed(body))
        return self._unpacked(await self.api.resources_front.update(request, call()))

    async def patch(
        self,
        name: str,
        patch: Any,
        kind: PatchType = PatchType.MERGE,
        plural: str = "crontabs",
        subresource: str = "",
        **options: Any,
    ) -> dict[str, Any]:
        request = pb.PatchRequest(
            path=self._path(plural, name, subresource),
            type=kind,
            patch=json.dumps(patch).encode(),
            options=meta_pb2.PatchOptions(**options),
        )
        return self._unpacked(await self.api.resources_front.patch(request, call()))

    async def get(
        self, name: str, plural: str = "crontabs", subresource: str = "", version: str = ""
    ) -> dict[str, Any]:
        request = pb.GetRequest(path=self._path(plural, name, subresource, version))
        return self._unpacked(await self.api.resources_front.get(request, call()))

    async def list(self, plural: str = "crontabs", version: str = "", **options: Any) -> list[dict[str, Any]]:
        request = pb.ListRequest(path=self._path(plural, version=version), options=meta_pb2.ListOptions(**options))
        found = pb.ListResponse.FromString(await self.api.resources_front.list(request, call()))
        return [to_dict(CustomObject.FromString(one.value)) for one in found.items]

    async def table(self, plural: str = "crontabs") -> meta_pb2.Table:
        request = pb.ListRequest(path=self._path(plural), table=meta_pb2.TableOptions())
        return pb.ListResponse.FromString(await self.api.resources_front.list(request, call())).table

    async def delete(self, name: str, plural: str = "crontabs") -> None:
        await self.api.resources_front.delete(pb.DeleteRequest(path=self._path(plural, name)), call())

    async def define(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a definition and wait until it is established."""
        await self.create(body)
        return await self.until(body["metadata"]["name"], established)

    async def until(self, name: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until something holds of a definition, as a watch sees it."""
        front = self.api.resources_front
        options = meta_pb2.ListOptions(fieldSelector=f"metadata.name={name}")
        events = front.watch(pb.WatchRequest(path=self._path(CRDS), options=options), call())
        async with contextlib.aclosing(cast(Any, events)):
            async for event in events:
                packed = pb.WatchEvent.FromString(event)
                crd = to_dict(apiextensions_pb2.CustomResourceDefinition.FromString(packed.object.value))
                if packed.type != pb.WatchEvent.DELETED and holds(crd):
                    return crd
        raise AssertionError("the watch ended")

    async def gone(self, name: str) -> None:
        """Wait until a definition, and with it its kind, is gone."""

        async def asked() -> bool:
            try:
                await self.get(name, CRDS)
            except errors.NotFound:
                return True
            return False

        await until_answered(asked, within=60)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    await until_true(holds, within=60)


def established(crd: dict[str, Any]) -> bool:
    return condition(crd, conditions.ESTABLISHED).get("status") == "True"


def condition(crd: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((c for c in crd["status"]["conditions"] or () if c["type"] == kind), {})


@contextlib.asynccontextmanager
async def serving(tmp_path: Path, store: MemoryStore | None = None) -> AsyncGenerator[Server]:
    config = ApiServerConfig(audit_log=tmp_path / "audit.log")
    api = ApiServer(
        config, store or MemoryStore(CLOCK), process="api-server@cp-1", clock=CLOCK, metrics=CollectorRegistry()
    )
    async with api.running():
        yield Server(api)
    for cache in api.caches.values():
        cache.check_invariants()
