"""Custom objects are for those who have a role for them, as all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.inprocess import call, certificate
from tests.unit.apiserver.customresources.conftest import GROUP, crontab, definition, serving
from tests.unit.apiserver.rbac.support import binding, role, rule, user


async def test_a_role_gives_custom_objects(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.define(definition())
        await server.create(crontab())

        async def as_jane(verb: str) -> object:
            path = pb.ResourcePath(group=GROUP, resource="crontabs", namespace="default", name="one")
            context = call(pem=certificate("jane", "people"))
            if verb == "get":
                return await server.api.resources_front.get(pb.GetRequest(path=path), context)
            request = pb.DeleteRequest(path=path, options=meta_pb2.DeleteOptions())
            return await server.api.resources_front.delete(request, context)

        with pytest.raises(errors.Forbidden, match=f'cannot get resource "crontabs" in API group "{GROUP}"'):
            await as_jane("get")
        for obj in (role("cron", rule("get", "crontabs", GROUP)), binding("crons", "cron", user("jane"))):
            await server.api.writer.create(scheme.of_object(obj), "default", obj)
        await as_jane("get")
        with pytest.raises(errors.Forbidden, match='cannot delete resource "crontabs"'):
            await as_jane("delete")
