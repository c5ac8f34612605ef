"""Create, read, change and delete, on two api-servers of one etcd."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.messages import deep_copy
from kubelab.client.requests import CREATE, DELETE_COLLECTION, UPDATE
from kubelab.rpc import warnings
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb


def pod(name: str = "", *, generate: str = "", node: str = "", **labels: str) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.generateName = name, generate
    made.metadata.labels.update(labels)
    made.spec.nodeName = node
    made.spec.containers.add(name="main", image="hello")
    return made


def controller() -> core_pb2.ReplicationController:
    rc = core_pb2.ReplicationController()
    rc.metadata.name = "rc"
    rc.spec.replicas = 3
    rc.spec.selector["app"] = "web"
    rc.spec.template.metadata.labels["app"] = "web"
    rc.spec.template.spec.CopyFrom(pod().spec)
    return rc


async def test_what_one_server_wrote_the_other_reads_at_once(servers: Any) -> None:
    made = core_pb2.Pod()
    for n in range(10):
        made = await servers.a.create(pod(f"web-{n}"), "default")
        read = await servers.b.get(scheme.PODS, f"web-{n}", "default")
        assert read == made
        assert len((await servers.b.list(scheme.PODS, "default")).items) == n + 1
    assert made.metadata.uid
    assert made.metadata.creationTimestamp.seconds > 0


async def test_warnings_come_with_the_answer(servers: Any) -> None:
    """kubernetes#118418, #79950: what is allowed and hardly meant is created, and said."""
    heard: list[str] = []
    odd = pod("odd")
    for _ in range(2):
        odd.spec.containers[0].ports.add(containerPort=80)
    odd.spec.containers[0].resources.requests["memory"].string = "1.1Gi"
    rc = controller()
    rc.spec.template.spec.terminationGracePeriodSeconds = -1
    with warnings.listening(heard.append):
        made = await servers.a.create(odd, "default")
        assert made.spec.containers[0].resources.requests["memory"].string == "1181116006400m"
        assert heard == [
            'spec.containers[0].resources.requests[memory]: fractional byte value "1181116006400m" is invalid, must be '
            "an integer",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ]
        await servers.a.create(pod("even"), "default")
        made.metadata.labels["a"] = "b"
        await servers.a.update(made)
        assert len(heard) == 2, "updates of pods are not warned about"
        made = await servers.a.create(rc, "default")
        assert len(heard) == 3
        made.metadata.labels["a"] = "b"
        made = await servers.a.update(made)
        assert len(heard) == 3, "the spec is as it was"
        made.spec.template.spec.containers[0].env.add(name="A", value="1")
        made.spec.template.spec.containers[0].env.add(name="A", value="2")
        await servers.a.update(made)
        assert [text.partition(":")[0] for text in heard[2:]] == [
            "spec.template.spec.terminationGracePeriodSeconds",
            "spec.template.spec.containers[0].env[1]",
        ]
        with pytest.raises(errors.AlreadyExists):
            await servers.a.create(odd, "default")
        assert len(heard) == 4


async def test_a_duplicate_is_refused(servers: Any) -> None:
    await servers.a.create(pod("web"), "default")
    with pytest.raises(errors.AlreadyExists, match=r'^pods "web" already exists$'):
        await servers.b.create(pod("web"), "default")


async def test_what_is_not_there_is_not_found(servers: Any) -> None:
    with pytest.raises(errors.NotFound, match=r'^pods "web" not found$'):
        await servers.a.get(scheme.PODS, "web", "default")
    with pytest.raises(errors.NotFound, match=r'^pods "web" not found$'):
        await servers.a.delete(scheme.PODS, "web", "default")
    with pytest.raises(errors.NotFound, match=r'^namespaces "nowhere" not found$'):
        await servers.a.create(pod("web"), "nowhere")


async def test_an_invalid_object_names_its_fields_and_stays_out(servers: Any) -> None:
    with pytest.raises(errors.Invalid, match=r'^Pod "web" is invalid: spec.containers: Required value$') as told:
        await servers.a.create(core_pb2.Pod(metadata=pod("web").metadata), "default")
    assert [c.field for c in told.value.causes] == ["spec.containers"]
    with pytest.raises(errors.NotFound):
        await servers.b.get(scheme.PODS, "web", "default")


