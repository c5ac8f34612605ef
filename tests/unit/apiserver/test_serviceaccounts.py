"""Service accounts at an api-server in memory: every namespace has one, pods get theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import SERVICE_ACCOUNTS
from tests.support.apiserver import ApiServerInMemory
from tests.support.tokens import with_tokens


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


PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
AUTOMOUNT = [  # the pod says, the account says: is the token mounted
    (None, None, True),
    (None, False, False),
    (True, False, True),
    (False, None, False),
    (False, True, False),
]


@pytest.mark.parametrize(("pods", "accounts", "mounted"), AUTOMOUNT)
async def test_a_pod_gets_its_accounts_token(
    tmp_path: Path, pods: bool | None, accounts: bool | None, mounted: bool
) -> None:
    server = ApiServerInMemory(config=with_tokens(tmp_path))
    account = serviceaccounts_pb2.ServiceAccount(metadata=meta_pb2.ObjectMeta(name="robot", namespace="default"))
    if accounts is not None:
        account.automountServiceAccountToken = accounts
    server.add(account)
    wanted = pod("web", "robot")
    if pods is not None:
        wanted.spec.automountServiceAccountToken = pods
    async with server.client() as client:
        made = await client.create(wanted, "default")
    assert [m.mountPath for m in made.spec.containers[0].volumeMounts] == ([PATH] if mounted else [])
    if not mounted:
        assert not made.spec.volumes
        return
    [volume] = made.spec.volumes
    assert re.fullmatch("kube-api-access-[a-z0-9]{5}", volume.name)
    token, authority, about = volume.volumeSource.projected.sources
    assert (token.serviceAccountToken.path, token.serviceAccountToken.expirationSeconds) == ("token", 3607)
    assert authority.configMap.localObjectReference.name == "kube-root-ca.crt"
    assert about.downwardAPI.items[0].fieldRef.fieldPath == "metadata.namespace"
    assert volume.volumeSource.projected.defaultMode == 0o644


async def test_a_mount_of_the_pods_own_stays_and_an_update_mounts_nothing(tmp_path: Path) -> None:
    server = ApiServerInMemory(config=with_tokens(tmp_path))
    wanted = pod("web")
    wanted.spec.volumes.add(name="own").volumeSource.emptyDir.SetInParent()
    wanted.spec.containers[0].volumeMounts.add(name="own", mountPath=PATH)
    wanted.spec.containers.add(name="other", image="hello")
    async with server.client() as client:
        made = await client.create(wanted, "default")
        assert [len(c.volumeMounts) for c in made.spec.containers] == [1, 1]
        assert made.spec.containers[0].volumeMounts[0].name == "own"
        made.metadata.labels["a"] = "b"
        assert len((await client.update(made)).spec.volumes) == 2
    alone = pod("alone")
    alone.spec.CopyFrom(wanted.spec)
    del alone.spec.containers[1:]
    async with server.client() as client:
        assert [v.name for v in (await client.create(alone, "default")).spec.volumes] == ["own"]


async def test_a_server_without_a_key_mounts_no_token() -> None:
    async with ApiServerInMemory().client() as client:
        assert not (await client.create(pod("web"), "default")).spec.volumes
