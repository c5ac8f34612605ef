"""The volumes of pods from their binding to their end, against a runtime that speaks the CRI."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import CONFIG_MAPS, PODS
from tests.support.apiserver import ApiServerInMemory
from tests.support.tokens import with_tokens

MakePod = Callable[..., core_pb2.Pod]


def config_map(name: str, data: dict[str, str]) -> core_pb2.ConfigMap:
    return core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(name=name, namespace="default"), data=data)


def with_volume(pod: core_pb2.Pod, kind: str, path: str = "/data", **fields: Any) -> core_pb2.Pod:
    volume = pod.spec.volumes.add(name=f"v{len(pod.spec.volumes)}")
    source = getattr(volume.volumeSource, kind)
    source.SetInParent()
    for name, value in fields.items():
        setattr(source, name, value)
    pod.spec.containers[0].volumeMounts.add(name=volume.name, mountPath=path)
    return pod


def with_config(pod: core_pb2.Pod, name: str) -> core_pb2.Pod:
    with_volume(pod, "configMap")
    pod.spec.volumes[-1].volumeSource.configMap.localObjectReference.name = name
    return pod


def mounts(lab: Any, call: int = -1) -> dict[str, tuple[Path, bool]]:
    """Where the newest container has what, and whether it may only read it."""
    config = lab.cri.calls_of("CreateContainer")[call].config
    return {m.container_path: (Path(m.host_path), m.readonly) for m in config.mounts if "/pods/" in m.host_path}


async def deleted(lab: Any, name: str = "web") -> None:
    await lab.api.client().delete(PODS, name, "default")
    await lab.until(lambda: lab.api.get(PODS, f"default/{name}") is None)


async def test_a_folder_lives_as_long_as_its_pod(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(with_volume(make_pod(), "emptyDir"))
        await lab.phase("Running")
        folder, read_only = mounts(lab)["/data"]
        assert not read_only
        uid = lab.pod().metadata.uid
        assert folder == lab.config.state_dir / "pods" / uid / "volumes/kubernetes.io~empty-dir/v0"
        assert (folder.stat().st_mode & 0o7777, folder.parents[3].stat().st_mode & 0o777) == (0o777, 0o750)
        (folder / "x").write_text("kept")
        lab.cri.exit("app", 1)
        lab.clock.step(60)
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 1)
        assert (mounts(lab)["/data"][0] / "x").read_text() == "kept"
        await deleted(lab)
        assert not folder.parents[2].exists()


async def test_a_change_of_a_config_map_reaches_the_container(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(config_map("app", {"key": "old"}))
        lab.api.add(with_config(make_pod(), "app"))
        await lab.phase("Running")
        folder, read_only = mounts(lab)["/data"]
        assert read_only
        assert (folder / "key").read_text() == "old"
        lab.api.add(config_map("app", {"key": "new", "more": "1"}))
        await lab.until(lambda: (folder / "more").exists())
        assert (folder / "key").read_text() == "new"
        assert len(lab.cri.calls_of("CreateContainer")) == 1
        assert lab.api.watching(CONFIG_MAPS) == 1
        await deleted(lab)
        await lab.until(lambda: lab.api.watching(CONFIG_MAPS) == 0)
    assert lab.told("FailedMount") == []


async def test_a_pod_waits_for_its_config_map_and_goes_on_when_it_is_made(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(with_config(make_pod(), "late"))
        await lab.waiting("ContainerCreating")
        await lab.until(lambda: lab.told("FailedMount"))
        assert set(lab.told("FailedMount")) == {'MountVolume.SetUp failed for volume "v0" : configmap "late" not found'}
        assert not lab.cri.calls_of("CreateContainer")
        lab.api.add(config_map("late", {"key": "1"}))
        await lab.phase("Running")
        assert (mounts(lab)["/data"][0] / "key").read_text() == "1"


async def test_two_pods_share_a_watch(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(config_map("app", {"key": "1"}))
        lab.api.add(with_config(make_pod(), "app"), with_config(make_pod("two"), "app"))
        await lab.phase("Running")
        await lab.phase("Running", "two")
        assert lab.api.watching(CONFIG_MAPS) == 1
        await deleted(lab)
        assert lab.api.watching(CONFIG_MAPS) == 1


async def test_another_type_keeps_the_pod_waiting_and_is_named(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(with_volume(make_pod(), "persistentVolumeClaim", claimName="data"))
        await lab.until(lambda: lab.told("FailedMount"))
        text = 'MountVolume.SetUp failed for volume "v0" : kubelab mounts no volumes of the type persistentVolumeClaim'
        assert text in lab.told("FailedMount")
        assert lab.status().phase == "Pending"


async def test_a_volume_that_nobody_mounts_holds_nothing_up(lab: Any, make_pod: MakePod) -> None:
    pod = with_volume(make_pod(), "persistentVolumeClaim", claimName="data")
    del pod.spec.containers[0].volumeMounts[:]
    async with lab.kubelet():
        lab.api.add(pod)
        await lab.phase("Running")


async def test_labels_that_change_are_shown(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod()
    pod.metadata.labels["app"] = "one"
    with_volume(pod, "downwardAPI")
    item = pod.spec.volumes[0].volumeSource.downwardAPI.items.add(path="labels")
    item.fieldRef.fieldPath = "metadata.labels"
    async with lab.kubelet():
        lab.api.add(pod)
        await lab.phase("Running")
        file = mounts(lab)["/data"][0] / "labels"
        assert file.read_text() == 'app="one"'
        changed = lab.pod()
        changed.metadata.labels["app"] = "two"
        lab.api.add(changed)
        await lab.until(lambda: file.read_text() == 'app="two"')


async def test_volumes_of_pods_that_ended_without_a_kubelet_are_removed(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(with_volume(make_pod(), "emptyDir"), with_volume(make_pod("stays"), "emptyDir"))
        await lab.phase("Running")
        await lab.phase("Running", "stays")
    gone, kept = lab.pod().metadata.uid, lab.pod("stays").metadata.uid
    lab.api.remove(PODS, "default/web")
    lab.cri.sandboxes = {i: s for i, s in lab.cri.sandboxes.items() if s.config.metadata.uid != gone}
    lab.cri.containers = {i: c for i, c in lab.cri.containers.items() if c.sandbox_id in lab.cri.sandboxes}
    async with lab.kubelet():
        await lab.until(lambda: [p.name for p in (lab.config.state_dir / "pods").iterdir()] == [kept])


async def test_a_kubelet_that_is_started_again_keeps_volumes_current(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(config_map("app", {"key": "old"}))
        lab.api.add(with_config(make_pod(), "app"))
        await lab.phase("Running")
    folder = mounts(lab)["/data"][0]
    lab.api.add(config_map("app", {"key": "missed"}))
    async with lab.kubelet():
        await lab.until(lambda: (folder / "key").read_text() == "missed")
        lab.api.add(config_map("app", {"key": "new"}))
        await lab.until(lambda: (folder / "key").read_text() == "new")
    assert len(lab.cri.calls_of("CreateContainer")) == 1


def with_token(pod: core_pb2.Pod, seconds: int) -> core_pb2.Pod:
    pod.spec.serviceAccountName = "robot"
    with_volume(pod, "projected", "/var/run/secrets/tokens")
    token = pod.spec.volumes[0].volumeSource.projected.sources.add().serviceAccountToken
    token.path, token.expirationSeconds, token.audience = "vault", seconds, "vault"
    return pod


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_token_is_the_pods_and_is_replaced_before_it_ends(lab: Any, make_pod: MakePod, tmp_path: Path) -> None:
    lab.api = ApiServerInMemory(clock=lab.clock, config=with_tokens(tmp_path))
    lab.api.add(serviceaccounts_pb2.ServiceAccount(metadata=meta_pb2.ObjectMeta(name="robot", namespace="default")))
    async with lab.kubelet():
        lab.api.add(with_token(make_pod(), 1000))
        await lab.phase("Running")
        file = mounts(lab)["/var/run/secrets/tokens"][0] / "vault"
        first = file.read_text()
        assert claims(first)["aud"] == ["vault"]
        assert claims(first)["kubernetes.io"]["pod"] == {"name": "web", "uid": lab.pod().metadata.uid}
        lab.clock.step(700)
        lab.manager.queue.add(lab.pod().metadata.uid)
        assert file.read_text() == first
        lab.api.fail(errors.Unavailable("no leader"), verb="create", resource="serviceaccounts")
        lab.clock.step(150)  # 80 % of its life are over
        await lab.until(lambda: lab.told("FailedMount"))
        assert 'volume "v0" : failed to fetch token: no leader' in lab.told("FailedMount")[0]
        assert file.read_text() == first
        lab.clock.step(2)
        await lab.until(lambda: file.read_text() != first)
        assert claims(file.read_text())["exp"] > claims(first)["exp"]
    assert len(lab.cri.calls_of("CreateContainer")) == 1