async def test_an_update_of_an_old_version_conflicts(servers: Any) -> None:
    first = await servers.a.create(pod("web"), "default")
    changed = deep_copy(first)
    changed.metadata.labels["by"] = "a"
    second = await servers.a.update(changed)
    assert int(second.metadata.resourceVersion) > int(first.metadata.resourceVersion)
    first.metadata.labels["by"] = "b"
    with pytest.raises(errors.Conflict) as told:
        await servers.b.update(first)
    assert told.value.message == (
        'Operation cannot be fulfilled on pods "web": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    first.metadata.resourceVersion = ""  # an unconditional update is done on whatever is there
    assert (await servers.b.update(first)).metadata.labels["by"] == "b"


async def test_concurrent_updates_lose_nothing(servers: Any) -> None:
    """Each of twenty writers adds its label, reading again on a conflict."""
    await servers.a.create(pod("web"), "default")

    async def add(n: int) -> None:
        client = servers.a if n % 2 else servers.b
        while True:
            current = await client.get(scheme.PODS, "web", "default")
            current.metadata.labels[f"n{n}"] = "x"
            try:
                await client.update(current)
            except errors.Conflict:
                continue
            return

    await asyncio.gather(*(add(n) for n in range(20)))
    assert len((await servers.a.get(scheme.PODS, "web", "default")).metadata.labels) == 20


async def test_an_update_that_changes_nothing_writes_nothing(servers: Any) -> None:
    made = await servers.a.create(pod("web"), "default")
    again = await servers.b.update(made)
    assert again.metadata.resourceVersion == made.metadata.resourceVersion


async def test_clients_cannot_change_what_the_server_owns(servers: Any) -> None:
    made = await servers.a.create(pod("web"), "default")
    forged = deep_copy(made)
    forged.metadata.creationTimestamp.seconds = 1
    forged.metadata.deletionTimestamp.seconds = 1
    forged.metadata.generation = 99
    forged.metadata.labels["x"] = "y"
    after = await servers.a.update(forged)
    assert after.metadata.creationTimestamp == made.metadata.creationTimestamp
    assert not after.metadata.HasField("deletionTimestamp")
    assert after.metadata.generation == made.metadata.generation
    forged.metadata.resourceVersion, forged.metadata.uid = "", "another"
    with pytest.raises(errors.Conflict, match=r"UID in precondition: another"):
        await servers.a.update(forged)


async def test_status_and_spec_are_written_apart(servers: Any) -> None:
    made = await servers.a.create(pod("web"), "default")
    made.status.phase, made.spec.nodeName = "Running", "node-1"
    after = await servers.a.update_status(made)
    assert (after.status.phase, after.spec.nodeName) == ("Running", "")


async def test_generated_names_differ_and_are_tried_again(servers: Any) -> None:
    made = await asyncio.gather(
        *((servers.a if n % 2 else servers.b).create(pod(generate="web-"), "default") for n in range(100))
    )
    names = {p.metadata.name for p in made}
    assert len(names) == 100
    assert all(name.startswith("web-") and len(name) == 9 for name in names)
    with pytest.raises(errors.Invalid, match=r"name or generateName is required"):
        await servers.a.create(pod(), "default")


async def test_a_pod_on_a_node_goes_when_the_kubelet_says_so(servers: Any) -> None:
    await servers.a.create(pod("web", node="node-1"), "default")
    going = await servers.a.delete(scheme.PODS, "web", "default")
    assert going.metadata.deletionGracePeriodSeconds == 30
    assert going.metadata.HasField("deletionTimestamp")
    same = await servers.b.delete(scheme.PODS, "web", "default")
    assert same.metadata.resourceVersion == going.metadata.resourceVersion
    sooner = await servers.b.delete(scheme.PODS, "web", "default", grace_period_seconds=5)
    assert sooner.metadata.deletionTimestamp.seconds == going.metadata.deletionTimestamp.seconds - 25
    await servers.a.delete(scheme.PODS, "web", "default", grace_period_seconds=0)
    with pytest.raises(errors.NotFound):
        await servers.b.get(scheme.PODS, "web", "default")


async def test_an_unscheduled_pod_goes_at_once(servers: Any) -> None:
    await servers.a.create(pod("web"), "default")
    await servers.b.delete(scheme.PODS, "web", "default")
    with pytest.raises(errors.NotFound):
        await servers.a.get(scheme.PODS, "web", "default")


async def test_finalizers_hold_an_object_until_the_last_is_gone(servers: Any) -> None:
    held = core_pb2.ConfigMap(data={"a": "b"})
    held.metadata.name = "held"
    held.metadata.finalizers.append("example.org/hold")
    await servers.a.create(held, "default")
    marked = await servers.b.delete(scheme.CONFIG_MAPS, "held", "default")
    assert marked.metadata.HasField("deletionTimestamp")
    assert marked.metadata.deletionGracePeriodSeconds == 0
    with pytest.raises(errors.AlreadyExists, match=r'^object is being deleted: configmaps "held" already exists$'):
        await servers.a.create(held, "default")
    marked.metadata.ClearField("finalizers")
    await servers.a.update(marked)
    with pytest.raises(errors.NotFound):
        await servers.b.get(scheme.CONFIG_MAPS, "held", "default")


@pytest.mark.parametrize(
    ("policy", "finalizer"),
    [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", ""), (None, "orphan")],
)
async def test_the_propagation_policy_becomes_a_finalizer(servers: Any, policy: str | None, finalizer: str) -> None:
    """A replication controller that is deleted without a policy leaves its pods, for old clients' sake."""
    await servers.a.create(controller(), "default")
    await servers.a.delete(scheme.REPLICATION_CONTROLLERS, "rc", "default", propagation_policy=policy)
    if not finalizer:
        with pytest.raises(errors.NotFound):
            await servers.a.get(scheme.REPLICATION_CONTROLLERS, "rc", "default")
        return
    left = await servers.a.get(scheme.REPLICATION_CONTROLLERS, "rc", "default")
    assert list(left.metadata.finalizers) == [finalizer]
    with pytest.raises(errors.Invalid) as told:
        await servers.a.delete(scheme.REPLICATION_CONTROLLERS, "rc", "default", propagation_policy="Sideways")
    assert told.value.causes[0].message == (
        'Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"'
    )


async def test_without_a_policy_a_finalizer_that_is_there_counts(servers: Any) -> None:
    rc = controller()
    rc.metadata.finalizers.append("foregroundDeletion")
    await servers.a.create(rc, "default")
    left = await servers.a.delete(scheme.REPLICATION_CONTROLLERS, "rc", "default")
    assert list(left.metadata.finalizers) == ["foregroundDeletion"]


async def test_a_lease_is_not_overwritten_unread(servers: Any) -> None:
    lease = coordination_pb2.Lease()
    lease.metadata.name = "role"
    made = await servers.a.create(lease, "default")
    lease.metadata.namespace = "default"
    with pytest.raises(errors.Invalid) as told:
        await servers.b.update(lease)
    assert told.value.message == (
        'leases.coordination.k8s.io "role" is invalid: '
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    )
    made.spec.holderIdentity = "me"
    assert (await servers.b.update(made)).spec.holderIdentity == "me"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (pb.ResourcePath(resource="pods", namespace="default", name="web", subresource="binding"), CREATE),
        (
            pb.ResourcePath(resource="replicationcontrollers", namespace="default", name="rc", subresource="scale"),
            UPDATE,
        ),
        (pb.ResourcePath(resource="nodes"), CREATE),
    ],
    ids=["binding", "scale", "node"],
)
@pytest.mark.parametrize("sent", [scheme.pack(core_pb2.Secret()), None], ids=["another kind", "no message"])
async def test_what_is_no_object_of_the_kind_is_a_bad_request(
    servers: Any, path: pb.ResourcePath, method: Any, sent: Any
) -> None:
    client = await servers.connect("system:node:node-1", "system:nodes") if path.resource == "nodes" else servers.a
    kind = {"binding": core_pb2.Binding, "scale": autoscaling_pb2.Scale}.get(path.subresource, core_pb2.Node)
    wanted = sent or AnyMessage(type_url=scheme.TYPE_URL_PREFIX + kind.DESCRIPTOR.full_name, value=b"\xff")
    with pytest.raises(errors.BadRequest, match=r"the object provided is unrecognized"):
        await client._transport.unary(method, method.request(path=path, object=wanted), timeout=10)


