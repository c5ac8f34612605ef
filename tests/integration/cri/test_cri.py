"""What a kubelet may rely on, by the CRI v1 alone, of whichever runtime: each call twice, and what is gone is no error.

https://github.com/kubernetes/cri-api/blob/v0.32.0/pkg/apis/runtime/v1/api.proto
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.cri.calls import POD_CIDR, SECONDS, CRICalls
from tests.support.polling import until_true

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]
FOREVER = ["/bin/sleep", "infinity"]
TIDY = ["/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"]
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z"  # RFC 3339; Go leaves zeros at the end away
NOWHERE = "0" * 64
"""An id that no runtime gave."""


async def code_of(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as err:
        return err.code()
    return grpc.StatusCode.OK


async def sandboxes(node: CRICalls, **picked: Any) -> list[str]:
    request = cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(**picked))
    return [item.id for item in (await node.runtime.ListPodSandbox(request, timeout=SECONDS)).items]


async def containers(node: CRICalls, **picked: Any) -> list[str]:
    request = cri.ListContainersRequest(filter=cri.ContainerFilter(**picked))
    return [item.id for item in (await node.runtime.ListContainers(request, timeout=SECONDS)).containers]


async def has_printed(log: str, line: str) -> None:
    await until_true(lambda: Path(log).exists() and line in Path(log).read_text(), within=SECONDS)


async def test_the_runtime_says_who_it_is_and_that_it_is_ready(node: CRICalls) -> None:
    for _ in range(2):
        version = await node.runtime.Version(cri.VersionRequest(version="v1"), timeout=SECONDS)
        assert (version.runtime_api_version, version.version) == ("v1", "0.1.0")
        assert version.runtime_name
        assert version.runtime_version
        await node.set_cidr()
        status = await node.runtime.Status(cri.StatusRequest(), timeout=SECONDS)
        conditions = {condition.type: condition.status for condition in status.status.conditions}
        assert (conditions["RuntimeReady"], conditions["NetworkReady"]) == (True, True)


async def test_the_life_of_a_sandbox_each_call_twice(node: CRICalls) -> None:
    request = node.sandbox_request("life")
    request.config.annotations["note"] = "kept"
    sandbox = (await node.runtime.RunPodSandbox(request, timeout=SECONDS)).pod_sandbox_id
    with contextlib.suppress(grpc.aio.AioRpcError):  # a runtime gives the same, or says that the name is taken
        assert (await node.runtime.RunPodSandbox(request, timeout=SECONDS)).pod_sandbox_id == sandbox
    assert await sandboxes(node, label_selector={"pod": "life"}) == [sandbox]
    for _ in range(2):
        status = (await node.sandbox_status(sandbox)).status
        assert (status.id, status.state, status.metadata) == (sandbox, cri.SANDBOX_READY, request.config.metadata)
        assert (dict(status.labels), dict(status.annotations)) == ({"pod": "life"}, {"note": "kept"})
        assert ipaddress.ip_address(status.network.ip) in ipaddress.ip_network(POD_CIDR)
        assert status.created_at > 0
    for _ in range(2):
        await node.stop_sandbox(sandbox)
        assert (await node.sandbox_status(sandbox)).status.state == cri.SANDBOX_NOTREADY
    for _ in range(2):
        await node.remove_sandbox(sandbox)
        assert await code_of(node.sandbox_status(sandbox)) is grpc.StatusCode.NOT_FOUND
    assert await sandboxes(node, label_selector={"pod": "life"}) == []


async def test_the_next_attempt_of_a_pod_is_another_sandbox(node: CRICalls) -> None:
    first = await node.sandbox("again")
    request = cri.RunPodSandboxRequest(config=node.sandbox_config("again", attempt=1))
    await node.stop_sandbox(first)
    second = (await node.runtime.RunPodSandbox(request, timeout=SECONDS)).pod_sandbox_id
    assert first != second
    assert set(await sandboxes(node, label_selector={"pod": "again"})) == {first, second}
    assert (await node.sandbox_status(second)).status.metadata.attempt == 1


async def test_removing_an_earlier_attempt_leaves_the_next_one_alone(node: CRICalls) -> None:
    first = await node.sandbox("anew")
    await node.stop_sandbox(first)
    request = cri.RunPodSandboxRequest(config=node.sandbox_config("anew", attempt=1))
    second = (await node.runtime.RunPodSandbox(request, timeout=SECONDS)).pod_sandbox_id
    container = await node.run(second, "app", FOREVER)
    await node.remove_sandbox(first)
    assert (await node.sandbox_status(second)).status.state == cri.SANDBOX_READY
    assert (await node.execute(container, "/bin/echo", "here")).stdout == b"here\n"
    assert (await node.status(container)).state == cri.CONTAINER_RUNNING


async def test_the_life_of_a_container_each_call_twice(node: CRICalls) -> None:
    sandbox = await node.sandbox("container")
    more: dict[str, Any] = {"labels": {"l": "v"}, "annotations": {"a": "b"}}
    container = await node.create(sandbox, "app", TIDY, **more)
    with contextlib.suppress(grpc.aio.AioRpcError):
        assert await node.create(sandbox, "app", TIDY, **more) == container
    assert await containers(node, pod_sandbox_id=sandbox) == [container]
    status = await node.status(container)
    assert (status.state, status.metadata.name) == (cri.CONTAINER_CREATED, "app")
    assert (dict(status.labels), dict(status.annotations)) == ({"l": "v"}, {"a": "b"})
    await node.start_container(container)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await node.start_container(container)
    status = await node.status(container)
    assert (status.state, status.exit_code, status.finished_at) == (cri.CONTAINER_RUNNING, 0, 0)
    await has_printed(status.log_path, "ready")
    assert [line for line in node.lines(status.log_path) if "ready" in line] == node.lines(status.log_path)[:1]
    for _ in range(2):
        await node.stop_container(container, 10)
        status = await node.status(container)
        assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 5, "Error")
        assert 0 < status.created_at <= status.started_at <= status.finished_at
    for _ in range(2):
        await node.remove_container(container)
        assert await code_of(node.status(container)) is grpc.StatusCode.NOT_FOUND
    assert await containers(node, pod_sandbox_id=sandbox) == []


async def test_a_container_that_does_not_end_is_killed_after_its_grace(node: CRICalls) -> None:
    stubborn = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    container = await node.run(await node.sandbox("stubborn"), "app", stubborn)
    await has_printed((await node.status(container)).log_path, "ready")
    for seconds in (1, 0):
        await node.stop_container(container, seconds)
        status = await node.status(container)
        assert (status.state, status.exit_code) == (cri.CONTAINER_EXITED, 137)


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [("exit 0", 0, "Completed"), ("exit 7", 7, "Error"), ("sh -c 'kill -9 $$'; exit $?", 137, "Error")],
)
async def test_how_a_container_ended(node: CRICalls, script: str, code: int, reason: str) -> None:
    sandbox = await node.sandbox(f"exit-{code}")
    status = await node.ended(await node.run(sandbox, "app", ["/bin/sh", "-c", f"sleep 0.1; {script}"]))
    assert (status.exit_code, status.reason) == (code, reason)
    assert 0 < status.started_at <= status.finished_at


async def test_a_program_that_is_not_there_cannot_be_started(node: CRICalls) -> None:
    container = await node.create(await node.sandbox("nothing"), "app", ["/no/such"])
    with pytest.raises(grpc.aio.AioRpcError, match="no such file or directory"):
        await node.start_container(container)
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 128, "StartError")


async def test_removing_a_sandbox_takes_what_runs_in_it(node: CRICalls) -> None:
    sandbox = await node.sandbox("full")
    container = await node.run(sandbox, "app", FOREVER)
    await node.stop_sandbox(sandbox)
    assert (await node.status(container)).state == cri.CONTAINER_EXITED
    await node.remove_sandbox(sandbox)
    assert await containers(node, pod_sandbox_id=sandbox) == []


async def test_lists_are_filtered(node: CRICalls) -> None:
    ready, stopped = await node.sandbox("ready"), await node.sandbox("stopped")
    await node.stop_sandbox(stopped)
    running = await node.run(ready, "runs", FOREVER, labels={"kind": "runs"})
    over = await node.run(ready, "ends", ["/bin/true"], labels={"kind": "ends"})
    await node.ended(over)
    is_ready = cri.PodSandboxStateValue(state=cri.SANDBOX_READY)
    assert await sandboxes(node, id=ready) == [ready]
    assert await sandboxes(node, id=ready, label_selector={"pod": "stopped"}) == []
    assert await sandboxes(node, state=is_ready, label_selector={"pod": "stopped"}) == []
    assert set(await sandboxes(node)) >= {ready, stopped}
    runs = cri.ContainerStateValue(state=cri.CONTAINER_RUNNING)
    assert await containers(node, id=running) == [running]
    assert await containers(node, state=runs, pod_sandbox_id=ready) == [running]
    assert await containers(node, label_selector={"kind": "ends"}) == [over]
    assert set(await containers(node, pod_sandbox_id=ready)) == {running, over}


async def test_the_log_is_in_the_cri_s_format_and_begins_again_when_asked(node: CRICalls) -> None:
    script = "echo out; echo err >&2; printf '%020000d\\n' 0; mkfifo /p; read x < /p; printf 'no end'"
    container = await node.run(await node.sandbox("log"), "app", ["/bin/sh", "-c", script])
    log = Path((await node.status(container)).log_path)
    await has_printed(str(log), " stdout F 000")
    moved = log.with_name("moved")
    log.rename(moved)
    for _ in range(2):
        await node.runtime.ReopenContainerLog(cri.ReopenContainerLogRequest(container_id=container), timeout=SECONDS)
    await node.execute(container, "/bin/sh", "-c", "while ! test -p /p; do sleep 0.02; done; echo > /p")
    await node.ended(container)
    await has_printed(str(log), "no end")
    assert all(re.match(f"{STAMP} (stdout|stderr) [FP] ", line) for path in (moved, log) for line in node.lines(path))
    before = [line.split(" ", 1)[1] for line in node.lines(moved)]
    assert sorted(before)[:2] == ["stderr F err", "stdout F " + "0" * (20_000 - 16_384)]
    assert "stdout P " + "0" * 16_384 in before, "a long line comes in parts"
    assert "stdout F out" in before
    [after] = node.lines(log)
    assert re.sub(f"^{STAMP} ", "", after) in ("stdout F no end", "stdout P no end")
    reopen = node.runtime.ReopenContainerLog(cri.ReopenContainerLogRequest(container_id=container), timeout=SECONDS)
    assert await code_of(reopen) is not grpc.StatusCode.OK, "it writes no more"


async def test_exec_answers_with_what_the_command_printed_and_its_exit_code(node: CRICalls) -> None:
    container = await node.run(await node.sandbox("exec"), "app", FOREVER)
    for _ in range(2):
        done = await node.execute(container, "/bin/sh", "-c", "echo out; echo err >&2; exit 4")
        assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 4)
    assert await code_of(node.execute(container, "/bin/sleep", "777", seconds=1)) is not grpc.StatusCode.OK
    await node.stop_container(container)
    assert await code_of(node.execute(container, "/bin/true")) is not grpc.StatusCode.OK


async def test_what_a_container_is_given(node: CRICalls, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the node\n")
    mounts = [
        cri.Mount(container_path="/read", host_path=str(tmp_path), readonly=True),
        cri.Mount(container_path="/write", host_path=str(tmp_path)),
    ]
    security = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=0))
    text = await node.output(
        await node.sandbox("given"),
        "app",
        'hostname; id -u; pwd; echo "$GREETING $0 $1"; cat /read/file; echo x 2>/dev/null > /read/x || echo read-only;'
        " echo back > /write/back",
        working_dir="/dev",
        envs=[cri.KeyValue(key="GREETING", value="hello")],
        args=["zero", "one"],
        mounts=mounts,
        linux=cri.LinuxContainerConfig(security_context=security),
    )
    assert text == "given\n0\n/dev\nhello zero one\nfrom the node\nread-only\n"
    assert (tmp_path / "back").read_text() == "back\n"


async def test_containers_of_a_pod_share_its_network_and_not_their_processes(node: CRICalls) -> None:
    sandbox, other = await node.sandbox("shared"), await node.sandbox("other")
    look = "cat /proc/1/comm; ls -l /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts"
    alone = cri.LinuxContainerConfig()
    alone.security_context.namespace_options.pid = cri.CONTAINER

    async def namespaces(sandbox_id: str, name: str) -> tuple[str, list[str]]:
        said = await node.output(sandbox_id, name, look, linux=alone)
        first, *links = said.splitlines()
        return first, [link.rpartition("-> ")[2] for link in links]

    one, two, stranger = await namespaces(sandbox, "a"), await namespaces(sandbox, "b"), await namespaces(other, "c")
    assert one == two
    assert one[0] == "sh", "it is the first process of its namespace"
    assert not set(one[1]) & set(stranger[1])


async def test_events_tell_of_a_container_in_order(node: CRICalls) -> None:
    call = node.runtime.GetContainerEvents(cri.GetEventsRequest())
    try:
        await call.initial_metadata()
        sandbox = await node.sandbox("events")
        container = await node.run(sandbox, "app", ["/bin/true"])
        told: list[tuple[str, int]] = []
        async with asyncio.timeout(SECONDS):
            while (container, cri.CONTAINER_STOPPED_EVENT) not in told:
                event = await anext(aiter(call))
                told.append((event.container_id, event.container_event_type))
    except grpc.aio.AioRpcError as err:
        if err.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        pytest.skip("this runtime has no GetContainerEvents: a kubelet looks again instead")
    finally:
        call.cancel()
    assert [kind for name, kind in told if name == container] == [
        cri.CONTAINER_CREATED_EVENT,
        cri.CONTAINER_STARTED_EVENT,
        cri.CONTAINER_STOPPED_EVENT,
    ]


async def test_a_runtime_that_was_killed_knows_its_containers_again(node: CRICalls) -> None:
    sandbox = await node.sandbox("kept")
    address = (await node.sandbox_status(sandbox)).status.network.ip
    goes_on, ends = await node.run(sandbox, "goes-on", FOREVER), await node.run(sandbox, "ends", ["/bin/true"])
    code = (await node.ended(ends)).exit_code
    await node.restart()
    status = (await node.sandbox_status(sandbox)).status
    assert (status.state, status.network.ip) == (cri.SANDBOX_READY, address)
    assert (await node.status(goes_on)).state == cri.CONTAINER_RUNNING
    assert ((await node.status(ends)).state, (await node.status(ends)).exit_code) == (cri.CONTAINER_EXITED, code)
    assert (await node.execute(goes_on, "/bin/true")).exit_code == 0
    assert await node.run(sandbox, "next", FOREVER)


async def test_images(node: CRICalls) -> None:
    named = cri.ImageSpec(image=node.image)
    image = (await node.images.ImageStatus(cri.ImageStatusRequest(image=named), timeout=SECONDS)).image
    assert image.id
    for _ in range(2):
        listed = await node.images.ListImages(
            cri.ListImagesRequest(filter=cri.ImageFilter(image=named)), timeout=SECONDS
        )
        assert [found.id for found in listed.images] == [image.id]
    everything = await node.images.ListImages(cri.ListImagesRequest(), timeout=SECONDS)
    assert image.id in [found.id for found in everything.images]
    missing = cri.ImageSpec(image="kubelab.test/missing:v1")
    for _ in range(2):
        answer = await node.images.ImageStatus(cri.ImageStatusRequest(image=missing), timeout=SECONDS)
        assert not answer.HasField("image")
        await node.images.RemoveImage(cri.RemoveImageRequest(image=missing), timeout=SECONDS)
    info = await node.images.ImageFsInfo(cri.ImageFsInfoRequest(), timeout=SECONDS)
    assert [bool(one.fs_id.mountpoint) for one in info.image_filesystems] == [True]
    sandbox = await node.sandbox("imageless")
    assert await code_of(node.create(sandbox, "app", FOREVER, missing.image)) is not grpc.StatusCode.OK
    assert await containers(node, pod_sandbox_id=sandbox) == []


GONE = {grpc.StatusCode.OK}
ENDED = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}  # kubelets take both for "it does not run"
UNKNOWN: list[tuple[str, Message, set[grpc.StatusCode]]] = [
    ("PodSandboxStatus", cri.PodSandboxStatusRequest(pod_sandbox_id=NOWHERE), {grpc.StatusCode.NOT_FOUND}),
    ("ContainerStatus", cri.ContainerStatusRequest(container_id=NOWHERE), {grpc.StatusCode.NOT_FOUND}),
    ("StartContainer", cri.StartContainerRequest(container_id=NOWHERE), {grpc.StatusCode.NOT_FOUND}),
    ("ExecSync", cri.ExecSyncRequest(container_id=NOWHERE, cmd=["true"], timeout=1), {grpc.StatusCode.NOT_FOUND}),
    ("ReopenContainerLog", cri.ReopenContainerLogRequest(container_id=NOWHERE), {grpc.StatusCode.NOT_FOUND}),
    ("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=NOWHERE), ENDED),
    ("StopContainer", cri.StopContainerRequest(container_id=NOWHERE), ENDED),
    ("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=NOWHERE), GONE),
    ("RemoveContainer", cri.RemoveContainerRequest(container_id=NOWHERE), GONE),
]


@pytest.mark.parametrize(("method", "request_", "codes"), UNKNOWN, ids=[method for method, _, _ in UNKNOWN])
async def test_what_is_not_there(node: CRICalls, method: str, request_: Message, codes: set[grpc.StatusCode]) -> None:
    """To remove what is gone succeeds; to use it does not, and says NOT_FOUND, which kubelets rely on."""
    call: Callable[..., Awaitable[Any]] = getattr(node.runtime, method)
    for _ in range(2):
        assert await code_of(call(request_, timeout=SECONDS)) in codes
