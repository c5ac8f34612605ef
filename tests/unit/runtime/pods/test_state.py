"""States are read off the disk, addresses are handed out once, a container's description says what it should."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.host import base as hostbase
from kubelab.runtime.host import capabilities
from kubelab.runtime.network.pods import Addresses, NoAddress
from kubelab.runtime.pods import spec, state
from kubelab.runtime.pods.state import Container, Sandbox

BOUNDS = capabilities.Bounds(["CAP_SYS_ADMIN", "CAP_MKNOD"], -500)
HOST = hostbase.Host(Path("/s"), ("/usr", "/opt"), ("/opt/me",), guarded=True, crun="/usr/bin/crun", bounds=BOUNDS)
NOBODY = {"pid": 2**22 + 1, "pid_start": 5, "monitor": 2**22 + 2, "monitor_start": 6, "started_at": 7}


def container(folder: Path) -> Container:
    folder.mkdir(parents=True)
    config = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="app"))
    made = Container(folder.name, folder, "s", config, "sha256:i", "", 1)
    made.save()
    return made


@pytest.mark.parametrize(
    ("started", "ended", "expected", "reason"),
    [
        (None, None, cri.CONTAINER_CREATED, ""),
        (NOBODY, None, cri.CONTAINER_RUNNING, ""),
        (NOBODY, {"exit_code": 0, "finished_at": 9}, cri.CONTAINER_EXITED, "Completed"),
        (NOBODY, {"exit_code": 3, "finished_at": 9}, cri.CONTAINER_EXITED, "Error"),
        (None, {"exit_code": 128, "finished_at": 9, "reason": "StartError"}, cri.CONTAINER_EXITED, "StartError"),
    ],
)
def test_a_containers_state_follows_from_what_is_on_disk(
    tmp_path: Path,
    started: dict[str, Any] | None,
    ended: dict[str, Any] | None,
    expected: cri.ContainerState.ValueType,
    reason: str,
) -> None:
    folder = container(tmp_path / "containers" / "c").folder
    for name, content in (("started.json", started), ("exit.json", ended)):
        if content:
            state.write_json(folder / name, content)
    _, loaded = state.load(tmp_path)
    status = loaded["c"].status()
    assert (status.state, status.reason) == (expected, reason)
    told = ended or {"exit_code": 0, "finished_at": 0}
    assert (status.exit_code, status.finished_at) == (told["exit_code"], told["finished_at"])


def test_half_made_things_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "sandboxes" / "s").mkdir(parents=True)
    state.write_json(tmp_path / "sandboxes" / "s" / "pause.json", {"pid": 2**22 + 1, "pid_start": 1})
    (tmp_path / "containers" / "c").mkdir(parents=True)
    assert state.load(tmp_path) == ({}, {})
    assert [*(tmp_path / "sandboxes").iterdir()] == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
@pytest.mark.parametrize("name", ["container.json", "config.pb", "started.json", "exit.json"])
def test_what_a_power_cut_has_emptied_does_not_stop_a_runtime(tmp_path: Path, name: str, content: bytes) -> None:
    folder = container(tmp_path / "containers" / "c").folder
    (folder / name).write_bytes(content)
    whole = name in ("started.json", "exit.json")
    _, loaded = state.load(tmp_path)
    assert {key: found.state for key, found in loaded.items()} == ({"c": cri.CONTAINER_CREATED} if whole else {})
    assert folder.exists() == whole


@pytest.mark.parametrize("name", ["sandbox.json", "config.pb"])
def test_a_pod_that_a_power_cut_has_emptied_is_forgotten(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sandboxes" / "s"
    folder.mkdir(parents=True)
    Sandbox("s", folder, cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="web")), 1).save()
    assert [*state.load(tmp_path)[0]] == ["s"]
    (folder / name).write_bytes(b"")
    assert state.load(tmp_path) == ({}, {})
    assert not folder.exists()


@pytest.mark.parametrize("killed_at", range(5))
def test_what_is_half_deleted_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int) -> None:
    folder = container(tmp_path / "containers" / "c").folder
    state.write_json(folder / "started.json", NOBODY)
    left = [killed_at]

    def one_less(path: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        path.unlink()

    def rmtree(path: Path) -> None:
        for file in sorted(path.iterdir()):
            one_less(file)
        path.rmdir()

    monkeypatch.setattr(state, "remove_tree", rmtree)
    with contextlib.suppress(KeyboardInterrupt):
        state.delete(folder)
    monkeypatch.undo()
    assert state.load(tmp_path) == ({}, {})
    assert [*(tmp_path / "containers").iterdir()] == []


def test_deleting_what_is_gone_is_no_error(tmp_path: Path) -> None:
    state.delete(tmp_path / "gone")


def test_addresses_are_never_in_use_twice() -> None:
    addresses = Addresses(used=["10.244.1.3"])
    with pytest.raises(NoAddress):
        addresses.take()
    addresses.set_range("10.244.1.0/29")
    assert [addresses.take() for _ in range(4)] == ["10.244.1.2", "10.244.1.4", "10.244.1.5", "10.244.1.6"]
    with pytest.raises(NoAddress):
        addresses.take()
    addresses.give_back("10.244.1.4")
    assert addresses.take() == "10.244.1.4"


def test_a_new_runtime_goes_on_after_the_newest_address() -> None:
    addresses = Addresses(newest="10.244.1.3")
    addresses.set_range("10.244.1.0/29")
    assert [addresses.take() for _ in range(4)] == ["10.244.1.4", "10.244.1.5", "10.244.1.6", "10.244.1.2"]
    addresses.set_range("10.244.2.0/29")
    assert addresses.take() == "10.244.2.2"


def test_a_full_disk_does_not_keep_a_container_from_its_end(tmp_path: Path) -> None:
    made = container(tmp_path / "c")
    (tmp_path / "c" / "exit.part").symlink_to("/dev/full")
    made.end(128, 1, "StartError", "why")
    assert made.status().reason == "StartError"


@pytest.mark.parametrize(
    ("command", "args", "entrypoint", "cmd", "expected"),
    [
        ([], [], ["e"], ["c"], ["e", "c"]),
        ([], ["a"], ["e"], ["c"], ["e", "a"]),
        (["x"], [], ["e"], ["c"], ["x"]),
        (["x"], ["a"], ["e"], ["c"], ["x", "a"]),
        ([], [], None, ["c"], ["c"]),
    ],
)
def test_command_and_args_over_entrypoint_and_cmd(
    command: list[str], args: list[str], entrypoint: list[str] | None, cmd: list[str], expected: list[str]
) -> None:
    image = {"Entrypoint": entrypoint, "Cmd": cmd}
    assert spec.command(cri.ContainerConfig(command=command, args=args), image) == expected


def test_a_container_with_nothing_to_run() -> None:
    with pytest.raises(spec.SpecError, match="no command specified"):
        spec.command(cri.ContainerConfig(), {})


def described(config: cri.ContainerConfig, **image: Any) -> dict[str, Any]:
    return spec.build(
        config,
        image,
        root=Path("/r"),
        pause=1,
        host_network=False,
        files={},
        host=HOST,
        bounds=BOUNDS,
    )


def secured(*, privileged: bool, **more: Any) -> cri.ContainerConfig:
    security = cri.LinuxContainerSecurityContext(privileged=privileged)
    return cri.ContainerConfig(command=["x"], linux=cri.LinuxContainerConfig(security_context=security, **more))


def test_a_pod_cannot_make_device_nodes_nor_look_into_hidden_folders() -> None:
    made = described(secured(privileged=False))
    assert "/opt/me" in made["linux"]["maskedPaths"]
    assert all("CAP_MKNOD" not in kept for kept in made["process"]["capabilities"].values())
    assert "rlimits" not in made["process"]
    assert "oomScoreAdj" not in made["process"]


def test_a_privileged_container_has_every_capability_that_the_machine_can_give() -> None:
    made = described(secured(privileged=True))
    assert all(kept == BOUNDS.capabilities for kept in made["process"]["capabilities"].values())
    assert made["linux"]["maskedPaths"] == ["/opt/me"]


@pytest.mark.parametrize(("asked", "expected"), [(1000, 1000), (0, 0), (-997, -500)])
def test_who_is_killed_first_as_far_as_the_machine_lets_us_say(asked: int, expected: int) -> None:
    resources = cri.LinuxContainerResources(oom_score_adj=asked)
    assert described(secured(privileged=False, resources=resources))["process"]["oomScoreAdj"] == expected


def test_hostname_is_among_the_variables_after_the_images_and_before_the_pods() -> None:
    image = {"Env": ["HOSTNAME=image", "A=1"]}
    assert "HOSTNAME=pod" in spec.environment(cri.ContainerConfig(), image, "pod")
    own = cri.ContainerConfig(envs=[cri.KeyValue(key="HOSTNAME", value="own")])
    assert "HOSTNAME=own" in spec.environment(own, image, "pod")


def test_capabilities_are_read_by_their_bits() -> None:
    assert capabilities.held("Name:\tx\nCapEff:\t0000000008000001\n") == ["CAP_CHOWN", "CAP_MKNOD"]


def test_a_root_that_may_not_be_written_has_read_only_folders_of_the_host_too() -> None:
    config = secured(privileged=True)
    assert described(config)["linux"]["readonlyPaths"] == []
    config.linux.security_context.readonly_rootfs = True
    made = described(config)
    assert made["root"]["readonly"]
    assert made["linux"]["readonlyPaths"] == ["/usr", "/opt"]


def test_what_an_unprivileged_user_may_not_read_is_found(tmp_path: Path) -> None:
    for name, mode in {"open": 0o755, "listed-only": 0o744, "own": 0o700}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        (tmp_path / name / "key").touch(0o640)
        (tmp_path / name).chmod(mode)
    (tmp_path / "open" / "link").symlink_to("key")
    found = [Path(path).relative_to(tmp_path) for path in hostbase.unreadable([str(tmp_path)])]
    assert [str(path) for path in found] == ["listed-only", "open/key", "own"]


def test_a_home_below_a_system_folder_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELAB_HOME", "/usr/local/lab")
    found = hostbase.hidden((Path("/usr/state/node-1"), Path("/var/lib/kubelab")))
    assert "/usr/local/lab" in found
    assert "/usr/state/node-1" in found
    assert "/var/lib/kubelab" not in found
