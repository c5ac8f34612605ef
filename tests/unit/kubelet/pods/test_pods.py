"""Pods from their binding to their end, against a runtime that speaks the CRI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import BadRequest, NotFound, Unavailable
from kubelab.apimachinery.scheme import CONFIG_MAPS, PODS
from kubelab.kubelet.streaming.server import choose_attempt

MakePod = Callable[..., core_pb2.Pod]


async def test_a_bound_pod_runs_and_says_so(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        status = await lab.phase("Running")
    assert [(c.type, c.status) for c in status.conditions] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    [container] = status.containerStatuses
    assert (container.ready, container.restartCount, container.state.HasField("running")) == (True, 0, True)
    assert status.podIP.startswith("10.244.1.")
    assert status.hostIP == "192.168.49.3"
    assert status.qosClass == "BestEffort"
    assert lab.told()[:3] == [
        'Container image "app:v1" already present on machine',
        "Created container: app",
        "Started container app",
    ]


async def test_starting_asks_the_runtime_for_nothing_twice(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        await lab.cri.until(lambda: lab.cri.calls_of("GetContainerEvents") and lab.manager.relists >= 2)
        before = len(lab.cri.calls)
        lab.api.add(make_pod())
        await lab.phase("Running")
        methods = [method for method, _ in lab.cri.calls[before:]]
    assert sorted(methods[:2]) == ["ImageStatus", "RunPodSandbox"]
    assert methods[2:] == ["CreateContainer", "StartContainer", "PodSandboxStatus"]


async def test_the_calls_for_a_pod_are_on_record(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        added = lab.api.revision
        await lab.phase("Running")
    records = list(lab.records.of(lab.pod().metadata.uid))
    assert {r.verb for r in records} == {"RunPodSandbox", "ImageStatus", "CreateContainer", "StartContainer"}
    assert {r.cause for r in records} == {str(added)}
    assert len({r.trace_id for r in records}) == 1
    assert {r.process for r in records} == {"kubelet@node-1"}


async def test_a_deleted_pod_ends_gently_and_leaves_nothing(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
        client = lab.api.client()
        await client.delete(PODS, "web", "default")
        await lab.until(lambda: lab.api.get(PODS, "default/web") is None)
        await lab.cri.until(lambda: not lab.cri.sandboxes)
    [stop] = lab.cri.calls_of("StopContainer")
    assert 28 <= stop.timeout <= 30
    assert lab.told("Killing") == ["Stopping container app"]
    assert not lab.cri.containers
    assert not list(lab.config.log_dir.iterdir())


def _last_status(lab: Any) -> core_pb2.PodStatus:
    return [c for c in lab.api.calls_of("update", PODS) if c.subresource == "status"][-1].object.status


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (143, "Failed")])
async def test_how_a_deleted_pod_ended_is_written_before_it_goes(
    lab: Any, make_pod: MakePod, code: int, phase: str
) -> None:
    lab.cri.stubborn = {"app"}
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
        await lab.api.client().delete(PODS, "web", "default")
        await lab.cri.until(lambda: lab.cri.calls_of("StopContainer"))
        assert lab.status().phase == "Running"
        lab.api.fail(Unavailable("not now"), verb="update", resource="pods", times=3)
        lab.cri.exit("app", code)
        await lab.until(lambda: lab.api.get(PODS, "default/web") is None)
    assert _last_status(lab).phase == phase
    assert _last_status(lab).containerStatuses[0].state.terminated.exitCode == code
    writes = [c for c in lab.api.calls if c.resource == PODS.qualified and c.verb in ("update", "delete")]
    assert [c.verb for c in writes][-5:] == ["update"] * 4 + ["delete"]


async def test_a_pod_that_never_started_fails_before_it_goes(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod(image="nowhere:v1"))
        await lab.waiting("ErrImagePull")
        await lab.api.client().delete(PODS, "web", "default")
        await lab.until(lambda: lab.api.get(PODS, "default/web") is None)
        await lab.cri.until(lambda: not lab.cri.sandboxes)
    assert _last_status(lab).phase == "Failed"


async def test_a_forced_deletion_hurries_the_end(lab: Any, make_pod: MakePod) -> None:
    lab.cri.stubborn = {"app"}
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
        client = lab.api.client()
        await client.delete(PODS, "web", "default")
        await lab.cri.until(lambda: lab.cri.calls_of("StopContainer"))
        await client.delete(PODS, "web", "default", grace_period_seconds=0)
        await lab.cri.until(lambda: len(lab.cri.calls_of("StopContainer")) == 2)
        assert [c.timeout for c in lab.cri.calls_of("StopContainer")][1] <= 1
        lab.cri.exit("app", 137)
        await lab.cri.until(lambda: not lab.cri.sandboxes)


async def test_a_container_that_dies_again_and_again_backs_off(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
        uid = lab.pod().metadata.uid
        lab.cri.exit("app", 1)
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 1)
        lab.cri.exit("app", 1)
        held = await lab.waiting("CrashLoopBackOff")
        assert held.message == f"back-off 10s restarting failed container=app pod=web_default({uid})"
        status = lab.status()
        assert status.phase == "Running"
        assert status.containerStatuses[0].lastState.terminated.exitCode == 1
        assert status.containerStatuses[0].lastState.terminated.reason == "Error"
        ready = next(c for c in status.conditions if c.type == "Ready")
        assert (ready.status, ready.reason, ready.message) == (
            "False",
            "ContainersNotReady",
            "containers with unready status: [app]",
        )
        lab.clock.step(10)
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 2)
        lab.cri.exit("app", 1)
        held = await lab.waiting("CrashLoopBackOff")
        assert held.message.startswith("back-off 20s ")
        lab.clock.step(20)
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 3)
        lab.clock.step(601)
        lab.cri.exit("app", 1)  # after ten good minutes it may start at once
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 4)
        await lab.cri.until(lambda: len(lab.cri.containers) == 2)  # of the dead attempts only the last is kept
    assert lab.told("BackOff")[0] == f"Back-off restarting failed container app in pod web_default({uid})"


async def test_on_failure_succeeds_and_never_fails(lab: Any, make_pod: MakePod) -> None:
    good, bad = make_pod("good", containers=("one",)), make_pod("bad", containers=("two",))
    good.spec.restartPolicy, bad.spec.restartPolicy = "OnFailure", "Never"
    async with lab.kubelet():
        lab.api.add(good, bad)
        await lab.phase("Running", "good")
        await lab.phase("Running", "bad")
        lab.cri.exit("one", 0)
        lab.cri.exit("two", 3)
        done = await lab.phase("Succeeded", "good")
        failed = await lab.phase("Failed", "bad")
        await lab.cri.until(lambda: not any(s.ready for s in lab.cri.sandboxes.values()))
    assert done.containerStatuses[0].state.terminated.reason == "Completed"
    assert {c.reason for c in done.conditions if c.type in ("Ready", "ContainersReady")} == {"PodCompleted"}
    assert failed.containerStatuses[0].state.terminated.exitCode == 3
    assert {c.reason for c in failed.conditions if c.type == "Ready"} == {"PodFailed"}
    assert done.podIP, "a finished pod keeps the address it had"


async def test_an_image_is_pulled_and_one_that_does_not_exist_backs_off(lab: Any, make_pod: MakePod) -> None:
    lab.cri.registry = {"there:v1": 5}
    async with lab.kubelet():
        lab.api.add(make_pod("one", image="there:v1"), make_pod("two", image="nowhere:v1"))
        await lab.phase("Running", "one")
        held = await lab.waiting("ErrImagePull", "two")
        assert held.message.startswith('failed to pull image "nowhere:v1": rpc error: code = NotFound desc = ')
        lab.clock.step(2.1)
        held = await lab.waiting("ImagePullBackOff", "two")
        assert held.message.startswith('Back-off pulling image "nowhere:v1"')
        lab.cri.registry["nowhere:v1"] = 5
        lab.clock.step(8)
        await lab.phase("Running", "two")
    assert 'Pulling image "there:v1"' in lab.told("Pulling")
    assert any(m.startswith('Successfully pulled image "there:v1" in ') for m in lab.told("Pulled"))
    assert 'Back-off pulling image "nowhere:v1"' in lab.told("BackOff")
    assert "Error: ErrImagePull" in lab.told("Failed")


async def test_an_image_that_is_loaded_meanwhile_is_found_before_its_next_pull(lab: Any, make_pod: MakePod) -> None:
    always = make_pod("always", image="nowhere:v1")
    always.spec.containers[0].imagePullPolicy = "Always"
    async with lab.kubelet():
        lab.api.add(make_pod(image="nowhere:v1"), always)
        for pulls, seconds in ((2, 0), (4, 10), (6, 20)):
            lab.clock.step(seconds)
            await lab.cri.until(lambda n=pulls: len(lab.cri.calls_of("PullImage")) == n)
            await lab.waiting("ErrImagePull")
            await lab.waiting("ErrImagePull", "always")
        looks = len(lab.cri.calls_of("ImageStatus"))
        lab.clock.step(15)  # the next pull is in 40 s
        await lab.cri.until(lambda: len(lab.cri.calls_of("ImageStatus")) > looks)
        failures = lab.manager.worker(lab.pod().metadata.uid).state.attempts.failures
        await lab.cri.until(lambda: failures["app"].retry_at > lab.clock.time())
        assert (await lab.waiting("ImagePullBackOff")).message.startswith('Back-off pulling image "nowhere:v1"')
        lab.cri.images["nowhere:v1"] = 5
        lab.clock.step(15)
        await lab.phase("Running")
        assert lab.status("always").containerStatuses[0].state.waiting.reason == "ImagePullBackOff"
    assert len(lab.cri.calls_of("PullImage")) == 6


async def test_a_never_pulled_and_a_bad_image_name_say_why(lab: Any, make_pod: MakePod) -> None:
    never = make_pod("never", image="nowhere:v1")
    never.spec.containers[0].imagePullPolicy = "Never"
    async with lab.kubelet():
        lab.api.add(never, make_pod("bad", image="Not A Name"))
        held = await lab.waiting("ErrImageNeverPull", "never")
        assert held.message == 'Container image "nowhere:v1" is not present with pull policy of Never'
        lab.clock.step(15)
        await lab.cri.until(lambda: len(lab.cri.calls_of("ImageStatus")) == 2)
        failures = lab.manager.worker(lab.pod("never").metadata.uid).state.attempts.failures
        await lab.cri.until(lambda: failures["app"].retry_at > lab.clock.time())
        lab.cri.images["nowhere:v1"] = 5
        lab.clock.step(15)  # not longer than the first time
        await lab.phase("Running", "never")
        held = await lab.waiting("InvalidImageName", "bad")
        assert "couldn't parse image name" in held.message


async def test_a_missing_config_map_holds_the_container_up_until_it_is_there(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod()
    env = pod.spec.containers[0].env.add(name="COLOR")
    env.valueFrom.configMapKeyRef.localObjectReference.name = "settings"
    env.valueFrom.configMapKeyRef.key = "color"
    settings = core_pb2.ConfigMap(data={"color": "green"})
    settings.metadata.name, settings.metadata.namespace = "settings", "default"
    async with lab.kubelet():
        lab.api.add(pod)
        held = await lab.waiting("CreateContainerConfigError")
        assert held.message == 'configmap "settings" not found'
        assert lab.api.get(CONFIG_MAPS, "default/settings") is None
        lab.clock.step(15)
        await lab.until(lambda: len(lab.api.calls_of("get", CONFIG_MAPS)) == 2)
        failures = lab.manager.worker(lab.pod().metadata.uid).state.attempts.failures
        await lab.until(lambda: failures["app"].retry_at > lab.clock.time())
        assert (await lab.waiting("CreateContainerConfigError")).message == 'configmap "settings" not found'
        lab.api.add(settings)
        lab.clock.step(15)  # not longer than the first time
        await lab.phase("Running")
    [created] = lab.cri.calls_of("CreateContainer")
    assert ("COLOR", "green") in [(e.key, e.value) for e in created.config.envs]


async def test_a_failing_sandbox_is_tried_again(lab: Any, make_pod: MakePod) -> None:
    lab.cri.fail("RunPodSandbox", "no address left")
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.until(lambda: lab.told("FailedCreatePodSandBox"))
        lab.clock.step(2)
        await lab.phase("Running")
    assert lab.told("FailedCreatePodSandBox") == [
        "Failed to create pod sandbox: rpc error: code = Unknown desc = no address left"
    ]


async def test_a_container_that_cannot_start_says_so_and_is_tried_again(lab: Any, make_pod: MakePod) -> None:
    lab.cri.fail("StartContainer", 'exec: "nope": executable file not found', times=2)
    async with lab.kubelet():
        lab.api.add(make_pod())
        held = await lab.waiting("RunContainerError")
        assert held.message == 'exec: "nope": executable file not found'
        for seconds in (10, 20):
            await lab.waiting("RunContainerError")
            lab.clock.step(2)
            held = await lab.waiting("CrashLoopBackOff")
            assert held.message.startswith(f"back-off {seconds}s restarting failed container=app")
            lab.clock.step(seconds - 2)
            await lab.cri.until(lambda n=seconds // 10 + 1: len(lab.cri.calls_of("StartContainer")) == n)
        await lab.phase("Running")
    assert lab.told("Failed") == ['Error: exec: "nope": executable file not found']


async def test_a_dead_sandbox_is_made_anew(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        first = (await lab.phase("Running")).podIP
        lab.cri.kill_sandbox(next(iter(lab.cri.sandboxes)))
        await lab.until(lambda: lab.status().podIP != first and lab.status().containerStatuses[0].ready)
        assert lab.status().containerStatuses[0].restartCount == 1
    attempts = [r.config.metadata.attempt for r in lab.cri.calls_of("RunPodSandbox")]
    assert attempts == [0, 1]
    assert lab.told("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]


async def test_a_restarted_kubelet_adopts_what_runs(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod(), make_pod("gone", containers=("gone",)))
        await lab.phase("Running")
        await lab.phase("Running", "gone")
    lab.api.remove(PODS, "default/gone")  # while nobody looked
    made = len(lab.cri.calls_of("RunPodSandbox")), len(lab.cri.calls_of("CreateContainer"))
    revision = lab.pod().metadata.resourceVersion
    async with lab.kubelet():
        await lab.cri.until(lambda: not lab.cri.running("gone"))
        await lab.cri.until(lambda: len(lab.cri.sandboxes) == 1)
        lab.cri.exit("app", 1)
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 1)
    assert (len(lab.cri.calls_of("RunPodSandbox")), len(lab.cri.calls_of("CreateContainer"))) == (made[0], made[1] + 1)
    assert revision != lab.pod().metadata.resourceVersion
    assert len(lab.cri.running("web")) == 1


async def test_logs_of_an_ended_container_that_was_removed_are_said_to_be_gone(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod()
    pod.spec.restartPolicy = "Never"
    async with lab.kubelet():
        lab.api.add(pod)
        await lab.phase("Running")
        lab.cri.exit("app", 0)
        await lab.phase("Succeeded")
        await lab.cri.until(lambda: not any(s.ready for s in lab.cri.sandboxes.values()))
    lab.cri.containers.clear()
    lab.cri.sandboxes.clear()
    async with lab.kubelet() as manager:
        await lab.until(lambda: manager.worker(lab.pod().metadata.uid))
        ended = lab.status().containerStatuses[0].state.terminated.containerID
        with pytest.raises(NotFound, match=f"^unable to retrieve container logs for {ended}$"):
            choose_attempt(manager.worker(lab.pod().metadata.uid).state, "app", previous=False)


async def test_a_runtime_without_events_is_looked_at(lab: Any, make_pod: MakePod) -> None:
    lab.cri.events = lab.cri.compact = False
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
        lab.cri.exit("app", 1)
        await lab.until(lambda: lab.status().containerStatuses[0].restartCount == 1)


async def test_a_pod_over_its_deadline_fails_when_it_has_ended(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod()
    pod.spec.activeDeadlineSeconds = 60
    lab.cri.stubborn = {"app"}
    async with lab.kubelet():
        lab.api.add(pod)
        await lab.phase("Running")
        lab.clock.step(61)
        await lab.until(lambda: {c.reason for c in lab.status().conditions if c.type == "Ready"} == {"PodFailed"})
        assert lab.status().phase == "Running", "it holds still what it has"
        lab.cri.exit("app", 143)
        status = await lab.phase("Failed")
    assert lab.told("DeadlineExceeded") == [status.message]
    async with lab.kubelet():
        await lab.cri.until(lambda: not lab.cri.running())
    assert (status.reason, status.message) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )


async def test_a_full_node_refuses(lab: Any, make_pod: MakePod) -> None:
    lab.config.max_pods = 1
    async with lab.kubelet():
        lab.api.add(make_pod("one"))
        await lab.phase("Running", "one")
        lab.api.add(make_pod("two"))
        status = await lab.phase("Failed", "two")
    assert status.reason == "OutOfpods"
    assert status.message == (
        "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1"
    )
    assert lab.told("OutOfpods") == [status.message.removeprefix("Pod was rejected: ")]
    written = len(lab.api.calls_of("update", PODS))
    async with lab.kubelet() as manager:
        await lab.until(lambda: manager.worker(lab.pod("two").metadata.uid))
        assert not lab.cri.running("two")
    assert len(lab.api.calls_of("update", PODS)) == written


async def test_what_another_kubelet_took_takes_room(lab: Any, make_pod: MakePod) -> None:
    first = make_pod("zz-first")
    first.spec.containers[0].resources.requests["cpu"].string = "1500m"
    async with lab.kubelet():
        lab.api.add(first)
        await lab.phase("Running", "zz-first")
    second = make_pod("aa-second")
    second.spec.containers[0].resources.requests["cpu"].string = "1"
    lab.api.add(second)
    async with lab.kubelet():
        status = await lab.phase("Failed", "aa-second")
        assert status.message == (
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"
        )
        assert status.reason == "OutOfcpu"
        with pytest.raises(BadRequest, match=r'^container "app" in pod "aa-second" is not available$'):
            choose_attempt(lab.manager.worker(lab.pod("aa-second").metadata.uid).state, "app", previous=False)
        await lab.api.client().delete(PODS, "zz-first", "default")
        await lab.until(lambda: lab.api.get(PODS, "default/zz-first") is None)
        second.metadata.name = "third"
        lab.api.add(second)
        await lab.phase("Running", "third")


async def test_labels_are_asked_for_before_a_pod_is_refused_for_them(lab: Any, make_pod: MakePod) -> None:
    node = core_pb2.Node()
    node.metadata.name, node.metadata.labels["disk"] = "node-1", "ssd"
    lab.api.add(node)
    fast, slow = make_pod("fast"), make_pod("slow")
    fast.spec.nodeSelector["disk"], slow.spec.nodeSelector["disk"] = "ssd", "hdd"
    async with lab.kubelet():
        lab.api.add(fast, slow)
        await lab.phase("Running", "fast")
        status = await lab.phase("Failed", "slow")
    assert status.reason == "NodeAffinity"


async def test_a_look_at_everything_that_fails_is_taken_again_soon(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet() as manager:
        lab.api.add(make_pod())
        await lab.phase("Running")
        await lab.cri.until(lambda: manager.relists >= 2)
        seen = manager.relists
        lab.cri.fail("ListPodSandbox", "busy", times=2)
        lab.clock.step(61)
        await lab.cri.until(lambda: manager.relists > seen)


async def test_an_outage_of_the_runtime_is_waited_for(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
        import grpc

        lab.cri.fail("RunPodSandbox", "gone", grpc.StatusCode.UNAVAILABLE, times=2)
        lab.api.add(make_pod("later", containers=("later",)))
        await lab.phase("Running", "later")
        assert len(lab.cri.running("later")) == 1


async def test_what_others_say_of_a_pod_is_kept_and_what_they_overwrite_is_said_again(
    lab: Any, make_pod: MakePod
) -> None:
    pod = make_pod()
    pod.status.conditions.add(type="example.com/checked", status="True")
    async with lab.kubelet():
        lab.api.add(pod)
        await lab.phase("Running")
        assert "example.com/checked" in [c.type for c in lab.status().conditions]
        client = lab.api.client()
        wrong = lab.pod()
        next(c for c in wrong.status.conditions if c.type == "Ready").status = "False"
        await client.update_status(wrong)
        await lab.until(lambda: all(c.status == "True" for c in lab.status().conditions))


async def test_a_restarted_kubelet_repairs_what_was_overwritten_since(lab: Any, make_pod: MakePod) -> None:
    async with lab.kubelet():
        lab.api.add(make_pod())
        await lab.phase("Running")
    async with lab.kubelet() as manager:
        await lab.until(lambda: manager.worker(lab.pod().metadata.uid))
        wrong = lab.pod()  # as node-lifecycle does when a node is cut off: nothing that this kubelet ever wrote
        next(c for c in wrong.status.conditions if c.type == "Ready").status = "False"
        await lab.api.client().update_status(wrong)
        await lab.until(lambda: all(c.status == "True" for c in lab.status().conditions))


async def test_a_finalizer_keeps_the_object_but_not_the_containers(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod()
    pod.metadata.finalizers.append("example.com/hold")
    async with lab.kubelet():
        lab.api.add(pod, defaults=True)
        await lab.phase("Running")
        await lab.api.client().delete(PODS, "web", "default")
        await lab.cri.until(lambda: not lab.cri.sandboxes)
        await lab.until(lambda: lab.pod().metadata.deletionGracePeriodSeconds == 0)
        held = lab.pod()
        del held.metadata.finalizers[:]
        await lab.api.client().update(held)
        await lab.until(lambda: lab.api.get(PODS, "default/web") is None)


async def test_a_termination_message_is_what_the_container_left_when_it_ended(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod(containers=("app", "side"))
    pod.spec.restartPolicy = "Never"
    for container in pod.spec.containers:
        container.terminationMessagePath, container.terminationMessagePolicy = "/dev/termination-log", "File"
    async with lab.kubelet():
        lab.api.add(pod)
        await lab.phase("Running")
        created = next(r for r in lab.cri.calls_of("CreateContainer") if r.config.metadata.name == "app")
        [file] = [Path(m.host_path) for m in created.config.mounts if m.container_path == "/dev/termination-log"]
        file.write_text("no disk")
        lab.cri.exit("app", 1)
        await lab.until(lambda: lab.status().containerStatuses[0].state.terminated.message == "no disk")
        file.write_text("another text")
        lab.cri.exit("side", 1)
        status = await lab.phase("Failed")
    assert status.containerStatuses[0].state.terminated.message == "no disk"


async def test_the_runtime_is_asked_once_whether_it_makes_user_namespaces(lab: Any, make_pod: MakePod) -> None:
    lab.cri.user_namespaces = True
    async with lab.kubelet():
        for name in ("one", "two", "three"):
            pod = make_pod(name)
            pod.spec.hostUsers = False
            lab.api.add(pod)
            await lab.phase("Running", name)
    assert len(lab.cri.calls_of("Status")) == 1


async def test_a_pod_with_users_of_its_own_waits_until_a_runtime_can_make_them(lab: Any, make_pod: MakePod) -> None:
    pod = make_pod()
    pod.spec.hostUsers = False
    async with lab.kubelet():
        lab.api.add(pod)
        told = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
        await lab.until(lambda: any(told in message for message in lab.told("FailedCreatePodSandBox")))
        assert not lab.cri.calls_of("RunPodSandbox")
        lab.cri.user_namespaces = True
        lab.clock.step(2)
        await lab.phase("Running")
    [sandbox], [container] = lab.cri.calls_of("RunPodSandbox"), lab.cri.calls_of("CreateContainer")
    options = sandbox.config.linux.security_context.namespace_options
    assert [(mapping.host_id, mapping.length) for mapping in options.userns_options.uids] == [(65_536, 65_536)]
    assert container.config.linux.security_context.namespace_options == options
    assert container.sandbox_config.linux.security_context.namespace_options == options
