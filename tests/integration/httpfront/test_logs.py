"""Logs over HTTPS: what is refused before a byte comes; a kubelet's bytes are in tests/integration/apiserver."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.https import HTTPClient

PODS = "/api/v1/namespaces/default/pods"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "a", "image": "hello:v1"}, {"name": "b", "image": "hello:v1"}]},
}


async def test_what_cannot_be_read_is_refused(http: HTTPClient, jane: HTTPClient) -> None:
    await http.send("POST", PODS, POD)
    unnamed = await http.send("GET", f"{PODS}/web/log")
    assert (unnamed.code, unnamed.json["message"]) == (
        400,
        "a container name must be specified for pod web, choose one of: [a b]",
    )
    assert (await http.send("GET", f"{PODS}/other/log")).json["message"] == 'pods "other" not found'
    negative = await http.send("GET", f"{PODS}/web/log?container=a&tailLines=-1")
    assert (negative.code, negative.json["reason"]) == (422, "Invalid")
    wrong = await http.send("GET", f"{PODS}/web/log?container=a&sinceTime=yesterday")
    assert wrong.json["message"].startswith('parsing time "yesterday"')
    assert (await http.send("POST", f"{PODS}/web/log", {})).code == 405
    forbidden = await jane.send("GET", f"{PODS}/web/log?container=a")
    assert 'User "jane" cannot get resource "pods/log"' in forbidden.json["message"]


@pytest.mark.parametrize("follow", ["", "&follow=true"])
async def test_what_no_node_runs_has_written_nothing(http: HTTPClient, follow: str) -> None:
    await http.send("POST", PODS, POD)
    answer = await http.send("GET", f"{PODS}/web/log?container=a{follow}")
    assert (answer.code, answer.headers["Content-Type"], answer.body) == (200, "text/plain", b"")