async def test_an_error_with_very_many_causes_arrives(servers: Any) -> None:
    bad = pod("bad")
    del bad.spec.containers[:]
    for n in range(300):
        bad.spec.containers.add(name=f"NOT_A_NAME_{n}", image="hello")
    with pytest.raises(errors.Invalid) as told:
        await servers.a.create(bad, "default")
    assert len(told.value.causes) == 300
    assert "spec.containers[299].name" in told.value.message


async def test_preconditions_of_a_deletion(servers: Any) -> None:
    made = await servers.a.create(pod("web"), "default")
    with pytest.raises(errors.Conflict, match=r"Precondition failed: UID in precondition: other, UID in object meta"):
        await servers.b.delete(scheme.PODS, "web", "default", uid="other")
    with pytest.raises(errors.Conflict, match=r"Precondition failed: ResourceVersion in precondition: 1"):
        await servers.b.delete(scheme.PODS, "web", "default", resource_version="1")
    await servers.b.delete(scheme.PODS, "web", "default", uid=made.metadata.uid)


async def test_a_collection_is_deleted_by_selector(servers: Any) -> None:
    for n in range(6):
        await servers.a.create(pod(f"web-{n}", app="even" if n % 2 == 0 else "odd"), "default")
    gone = await servers.b.delete_collection(scheme.PODS, "default", label_selector="app=even")
    assert [p.metadata.name for p in gone.items] == ["web-0", "web-2", "web-4"]
    left = await servers.a.list(scheme.PODS, "default")
    assert [p.metadata.name for p in left.items] == ["web-1", "web-3", "web-5"]


