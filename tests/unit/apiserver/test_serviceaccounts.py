"""Service accounts at an api-server in memory: every namespace has one, pods get theirs."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import SERVICE_ACCOUNTS
from tests.support.apiserver import ApiServerInMemory


def pod(name: str, account: str = "") -> core_pb2.Pod:
    made = core_pb2.Pod(metadata=meta_pb2.ObjectMeta(name=name))
    made.spec.containers.add(name="c", image="hello")
    made.spec.serviceAccountName = account
    return made


async def test_a_new_namespace_takes_pods_at_once() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        namespace = await client.create(core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="lab")))
        made = await client.create(pod("web"), "lab")
        assert made.spec.serviceAccountName == made.spec.serviceAccount == "default"
        account = await client.get(SERVICE_ACCOUNTS, "default", "lab")
        assert account.metadata.uid
        assert account.metadata.creationTimestamp == namespace.metadata.creationTimestamp
        namespace.metadata.labels["a"] = "b"
        await client.update(namespace)
        unchanged = await client.get(SERVICE_ACCOUNTS, "default", "lab")
        assert unchanged == account


async def test_an_account_that_was_left_behind_does_not_keep_its_namespace_from_being_made() -> None:
    server = ApiServerInMemory()
    left = meta_pb2.ObjectMeta(name="default", namespace="lab", uid="old")
    server.add(serviceaccounts_pb2.ServiceAccount(metadata=left))
    async with server.client() as client:
        await client.create(core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="lab")))
        assert (await client.get(SERVICE_ACCOUNTS, "default", "lab")).metadata.uid == "old"


async def test_a_pod_of_no_account_is_refused() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        with pytest.raises(errors.Forbidden) as told:
            await client.create(pod("x", "robot"), "default")
        assert told.value.message == (
            'pods "x" is forbidden: error looking up service account default/robot: serviceaccount "robot" not found'
        )
        account = serviceaccounts_pb2.ServiceAccount(metadata=meta_pb2.ObjectMeta(name="robot"))
        account.imagePullSecrets.add(name="registry")
        account.secrets.add(name="s", namespace="elsewhere", kind="Secret")
        made = await client.create(account, "default")
        assert list(made.secrets) == [type(made.secrets[0])(name="s")]
        with_account = await client.create(pod("x", "robot"), "default")
        assert [one.name for one in with_account.spec.imagePullSecrets] == ["registry"]
        own = pod("y", "robot")
        own.spec.imagePullSecrets.add(name="own")
        assert [one.name for one in (await client.create(own, "default")).spec.imagePullSecrets] == ["own"]
        await client.delete(SERVICE_ACCOUNTS, "default", "default")
        with pytest.raises(errors.Forbidden, match='serviceaccount "default" not found'):
            await client.create(pod("z"), "default")


async def test_a_mirror_pod_has_no_account() -> None:
    server = ApiServerInMemory()
    mirror = pod("static", "default")
    mirror.metadata.annotations["kubernetes.io/config.mirror"] = "hash"
    async with server.client() as client:
        with pytest.raises(errors.Forbidden, match="a mirror pod may not reference service accounts"):
            await client.create(mirror, "default")
        mirror.spec.serviceAccountName = ""
        assert (await client.create(mirror, "default")).spec.serviceAccountName == ""
