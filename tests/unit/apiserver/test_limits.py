"""What one request and one user may ask for."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver import limits
from kubelab.apiserver.endpoints.attributes import parse_fields
from kubelab.apiserver.endpoints.decoding import decode
from kubelab.apiserver.limits import Users
from kubelab.apiserver.registry.selectors import parse_selection
from kubelab.apiserver.resources.table import Resources, builtin

PODS = Resources(builtin()).caches[scheme.PODS].kind


@pytest.mark.parametrize(
    ("labels", "fields"),
    [
        (",".join(f"k{n}=v" for n in range(300_000)), ""),
        (f"a in ({','.join(f'v{n}' for n in range(300_000))})", ""),
        ("", ",".join(["metadata.name!=a"] * 300_000)),
        (f"a={'x' * 70_000}", ""),
        (",".join(f"k{n}=v" for n in range(60)), ",".join(["metadata.name!=a"] * 60)),
    ],
    ids=["terms", "values", "fields", "characters", "together"],
)
def test_selectors_are_bounded(labels: str, fields: str) -> None:
    with pytest.raises(errors.BadRequest, match=r"the selectors? ha.*(more than|expected at most) \d+"):
        parse_selection(PODS, "", meta_pb2.ListOptions(labelSelector=labels, fieldSelector=fields))


def test_what_people_write_is_within_the_bounds() -> None:
    many = ",".join(f"v{n}" for n in range(400))
    found = parse_selection(
        PODS, "", meta_pb2.ListOptions(labelSelector=f"app in ({many}),a=b", fieldSelector="spec.nodeName=n")
    )
    assert found.labels
    with pytest.raises(errors.BadRequest):
        parse_fields(",".join(["metadata.name!=a"] * 1_000))


def pod(**metadata: object) -> core_pb2.Pod:
    return core_pb2.Pod(metadata=meta_pb2.ObjectMeta(**metadata))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (pod(labels={f"k {n}": "v v" for n in range(100_000)}), "metadata has more than 2000 labels"),
        (pod(finalizers=[""] * 700_000), "metadata has more than 2000 labels"),
        (core_pb2.Node(spec=core_pb2.NodeSpec(podCIDRs=["x"] * 300_000)), "the object has more than 10000 entries"),
        (
            core_pb2.Pod(spec=core_pb2.PodSpec(containers=[core_pb2.Container(args=["a"] * 4_000)] * 3)),
            "the object has more than 10000 entries",
        ),
        (core_pb2.ConfigMap(data={str(n): "" for n in range(10_001)}), "the object has more than 10000 entries"),
    ],
    ids=["labels", "finalizers", "cidrs", "nested", "data"],
)
def test_objects_are_bounded_by_their_entries(obj: core_pb2.Pod, told: str) -> None:
    with pytest.raises(errors.TooLarge, match=told):
        decode(type(obj), scheme.pack(obj))


def test_large_objects_of_few_entries_pass() -> None:
    obj = core_pb2.ConfigMap(data={str(n): "x" * 100 for n in range(9_000)})
    assert decode(core_pb2.ConfigMap, scheme.pack(obj)) == obj


def test_users_are_counted_apart_and_given_back() -> None:
    users = Users(requests=2, streams=1)
    entered = [("a", False), ("a", False), ("a", True), ("b", False)]
    for user, stream in entered:
        users.enter(user, stream=stream)
    for stream in (False, True):
        with pytest.raises(errors.TooManyRequests) as refused:
            users.enter("a", stream=stream)
        assert refused.value.retry_after_seconds == 1
        assert 'user "a" has' in refused.value.message
    for user, stream in entered:
        users.leave(user, stream=stream)
    users.enter("a", stream=True)
    assert users._under_way == {("a", True): 1}


def test_who_does_not_take_large_answers_gets_no_more() -> None:
    users = Users()
    size = limits.MAX_UNSENT // 2
    users.hold("a", size)
    users.hold("a", size)
    with pytest.raises(errors.TooManyRequests, match='user "a" has not taken 64 MiB of answers yet'):
        users.hold("a", limits.LARGE)
    with pytest.raises(errors.TooManyRequests):
        users.enter("a", stream=False)
    users.hold("b", 2 * limits.MAX_UNSENT)  # a single one is as large as it is
    users.enter("b", stream=False)
    users.taken("a", size)
    users.enter("a", stream=False)
    users.hold("a", limits.LARGE)


def test_streams_are_more_than_requests() -> None:
    assert limits.MAX_STREAMS > limits.MAX_REQUESTS
