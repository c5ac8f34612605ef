"""Where a container has volumes, and what it has there that is not the kubelet's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.containers.config import ContainerInput, NodeSettings, container_config
from kubelab.kubelet.containers.environment import ConfigError
from kubelab.kubelet.containers.mounts import sub_paths, volume_mounts


def pod(**mount: str) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.spec.volumes.add(name="v").volumeSource.emptyDir.SetInParent()
    made.spec.volumes.add(name="c").volumeSource.configMap.localObjectReference.name = "c"
    container = made.spec.containers.add(name="app", image="a")
    container.volumeMounts.add(**{"name": "v", "mountPath": "/data", **mount})
    return made


FOLDERS = {"v": Path("/node/v"), "c": Path("/node/c")}


def test_what_shows_objects_is_read_only_and_a_part_stands_for_the_whole() -> None:
    made = pod()
    [container] = made.spec.containers
    container.volumeMounts.add(name="c", mountPath="etc/app")
    container.volumeMounts.add(name="v", mountPath="/ro", readOnly=True)
    container.volumeMounts.add(name="v", mountPath="/part", subPath="x")
    found = volume_mounts(made, container, FOLDERS, {3: Path("/node/part")})
    assert [(m.container_path, m.host_path, m.readonly) for m in found] == [
        ("/data", "/node/v", False),
        ("/etc/app", "/node/c", True),
        ("/ro", "/node/v", True),
        ("/part", "/node/part", False),
    ]


def test_a_volume_that_the_pod_does_not_have_is_an_error() -> None:
    made = pod(name="gone")
    with pytest.raises(ConfigError, match='cannot find volume "gone" to mount into container'):
        volume_mounts(made, made.spec.containers[0], FOLDERS, {})


def test_an_expression_is_expanded_with_the_containers_environment() -> None:
    [container] = pod(subPathExpr="logs/$(NAME)/$$(NAME)").spec.containers
    assert sub_paths(container, {"NAME": "web"}) == {0: "logs/web/$(NAME)"}


REFUSED = {
    "$(GONE)": "missing value for 'GONE'",
    "$(ROOT)": "must not be an absolute path",
    "a/$(UP)/b": 'must not contain ".."',
}


@pytest.mark.parametrize("expression", REFUSED)
def test_an_expression_that_leads_nowhere_is_an_error(expression: str) -> None:
    [container] = pod(subPathExpr=expression).spec.containers
    with pytest.raises(ConfigError, match=REFUSED[expression]):
        sub_paths(container, {"ROOT": "/etc", "UP": ".."})


@pytest.mark.parametrize("path", ["/etc/hosts", "/dev/termination-log"])
def test_a_volume_takes_the_place_of_the_kubelets_own_file(path: str) -> None:
    made = pod(mountPath=path)
    made.spec.containers[0].terminationMessagePath = "/dev/termination-log"
    given = ContainerInput(
        made, made.spec.containers[0], 0, "a", hosts=Path("/n/hosts"), message=Path("/n/message"), volumes=FOLDERS
    )
    mounts = container_config(given, NodeSettings("node-1", "192.0.2.1", Path("/logs"))).mounts
    assert [m.host_path for m in mounts if m.container_path == path] == ["/node/v"]
    assert len(mounts) == 2
