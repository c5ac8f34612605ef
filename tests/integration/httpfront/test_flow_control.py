"""Flow control over HTTPS: what an answer tells of it, and what a client that gets no seat is told."""

from __future__ import annotations

import random

import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from kubelab.apiserver import limits
from kubelab.apiserver.flowcontrol.matching import Digest
from kubelab.auth.users import AUTHENTICATED, User
from tests.support.apiserver import ApiServerInMemory
from tests.support.https import HTTPClient

JANE = User("jane", frozenset({"people", AUTHENTICATED}))
ROOT = User("kubernetes-admin", frozenset({"system:masters", AUTHENTICATED}))


@pytest.fixture(autouse=True)
async def stored(server: ApiServerInMemory) -> None:
    """The objects of flow control are there, as the controller's task would write them."""
    for _ in range(3):
        await server.api.flow_control.sync()


async def test_an_answer_names_the_schema_and_the_level(http: HTTPClient, jane: HTTPClient) -> None:
    listed = (await http.send("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas")).json["items"]
    uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in listed}
    place = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/global-default"
    level = (await http.send("GET", place)).json["metadata"]["uid"]
    for path, code in (("/api/v1/namespaces/default/pods", 403), ("/version", 200)):
        answer = await jane.send("GET", path)
        assert answer.code == code
        assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == uids["global-default"]
        assert answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] == level
    async with http.open("GET", "/api/v1/pods?watch=true&timeoutSeconds=1") as watch:
        assert watch.headers["X-Kubernetes-PF-FlowSchema-UID"] == uids["exempt"]


async def test_who_gets_no_seat_is_told_when_to_come_again(
    server: ApiServerInMemory, http: HTTPClient, jane: HTTPClient
) -> None:
    gate = server.api.gate
    flow = gate.flow(Digest(JANE, "get", path="/version"))

    def take_everything() -> None:
        while True:
            gate.enter(flow, 1, flow)

    with pytest.raises(errors.TooManyRequests):
        take_everything()
    answer = await jane.send("GET", "/version")
    assert answer.code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert (answer.json["reason"], answer.json["message"]) == (
        "TooManyRequests",
        "Too many requests, please try again later.",
    )
    assert (await jane.send("GET", "/readyz")).code == 200
    assert (await http.send("GET", "/version")).code == 200


async def test_large_answers_are_counted_until_they_are_sent(server: ApiServerInMemory, http: HTTPClient) -> None:
    data = {"a": random.Random(1).randbytes(limits.LARGE).hex()}  # which gzip makes no smaller than that
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": data}
    assert (await http.send("POST", "/api/v1/namespaces/default/configmaps", body)).code == 201
    path = "/api/v1/namespaces/default/configmaps"
    users = server.api._handler._users  # pyright: ignore[reportPrivateUsage]
    users.hold(ROOT.name, limits.MAX_UNSENT)
    refused = await http.send("GET", path)
    assert (refused.code, refused.headers["Retry-After"]) == (429, "1")
    assert 'user "kubernetes-admin" has not taken 64 MiB of answers yet' in refused.json["message"]
    users.taken(ROOT.name, limits.MAX_UNSENT)
    assert (await http.send("GET", path)).code == 200
    assert not users._unsent  # pyright: ignore[reportPrivateUsage]


async def test_the_dumps_show_the_levels(http: HTTPClient, jane: HTTPClient) -> None:
    dump = await http.send("GET", "/debug/api_priority_and_fairness/dump_priority_levels")
    names = [line.split(",")[0] for line in dump.text.splitlines()]
    assert names[0] == "PriorityLevelName"
    assert {"catch-all", "exempt", "global-default", "leader-election", "node-high", "system"} < set(names)
    assert (await jane.send("GET", "/debug/api_priority_and_fairness/dump_queues")).code == 403


async def test_kubectl_shows_the_columns(http: HTTPClient) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    for resource in (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS):
        table = (await http.send("GET", f"/apis/{resource.api_version}/{resource.plural}", accept=accept)).json
        assert [one["name"] for one in table["columnDefinitions"]] == [one.name for one in resource.columns]
    cells = {row["cells"][0]: row["cells"][1:5] for row in table["rows"]}
    assert cells["workload-low"] == ["Limited", "100", "128", "6"]
    assert cells["catch-all"] == ["Limited", "5", "<none>", "<none>"]