async def test_a_collection_is_deleted_in_pieces(servers: Any) -> None:
    for n in range(7):
        await servers.a.create(
            pod(f"web-{n}", app="piece"),
            "default",
        )
    request = pb.DeleteCollectionRequest(path=pb.ResourcePath(version="v1", resource="pods", namespace="default"))
    request.list_options.limit, request.list_options.labelSelector = 3, "app=piece"
    gone: list[list[str]] = []
    left: list[int] = []
    while True:
        answer = await servers.b._transport.unary(DELETE_COLLECTION, request, timeout=30)
        gone.append([core_pb2.Pod.FromString(item.value).metadata.name for item in answer.items])
        left.append(answer.metadata.remainingItemCount)
        continue_ = getattr(answer.metadata, "continue")
        if not continue_:
            break
        setattr(request.list_options, "continue", continue_)
    assert gone == [["web-0", "web-1", "web-2"], ["web-3", "web-4", "web-5"], ["web-6"]]
    assert left == [4, 1, 0]
    setattr(request.list_options, "continue", "nonsense")
    with pytest.raises(errors.BadRequest, match="continue key is not valid"):
        await servers.b._transport.unary(DELETE_COLLECTION, request, timeout=30)


async def test_only_one_binding_wins(servers: Any) -> None:
    await servers.a.create(pod("web"), "default")

    def binding(node: str) -> core_pb2.Binding:
        made = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name=node))
        made.metadata.name, made.metadata.namespace = "web", "default"
        return made

    results = await asyncio.gather(
        *((servers.a if n % 2 else servers.b).bind(binding(f"node-{n}")) for n in range(8)), return_exceptions=True
    )
    assert results.count(None) == 1
    lost = [r for r in results if r is not None]
    assert all(isinstance(r, errors.Conflict) for r in lost)
    bound = await servers.a.get(scheme.PODS, "web", "default")
    assert isinstance(lost[0], errors.Conflict)
    assert lost[0].message == (
        'Operation cannot be fulfilled on pods/binding "web": '
        f'pod web is already assigned to node "{bound.spec.nodeName}"'
    )
    assert [(c.type, c.status) for c in bound.status.conditions] == [("PodScheduled", "True")]


async def test_scale_reads_and_writes_the_replicas(servers: Any) -> None:
    await servers.a.create(controller(), "default")
    scale = await servers.b.get_scale(scheme.REPLICATION_CONTROLLERS, "rc", "default")
    assert (scale.spec.replicas, scale.status.selector) == (3, "app=web")
    scale.spec.replicas = 0
    after = await servers.b.update_scale(scheme.REPLICATION_CONTROLLERS, "rc", "default", scale)
    assert after.spec.replicas == 0
    with pytest.raises(errors.Conflict):
        await servers.a.update_scale(scheme.REPLICATION_CONTROLLERS, "rc", "default", scale)
    scale.spec.replicas = -1
    with pytest.raises(errors.Invalid, match=r"must be greater than or equal to 0"):
        await servers.a.update_scale(scheme.REPLICATION_CONTROLLERS, "rc", "default", scale)
    read = await servers.a.get(scheme.REPLICATION_CONTROLLERS, "rc", "default")
    assert read.metadata.generation == 2


async def test_a_too_large_object_is_refused_in_words(servers: Any) -> None:
    node = core_pb2.Node()
    node.metadata.name = "node-1"
    node.status.images.add(names=["x" * 1_499_000])
    made = await servers.a.create(node)
    assert await servers.b.get(scheme.NODES, "node-1") == made
    made.status.images.add(names=["y" * 2_000_000])
    with pytest.raises(errors.TooLarge, match=r"Request entity too large: limit is 1500000"):
        await servers.b.update_status(made)
